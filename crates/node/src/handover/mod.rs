//! One process takes over from another: its listening sockets, and its items.
//!
//! The one that serves listens on a Unix socket (`--hand-over`). One that starts with the same setting
//! knocks there. The listening sockets themselves change hands, as file descriptors, and stay open all
//! the time: who connects in the middle waits in their queue. They talk in lines:
//!
//! | from | line | what it means |
//! |---|---|---|
//! | new | `hand-over 1` | the version of this table |
//! | old | `offer 1 N` and N descriptors | the listening sockets; it still serves |
//! | new | `take` | it is ready to serve |
//! | old | `yours` | it has answered everything and serves nobody |
//! | new | `mine` | it is still there |
//! | old | `go` and a snapshot | the new one serves; here are the items |
//! | | or `go bare` | the new one serves; there are no items that may be passed on |
//!
//! `refused WHY` may come in place of any line of the old one, which then goes on serving.
//!
//! What must hold is that never two processes serve at once, and that no client finds an older value
//! than it was told of. So the old one serves again only where it could not send its `go`, and the new
//! one serves only once that has come. Whatever happens before, the old one goes on. Whatever happens to
//! the new one afterwards, the old one ends: its items are old by then.
//!
//! `docs/decisions/0014-hand-over.md` says why this and not `SO_REUSEPORT`.
//!
//! | file | purpose |
//! |---|---|
//! | `give`, `gate` | the side that serves; whether connections are accepted |
//! | `knock`, `inherit` | the side that starts; listening sockets from another process |
//! | `wire`, `error` | lines with descriptors; why a take-over failed |

mod error;
mod gate;
mod give;
mod inherit;
mod knock;
mod wire;

pub(crate) use self::error::HandOverError;
pub(crate) use self::gate::Gate;
pub(crate) use self::give::{HandOver, serve};
pub(crate) use self::inherit::Inherited;
pub(crate) use self::knock::knock;

/// The version of what is said.
const PROTOCOL: u32 = 1;

/// Most descriptors that are passed: as many as one message may carry.
const MAX_LISTENERS: usize = 250;
