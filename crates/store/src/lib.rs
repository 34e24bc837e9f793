//! The cache engine: items, memory budget, eviction, expiry and CAS.
//!
//! [`Store`] is the interface that the server uses; [`SegmentStore`] is the engine behind it. The
//! crate has no sockets, no protocol and no clock: time is an argument of every call.
//!
//! Items are records in log-structured segments, found through a compact index and kept in two
//! queues. An item is one record in a segment (`log`) and one slot of nine bytes in the index
//! (`index`): no pointers between items, no allocation per item, some twenty bytes beyond its key
//! and value. Values too large for a segment are allocated separately (`value`) and stand in the
//! same queues. The oldest segments are evicted first, and items that deserve to stay move to a
//! younger segment (`policy`). Compaction recovers the room of dead records from neighbouring
//! segments. All memory comes out of one budget (`memory`).
//!
//! The store is split into shards by the key's hash. A shard is plain code for one thread behind
//! one lock, held briefly (`shard`). No thread ever holds the locks of two shards. A thread that
//! needs memory releases its shard, makes room wherever the oldest segment is, and repeats its
//! operation (`engine`).
//!
//! Ideas from the literature: segments and their merging from Segcache (NSDI '21), queues and small
//! counters instead of recency lists from S3-FIFO (SOSP '23), tags from MemC3 (NSDI '13).
//! `docs/decisions` has the measurements, and the ideas that were rejected.
//!
//! | module | purpose |
//! |---|---|
//! | `api` | the trait [`Store`] and its types |
//! | `engine` | [`SegmentStore`]: locks shards, makes room in the whole store |
//! | `shard` | one shard: reads, changes, evicts and compacts its items |
//! | `index` | finds the record of a key |
//! | `log` | segments and the records in them |
//! | `policy` | which items stay |
//! | `value` | the pieces of large values; values on their way into a record |
//! | `memory` | the budget |
//! | `epochs` | flushes and forgets |
//! | `snapshot` | the format of a snapshot |
//! | `time` | seconds and expiry times |
//! | `account` | a count of bytes with one owner |
//!
//! A module uses only modules below it: `engine`, then `shard`, then `index` and `policy`, then
//! `log`, then `value` and `epochs`, then `memory`. All may use `api`, `time` and `account`.

mod account;
mod api;
mod engine;
mod epochs;
mod index;
mod log;
mod memory;
mod policy;
mod shard;
pub mod snapshot;
mod time;
mod value;

pub use account::Account;
pub use api::*;
pub use engine::{Readiness, Restore, Restored, SegmentStore};
#[doc(hidden)]
pub use engine::{Shape, ShapeError};
pub use memory::resident::ResidentProbe;
pub use time::{Expiry, MAX_RELATIVE_EXPTIME, Seconds, is_unix_exptime};
pub use value::arriving::{Arriving, LargeValue};
pub use value::piece::Piece;
