//! What the node counts and how it is reported.

mod counters;
mod prefixes;
mod report;

pub(crate) use counters::{AllCounters, Counter, Counters};
pub(crate) use prefixes::{MAX_PREFIXES, Prefixes};
pub(crate) use report::{connections, general, items, reset, settings, sizes_disabled, slabs};
