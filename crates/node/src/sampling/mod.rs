//! Statistics from one request in 128: which keys are hot, and how long answers take.
//!
//! | file | what it is |
//! |---|---|
//! | `sampler` | a worker's choice of requests |
//! | `sketch` | counting the heavy hitters of a stream in bounded memory |
//! | `hot_keys` | the last minute of all workers: [`KeyCounts::hottest`] |
//! | `latency` | histograms of all workers: [`Latency::sums`] |
//! | `report` | `stats hotkeys` and `stats latency` |
//!
//! Within the process both are read from [`crate::worker::shared::Shared`]: `shared.hot_keys()` is a
//! [`HotKeys`](ringbinder_protocol::stats::HotKeys), `shared.latency()` a [`LatencySums`].
//!
//! # What is sampled
//! Every key that a request names is one unit. So a `get` of 100 keys is 100 units, and a request
//! without a key is one. The number of units between two samples is random, drawn so that each unit
//! has the same chance whatever came before it. So a client that repeats a pattern of requests is
//! sampled fairly. The path of a request only counts down to the next sample.
//!
//! A key counts at the node that serves it. A node that forwards a request does not count its key,
//! and the node that carries it out does, so the figures of all nodes of a ring can be added.
//!
//! # What latency is
//! It is the time from the end of the read that brought the last byte of a request (its line, or a
//! value of more than 4 KiB) to the moment when the last byte of the answers of its batch was
//! handed to the socket. All waiting in between counts: for earlier requests in the pipeline, for
//! the turns of other connections, for a node to which it was forwarded, and for a client that does
//! not read. Time in the kernel does not count: bytes that wait to be read, and answers that wait
//! to be sent. Each request is sampled with the same chance. For a `get` of many keys, only the
//! first key stands for the request. A request that a peer forwarded here counts like any other, so
//! it counts at both nodes.

mod hot_keys;
mod latency;
mod report;
mod sampler;
mod sketch;

pub(crate) use hot_keys::{KeyCounts, WorkerKeyCounts};
pub(crate) use latency::{Class, Latency, LatencySums, WorkerLatency};
pub(crate) use report::{hot_keys, latency, latency_report};
pub(crate) use sampler::{Sampler, Timed};

/// One unit in this many is sampled, on average.
pub(crate) const SAMPLED_EVERY: u32 = 128;
