//! One request in 128, looked at closely: which keys are hot, and how long answers take.
//!
//! | file | what it is |
//! |---|---|
//! | `sampler` | a worker's choice of requests |
//! | `sketch` | counting the heavy hitters of a stream in bounded memory |
//! | `heat` | the last minute of all workers: [`Heat::hottest`] |
//! | `latency` | histograms of all workers: [`Latency::sums`] |
//! | `report` | `stats hotkeys` and `stats latency` |
//!
//! Within the process both are read from [`crate::shared::Shared`]: `shared.hot_keys()` is a
//! [`HotKeys`], `shared.latency()` a [`LatencySums`].
//!
//! # What is sampled
//! Every key that a request names is one unit, a `get` of 100 keys is 100 of them, and a request
//! without a key is one. Between two sampled units lies a random number of others, drawn so that
//! each unit is sampled with the same chance whatever came before it: a client that repeats a
//! pattern of requests is seen as it is. The path of a request only counts down to the next.
//!
//! A key counts where it is served. A node that forwards a request does not count its key, and the
//! node that carries it out does, so that figures of all nodes of a ring add up.
//!
//! # What latency is
//! From the end of the read that brought the last byte of a request (its line, or a value of more
//! than 4 KiB) to the moment when the last byte of the answers of its batch was handed to the socket.
//! What a request waits for in between counts: those before it in the pipeline, the turns of other
//! connections, a node that it was forwarded to, a client that does not read. What the kernel does is
//! left out: bytes that wait to be read, and answers that wait to be sent. Each request is sampled
//! with the same chance; of a `get` of many keys only the first key stands for the request. A request
//! that a peer forwarded here counts like any other, so it counts at both nodes.

mod heat;
mod latency;
mod report;
mod sampler;
mod sketch;

pub(crate) use heat::{Heat, HotKeys, WorkerHeat};
pub(crate) use latency::{Class, Latency, LatencySums, WorkerLatency};
pub(crate) use report::{hot_keys, latency};
pub(crate) use sampler::{Sampler, Timed};

/// One unit in so many is sampled, on average.
pub(crate) const SAMPLED_EVERY: u32 = 128;

/// Nanoseconds since the node started.
pub(crate) type Nanos = u64;
