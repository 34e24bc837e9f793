//! The contents of the live table.

use std::path::PathBuf;
use std::time::Duration;

use super::figures::Figures;

/// The state of a node.
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

/// The row of one node.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// Its address.
    pub(super) address: String,
    /// Its state.
    pub(super) state: State,
    /// The id of its process.
    pub(super) pid: Option<u32>,
    /// Its last figures; `None` if it does not answer.
    pub(super) figures: Option<Figures>,
    /// Gets per second.
    pub(super) gets_per_second: Option<u64>,
    /// Share of the keys that it owns, from 0 to 1.
    pub(super) share: f64,
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// The ring file.
    pub(super) file: PathBuf,
    /// The version of the ring.
    pub(super) version: u64,
    /// Time since the nodes were started.
    pub(super) age: Duration,
    /// The rows of the nodes.
    pub(super) rows: Vec<Row>,
    /// The directory of their logs.
    pub(super) logs: PathBuf,
    /// Commands to try in another terminal, as the user would type them.
    pub(super) commands: Vec<String>,
}
