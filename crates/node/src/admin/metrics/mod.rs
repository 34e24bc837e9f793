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

use nix::sys::time::TimeVal;

use super::exposition::{Exposition, Form};
use super::share::Circle;
use crate::ring::Situation;
use crate::worker::shared::Shared;

/// Writes the page.
pub(super) fn page(shared: &Shared, ring_of: Option<(&Situation, &Circle)>, form: Form) -> String {
    let mut page = Exposition::new(form);
    memcached::memcached(shared, &mut page);
    memcached::slab(shared, &mut page);
    node::process(shared, &mut page);
    node::limits(shared, &mut page);
    node::guards(shared, &mut page);
    node::snapshots(&shared.snapshots, &mut page);
    node::requests(shared, &mut page);
    if let Some((situation, circle)) = ring_of {
        ring::ring(shared, situation, circle, &mut page);
        ring::peers(situation, &mut page);
    }
    page.finish()
}

fn seconds(time: TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}
