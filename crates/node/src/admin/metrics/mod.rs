//! `/metrics`.
//!
//! A metric of memcached_exporter has the same name, type and labels here, so that dashboards and
//! alerts made for memcached keep working. Metrics of memcached's machinery without a counterpart
//! here (chunks of slab classes, LRU queues, external storage) are left out. All other metrics are
//! named `ringbinder_...`. Keys are never labels, because their number is unlimited.
//!
//! Every value is taken from where it is counted. Nothing here is read from lines of `stats`, and
//! nothing takes the lock of the hot keys.
//!
//! | file | which metrics |
//! |---|---|
//! | `memcached` | those of memcached_exporter |
//! | `node` | the process, its limits, TLS and logins, snapshots, latency |
//! | `ring` | the ring, requests for keys of other nodes, peers |

/// A table of metrics without labels: kind, name and value, then the help.
macro_rules! metrics {
    ($page:expr, $($kind:ident $name:literal = $value:expr, $help:literal;)*) => {
        $($page.$kind($name, $help, $value);)*
    };
}

mod memcached;
mod node;
mod ring;

use nix::sys::resource::{Resource, Usage, UsageWho, getrlimit, getrusage};
use ringbinder_store::{Counters as StoreCounters, Store};

use super::exposition::{Exposition, Form};
use super::share::Circle;
use crate::ring::Situation;
use crate::stats::Sums;
use crate::worker::shared::Shared;

/// The numbers of one page. Each is counted once, so that the metrics made from it agree.
struct Counted<'a> {
    shared: &'a Shared,
    store: StoreCounters,
    sums: Sums,
    usage: Option<Usage>,
    open_files: Option<usize>,
    /// Open files allowed.
    max_files: Option<u64>,
}

impl Counted<'_> {
    fn new(shared: &Shared) -> Counted<'_> {
        Counted {
            shared,
            store: shared.store.counters(),
            sums: shared.counters.sums(),
            usage: getrusage(UsageWho::RUSAGE_SELF).ok(),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

/// Writes the page.
pub(super) fn page(shared: &Shared, ring_of: Option<(&Situation, &Circle)>, form: Form) -> String {
    let mut page = Exposition::new(form);
    let counted = Counted::new(shared);
    memcached::memcached(&counted, &mut page);
    memcached::slab(&counted.store, &mut page);
    node::process(&counted, &mut page);
    node::limits(&counted, &mut page);
    node::guards(&counted, &mut page);
    node::snapshots(&shared.snapshots, &mut page);
    node::requests(&counted, &mut page);
    if let Some((situation, circle)) = ring_of {
        ring::ring(&counted.sums, situation, circle, &mut page);
        ring::peers(situation, &mut page);
    }
    page.finish()
}
