//! The cache engine: items, memory budget, eviction, expiry and CAS.
//!
//! [`Store`] is the interface that the server uses; [`SegmentStore`] is the engine behind it. The
//! crate has no sockets, no protocol and no clock: time is an argument of every call.
//!
//! | file | purpose |
//! |---|---|
//! | `seam` | the trait [`Store`] and its types |
//! | `segments` | the engine |
//! | `piece` | the pieces of large values |
//! | `account` | a count of bytes that one owner answers for |
//! | `snapshot` | the format of a snapshot |
//! | `time` | seconds and expiry times |

mod account;
mod piece;
mod seam;
mod segments;
pub mod snapshot;
mod time;

pub use account::Account;
pub use piece::{Arriving, LargeValue, Piece};
pub use seam::*;
pub use segments::{Readiness, ResidentProbe, Restore, Restored, SegmentStore};
#[doc(hidden)]
pub use segments::{Shape, ShapeError};
pub use time::{Expiry, MAX_RELATIVE_EXPTIME, Seconds, is_unix_exptime};
