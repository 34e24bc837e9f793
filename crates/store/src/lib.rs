//! The cache itself: items, memory budget, eviction, expiry and CAS.
//!
//! [`Store`] is the seam that the server talks to; [`MokaStore`] is the engine behind it. No
//! sockets, no protocol words and no clock: time is an argument of every call.

mod moka_store;
mod seam;
mod time;

pub use moka_store::{MokaStore, Policy, ResidentProbe};
pub use seam::*;
pub use time::{Expiry, MAX_RELATIVE_EXPTIME, Seconds};
