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

/// What connections ask for, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    /// Connections, all threads together.
    pub(crate) connections: usize,
    /// Requests that each connection keeps in flight.
    pub(crate) pipeline: usize,
    /// So many sets ...
    pub(crate) sets: u32,
    /// ... before so many gets.
    pub(crate) gets: u32,
    /// Keys that one get asks for.
    pub(crate) keys_per_get: usize,
    /// Bytes of each value.
    pub(crate) value_size: usize,
    /// Keys, all of which are stored beforehand, and asked for equally often at random.
    pub(crate) keys: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// Requests answered, from the first to the last. A get of many keys is one.
    pub(crate) requests: u64,
    /// Requests answered per second while the load was on.
    pub(crate) per_second: f64,
    /// Time from request to answer, in microseconds: half were faster ...
    pub(crate) p50: f64,
    /// ... 99 of 100 ...
    pub(crate) p99: f64,
    /// ... and 999 of 1000.
    pub(crate) p999: f64,
    /// Keys asked for that were not there.
    pub(crate) misses: u64,
    /// What went wrong, if anything did.
    pub(crate) trouble: Option<String>,
}

/// Who makes the load.
#[derive(Clone, Debug)]
pub(crate) enum Generator {
    /// memtier_benchmark, and what it says of its version.
    Memtier {
        /// What it is started from.
        program: PathBuf,
        /// The first line it prints.
        version: String,
    },
    /// This program.
    Own,
}

impl Generator {
    /// Loads the server for so many seconds, with so many threads.
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

    /// How much longer than its seconds a run takes.
    pub(crate) fn overhead(&self) -> Duration {
        match self {
            // It looks once a second whether it is done.
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
