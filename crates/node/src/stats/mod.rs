//! The node's counters and their reports.
//!
//! | file | purpose |
//! |---|---|
//! | `counters` | counters of events, one set for each worker |
//! | `report` | the lines of `stats` |
//! | `prefixes` | `stats detail` |

mod counters;
mod prefixes;
mod report;

pub(crate) use counters::{AllCounters, Counter, Counters, PerWorker, Summed, Sums};
pub(crate) use prefixes::{MAX_PREFIXES, Prefixes};
pub(crate) use report::{
    connections, general, items, reset, seconds, settings, sizes_disabled, slabs,
};
