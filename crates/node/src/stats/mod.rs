//! The node's counters and their reports.

mod counters;
mod prefixes;
mod report;

pub(crate) use counters::{AllCounters, Counter, Counters};
pub(crate) use prefixes::{MAX_PREFIXES, Prefixes};
pub(crate) use report::{connections, general, items, reset, settings, sizes_disabled, slabs};
