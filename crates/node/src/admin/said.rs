//! What one node said of itself at one moment: the few figures of its `stats` answers that are kept.

use super::figures::{Answer, HotKey, Latency, hot_keys};
use crate::ring;
use crate::sampling;
use crate::shared::Shared;
use crate::snapshot;
use crate::stats;

/// The commands that a node is asked, in this order.
pub(super) const QUESTIONS: &[u8] = b"stats\r\nstats ring\r\nstats latency\r\nstats hotkeys\r\n";

/// How many answers they have.
pub(super) const ANSWERS: usize = 4;

/// Longest text kept of a node's own words, in bytes.
const MAX_TEXT: usize = 300;

/// Counters and gauges of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Tells one process from the next at the same address.
    pub(super) pid: u64,
    pub(super) uptime: u64,
    pub(super) version: String,
    pub(super) gets: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) sets: u64,
    /// Requests of every kind that were carried out here.
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) items: u64,
    pub(super) evictions: u64,
    /// Values refused for want of memory.
    pub(super) no_memory: u64,
    pub(super) connections: u64,
    pub(super) max_connections: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
}

/// What `stats ring` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// What the node calls itself.
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) digest: String,
    pub(super) settled: bool,
    /// Why its ring's source is not in force; empty where it is.
    pub(super) last_error: String,
    /// Keys of other nodes that it left to them.
    pub(super) foreign: u64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) load: Load,
    /// `None` for a node without a ring.
    pub(super) stand: Option<Stand>,
    pub(super) latency: Latency,
    pub(super) hot_keys: Vec<HotKey>,
}

impl Said {
    /// Takes the figures out of the answers to [`QUESTIONS`].
    pub(super) fn of(answers: &[Vec<u8>; ANSWERS]) -> Said {
        let [general, ring, latency, hot] = answers.each_ref().map(|text| Answer::parse(text));
        Said {
            load: load(&general),
            stand: stand(&ring),
            latency: Latency::parse(&latency),
            hot_keys: hot_keys(&hot),
        }
    }

    /// What this node says, without a connection to itself.
    pub(super) fn own(shared: &Shared) -> Said {
        let mut answers: [Vec<u8>; ANSWERS] = Default::default();
        stats::general(shared, &mut answers[0]);
        ring::report(shared, &mut answers[1]);
        sampling::latency(shared, &mut answers[2]);
        // What is refused to clients is not shown to whoever reads the page.
        if shared.settings.dump_enabled {
            sampling::hot_keys(shared, &mut answers[3]);
        }
        Said::of(&answers)
    }
}

/// What this node says of its snapshots.
pub(super) fn of_snapshots(shared: &Shared) -> Answer {
    let mut answer = Vec::new();
    snapshot::stats(shared, &mut answer);
    Answer::parse(&answer)
}

fn load(answer: &Answer) -> Load {
    let number = |name| answer.number(name).unwrap_or(0);
    Load {
        pid: number("pid"),
        uptime: number("uptime"),
        version: text(answer.get("ringbinder_version")),
        gets: number("cmd_get"),
        hits: number("get_hits"),
        misses: number("get_misses"),
        sets: number("cmd_set"),
        requests: answer.sum(&[
            "cmd_get",
            "cmd_set",
            "cmd_touch",
            "cmd_meta",
            "delete_hits",
            "delete_misses",
            "incr_hits",
            "incr_misses",
            "decr_hits",
            "decr_misses",
        ]),
        bytes: number("bytes"),
        max_bytes: number("limit_maxbytes"),
        items: number("curr_items"),
        evictions: number("evictions"),
        no_memory: number("store_no_memory"),
        connections: number("curr_connections"),
        max_connections: number("max_connections"),
        bytes_read: number("bytes_read"),
        bytes_written: number("bytes_written"),
    }
}

fn stand(answer: &Answer) -> Option<Stand> {
    let said = |name| answer.get(name).filter(|&text| text != "-");
    Some(Stand {
        name: text(answer.get("ring_node")),
        version: answer.number("ring_version")?,
        digest: text(answer.get("ring_digest")),
        settled: answer.get("ring_settled") == Some("yes"),
        last_error: text(said("ring_last_error")),
        foreign: answer.sum(&["foreign_gets", "foreign_requests"]),
    })
}

/// A node's own words, no longer than people read.
fn text(said: Option<&str>) -> String {
    let mut kept = String::new();
    for character in said.unwrap_or_default().chars() {
        if kept.len() + character.len_utf8() > MAX_TEXT {
            break;
        }
        kept.push(character);
    }
    kept
}
