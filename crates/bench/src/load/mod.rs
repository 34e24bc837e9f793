//! Load on a server: what is asked of it, and by which generator.
//!
//! | file | purpose |
//! |---|---|
//! | `engine`, `connection` | the generator; one of its connections |
//! | `target`, `requests`, `answers` | which server and keys; writing requests; reading answers |
//! | `memtier`, `memtier_report` | load by `memtier_benchmark` |

mod answers;
mod connection;
mod engine;
#[cfg(test)]
pub(crate) mod fake;
mod memtier;
mod memtier_report;
mod requests;
mod target;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::stop::Stop;

pub(crate) use engine::{fill, fill_at, run as run_own, run_at};
pub(crate) use requests::Keys;
pub(crate) use target::{Numbers, Target};

/// The requests that connections repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    /// Connections of all threads together.
    pub(crate) connections: usize,
    /// Requests that each connection keeps in flight.
    pub(crate) pipeline: usize,
    /// This many sets ...
    pub(crate) sets: u32,
    /// ... before this many gets.
    pub(crate) gets: u32,
    /// Keys in one get.
    pub(crate) keys_per_get: usize,
    /// Bytes of each value.
    pub(crate) value_size: usize,
    /// Number of keys. All are stored beforehand, and requested at random with equal probability.
    pub(crate) keys: u64,
}

/// The result of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// Number of requests answered in total. A get of many keys is one request.
    pub(crate) requests: u64,
    /// Requests answered per second during the load.
    pub(crate) per_second: f64,
    /// Latency in microseconds: half of the requests were faster ...
    pub(crate) p50: f64,
    /// ... 99 of 100 ...
    pub(crate) p99: f64,
    /// ... and 999 of 1000.
    pub(crate) p999: f64,
    /// Requested keys that were missing.
    pub(crate) misses: u64,
    /// A description of the problems, if there were any.
    pub(crate) trouble: Option<String>,
}

/// The program that produces the load.
#[derive(Clone, Debug)]
pub(crate) enum Generator {
    /// memtier_benchmark.
    Memtier {
        /// The path of the program.
        program: PathBuf,
        /// The first line of its version output.
        version: String,
    },
    /// This program.
    Own,
}

impl Generator {
    /// Loads the server for this many seconds, with this many threads.
    pub(crate) fn run(
        &self,
        load: &Load,
        server: SocketAddr,
        threads: usize,
        seconds: u32,
        stop: &Stop,
    ) -> anyhow::Result<Outcome> {
        match self {
            Self::Memtier { program, .. } => {
                memtier::run(program, load, server, threads, seconds, stop)
            }
            Self::Own => run_own(load, server, threads, Duration::from_secs(seconds.into()), stop),
        }
    }

    /// Duration of a run beyond its seconds of load.
    pub(crate) fn overhead(&self) -> Duration {
        match self {
            // memtier checks once a second whether it is done.
            Self::Memtier { .. } => Duration::from_secs(1),
            Self::Own => Duration::ZERO,
        }
    }

    /// Its name and version.
    pub(crate) fn describe(&self) -> &str {
        match self {
            Self::Memtier { version, .. } => version,
            Self::Own => concat!("ringbinder bench ", env!("CARGO_PKG_VERSION")),
        }
    }
}
