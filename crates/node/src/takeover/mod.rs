//! One process takes over the listening sockets and the items of another.
//!
//! The process that serves listens on a Unix socket (`--hand-over`). A process that starts with the
//! same setting connects to it. The listening sockets themselves are passed on as file descriptors
//! and stay open all the time, so a client that connects in the middle waits in their queue. The
//! two processes exchange lines:
//!
//! | from | line | what it means |
//! |---|---|---|
//! | new | `hand-over 1` | the version of this table |
//! | old | `offer 1 N` and N descriptors | the listening sockets; it still serves |
//! | new | `take` | it is ready to serve |
//! | old | `yours` | it has answered everything and has stopped serving |
//! | new | `mine` | it is still running |
//! | old | `go` and a snapshot | the new one serves; here are the items |
//! | | or `go bare` | the new one serves; there are no items that may be passed on |
//!
//! The old process may send `refused WHY` in place of any line, and then continues to serve.
//!
//! Two processes must never serve at once, and no client may find an older value than one it was
//! told about. So the old process serves again only if it could not send its `go`, and the new one
//! serves only after it has received `go`. If anything fails before that, the old process
//! continues. If the new process fails afterwards, the old one still ends, because its items are
//! out of date by then.
//!
//! `docs/decisions/0014-hand-over.md` explains why this is used instead of `SO_REUSEPORT`.
//!
//! | file | purpose |
//! |---|---|
//! | `server`, `gate` | the side that serves; whether connections are accepted |
//! | `client` | the side that starts |
//! | `wire`, `error` | lines with descriptors; why a take-over failed |

mod client;
mod error;
mod gate;
mod server;
mod wire;

pub(crate) use self::client::request_takeover;
pub(crate) use self::error::TakeoverError;
pub(crate) use self::gate::Gate;
pub(crate) use self::server::{TakeoverServer, serve};

/// The version of the exchange.
const PROTOCOL: u32 = 1;

/// The most descriptors that are passed: as many as one message may carry.
const MAX_LISTENERS: usize = 250;
