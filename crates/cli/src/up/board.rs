//! What the live table shows.

use std::path::PathBuf;
use std::time::Duration;

use super::figures::Figures;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, and has not answered yet.
    Starting,
    /// It answers.
    Up,
    /// It does not answer.
    Away,
    /// Its process has ended.
    Ended,
    /// It is no longer in the ring.
    Leaving,
}

impl State {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Up => "up",
            State::Away => "away",
            State::Ended => "ended",
            State::Leaving => "leaving",
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// Its address.
    pub(super) address: String,
    /// How it is.
    pub(super) state: State,
    /// Its process.
    pub(super) pid: Option<u32>,
    /// What it said last; none where it does not answer.
    pub(super) figures: Option<Figures>,
    /// Gets in a second.
    pub(super) gets_per_second: Option<u64>,
    /// Share of the keys that the ring gives it, from 0 to 1.
    pub(super) share: f64,
}

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// The ring file.
    pub(super) file: PathBuf,
    /// Its version.
    pub(super) version: u64,
    /// How long the nodes have been running.
    pub(super) age: Duration,
    /// The nodes.
    pub(super) rows: Vec<Row>,
    /// Where their logs are.
    pub(super) logs: PathBuf,
    /// What to try in another terminal, as one would type it.
    pub(super) commands: Vec<String>,
}
