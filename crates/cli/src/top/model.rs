//! The state of the nodes. Two reports of a node give its rates, and rates form a history.
//!
//! This module does not ask nodes, draw, or read a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringbinder_protocol::stats::{
    General, Histogram, NodeReport, Rates, RingHotKey, RingReport, float, is_reported, merge,
};
use ringbinder_protocol::{Stamp, Standing};
use ringbinder_ring::Node;

/// Rates kept for each node.
const HISTORY: usize = 300;

/// Minimum number of samples for a percentile. If there are fewer, older samples are included.
const ENOUGH: u64 = 200;

/// Maximum age of a latency on display.
const OLDEST: Duration = Duration::from_secs(30);

/// Whether a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No answer yet.
    Waiting,
    /// It answers.
    Up,
    /// It does not answer, with the reason.
    Away(String),
}

/// The reason why a node gave no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    /// The error.
    pub(super) why: String,
    /// Whether the node was not asked because it was unreachable a moment ago.
    pub(super) resting: bool,
}

/// The state of a node in one word, the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// No answer yet.
    Waiting,
    /// It does not answer.
    Away,
    /// Another process has taken its place.
    Replaced,
    /// Other nodes see two processes claim its name or address.
    Disputed,
    /// It has no proof yet that its address leads to it.
    Unconfirmed,
    /// Its own ring does not list it.
    Absent,
    /// It owns keys that it does not serve yet.
    Moves,
    /// No problem.
    Ok,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) state: State,
    /// Its last report, which stays while it is unreachable.
    pub(super) report: Option<NodeReport>,
    /// `None` before the second report, after a restart, and while it is unreachable.
    pub(super) rates: Option<Rates>,
    /// Of the last interval, or of a longer one if that had few samples.
    pub(super) latency: Option<Histogram>,
    /// Requests per second, the oldest first; 0 while it was unreachable.
    pub(super) history: VecDeque<u64>,
    /// The 99th percentile in microseconds, the oldest first.
    pub(super) slowest: VecDeque<u64>,
    heard: Option<Instant>,
    latencies: VecDeque<(Instant, Histogram)>,
}

/// All nodes of the ring.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The location of the ring.
    pub(super) origin: String,
    /// The ring that lists the nodes.
    pub(super) ring: Stamp,
    /// The nodes, in the order of the ring.
    pub(super) nodes: Vec<Entry>,
    /// Requests per second of all nodes, the oldest first.
    pub(super) history: VecDeque<u64>,
}

/// Totals of all nodes that answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) up: usize,
    pub(super) away: usize,
    /// `None` if no node has rates.
    pub(super) rates: Option<Rates>,
    /// Sums of memory, items and connections.
    pub(super) general: General,
    pub(super) latency: Histogram,
}

impl Entry {
    fn new(node: &Node) -> Entry {
        Entry {
            name: node.name.clone(),
            address: node.to_string(),
            state: State::Waiting,
            report: None,
            rates: None,
            latency: None,
            history: VecDeque::new(),
            slowest: VecDeque::new(),
            heard: None,
            latencies: VecDeque::new(),
        }
    }

    /// Whether it answers, so that its figures are worth showing.
    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Share of its memory in use, from 0 to 1.
    pub(super) fn memory_used(&self) -> Option<f64> {
        let (used, limit) = self.general().and_then(|it| it.bytes.zip(it.limit_maxbytes))?;
        (limit > 0).then(|| float(used) / float(limit))
    }

    /// Its last counters.
    pub(super) fn general(&self) -> Option<&General> {
        self.report.as_ref().map(|report| &report.general)
    }

    /// Its last report about its ring, if it has one.
    pub(super) fn ring(&self) -> Option<&RingReport> {
        self.report.as_ref()?.ring.as_ref()
    }

    /// The ring that it holds, with that report.
    pub(super) fn held(&self) -> Option<(Stamp, &RingReport)> {
        let ring = self.ring()?;
        Some((ring.id?, ring))
    }

    fn hear(&mut self, at: Instant, report: Result<NodeReport, Absent>) {
        match report {
            Ok(report) => self.take(at, report),
            Err(absent) => {
                if !(absent.resting && matches!(self.state, State::Away(_))) {
                    self.state = State::Away(absent.why);
                }
                self.rates = None;
                self.latency = None;
                self.latencies.clear();
                self.heard = None;
            }
        }
        let rate = self.rates.map_or(0.0, |rates| rates.requests);
        push(&mut self.history, rate);
        let slowest = self.latency.and_then(|latency| latency.quantile(0.99));
        push(&mut self.slowest, slowest.unwrap_or(0.0));
    }

    fn take(&mut self, at: Instant, mut report: NodeReport) {
        self.state = State::Up;
        let before = self.report.take().filter(|before| report.follows(before));
        if before.is_none() {
            self.latencies.clear();
        }
        self.rates = before.zip(self.heard).and_then(|(before, heard)| {
            let took = at.saturating_duration_since(heard);
            Rates::between(&before, &report, took)
        });
        let latency = report.latency.take();
        self.latency = latency.and_then(|now| self.recent(at, now.together()));
        self.heard = Some(at);
        self.report = Some(report);
    }

    /// The latencies since the newest earlier answer that has enough samples after it.
    fn recent(&mut self, at: Instant, now: Histogram) -> Option<Histogram> {
        let old = |then: Instant| at.saturating_duration_since(then) > OLDEST;
        while self.latencies.front().is_some_and(|(then, _)| old(*then)) {
            self.latencies.pop_front();
        }
        let since = self.latencies.iter().rev().map(|(_, then)| now.since(then));
        let mut recent = None;
        for latency in since {
            let Some(latency) = latency else {
                // The node has reset its counters, so earlier answers are not comparable.
                self.latencies.clear();
                break;
            };
            recent = Some(latency);
            if latency.count() >= ENOUGH {
                break;
            }
        }
        self.latencies.push_back((at, now));
        recent
    }
}

fn push(history: &mut VecDeque<u64>, rate: f64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    history.push_back(rate.round() as u64);
}

impl Model {
    /// A model of nodes that have not answered yet.
    pub(super) fn new(origin: String, ring: Stamp, nodes: &[Node]) -> Model {
        let nodes = nodes.iter().map(Entry::new).collect();
        Model { origin, ring, nodes, history: VecDeque::new() }
    }

    /// Switches to another ring. Nodes that are also in the new ring keep their state.
    pub(super) fn follow(&mut self, ring: Stamp, nodes: &[Node]) {
        let mut before = std::mem::take(&mut self.nodes);
        for node in nodes {
            let entry = Entry::new(node);
            let same = |old: &Entry| old.name == entry.name && old.address == entry.address;
            let known = before.iter().position(same);
            self.nodes.push(known.map_or(entry, |at| before.swap_remove(at)));
        }
        self.ring = ring;
    }

    /// Records a node's answer.
    pub(super) fn hear(&mut self, node: usize, at: Instant, report: Result<NodeReport, Absent>) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.hear(at, report);
        }
    }

    /// Adds the current sum of rates to the history.
    pub(super) fn remember(&mut self) {
        let rate = self.totals().rates.map_or(0.0, |rates| rates.requests);
        push(&mut self.history, rate);
    }

    /// Totals of all nodes.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for entry in &self.nodes {
            totals.away += usize::from(matches!(entry.state, State::Away(_)));
            if !entry.is_up() {
                continue;
            }
            totals.up += 1;
            if let Some(rates) = &entry.rates {
                totals.rates.get_or_insert_default().add(rates);
            }
            if let Some(latency) = &entry.latency {
                totals.latency.add(latency);
            }
            if let Some(general) = entry.general() {
                let sums = &mut totals.general;
                for (sum, number) in [
                    (&mut sums.bytes, general.bytes),
                    (&mut sums.limit_maxbytes, general.limit_maxbytes),
                    (&mut sums.curr_items, general.curr_items),
                    (&mut sums.curr_connections, general.curr_connections),
                ] {
                    *sum = Some(sum.unwrap_or(0).saturating_add(number.unwrap_or(0)));
                }
            }
        }
        totals
    }

    /// The hot keys of the nodes that answer, and the shortest window that a node reported.
    pub(super) fn hot_keys(&self) -> (Vec<RingHotKey>, Option<u64>) {
        let reports = self.nodes.iter().enumerate().filter_map(|(index, entry)| {
            let keys = entry.report.as_ref()?.hot_keys.as_ref()?;
            entry.is_up().then_some((index, keys))
        });
        let window = reports.clone().map(|(_, keys)| keys.window).min();
        (merge(reports), window)
    }

    /// Whether a node holds another ring than the newest known one.
    pub(super) fn disagrees(&self, entry: &Entry) -> bool {
        let newest = self.newest();
        let held = entry.held().filter(|_| entry.is_up());
        held.is_some_and(|(held, _)| held != newest)
    }

    /// The state of a node in one word.
    pub(super) fn condition(&self, entry: &Entry) -> Condition {
        match entry.state {
            State::Waiting => return Condition::Waiting,
            State::Away(_) => return Condition::Away,
            State::Up => {}
        }
        let ring = entry.ring();
        match ring.and_then(RingReport::standing).unwrap_or(Standing::Confirmed) {
            Standing::Replaced => Condition::Replaced,
            _ if !self.disputed_by(entry).is_empty() => Condition::Disputed,
            Standing::Unconfirmed => Condition::Unconfirmed,
            Standing::Absent => Condition::Absent,
            Standing::Confirmed if ring.is_some_and(RingReport::is_waiting) => Condition::Moves,
            Standing::Confirmed => Condition::Ok,
        }
    }

    /// The nodes that see two processes claim a node's name or address.
    pub(super) fn disputed_by(&self, entry: &Entry) -> Vec<&str> {
        self.reported_by(|ring| ring.disputed().any(|name| name == entry.name))
    }

    /// The nodes that answer and whose report meets a condition.
    fn reported_by(&self, meets: impl Fn(&RingReport) -> bool) -> Vec<&str> {
        let up = self.nodes.iter().filter(|entry| entry.is_up());
        let reporters = up.filter(|entry| entry.ring().is_some_and(&meets));
        reporters.map(|entry| entry.name.as_str()).collect()
    }

    /// The problems of a node that answers.
    fn wrong(&self, entry: &Entry) -> Vec<String> {
        let (name, mut wrong) = (&entry.name, Vec::new());
        let Some(ring) = entry.ring().filter(|_| entry.is_up()) else {
            return wrong;
        };
        let why = |what: String| match is_reported(&ring.standing_reason) {
            None => what,
            Some(reason) => format!("{what}: {reason}"),
        };
        match ring.standing().unwrap_or(Standing::Confirmed) {
            Standing::Confirmed => {}
            Standing::Replaced => wrong.push(why(format!("{name} is replaced"))),
            Standing::Unconfirmed => wrong.push(why(format!("{name} is unconfirmed"))),
            Standing::Absent => wrong.push(why(format!("{name} is absent from its own ring"))),
        }
        let disputed_by = self.disputed_by(entry);
        if !disputed_by.is_empty() {
            let who = disputed_by.join(", ");
            wrong.push(format!("two processes claim to be {name}, as {who} see it"));
        }
        let cut_off = self.reported_by(|ring| ring.unreached().any(|(peer, _)| peer == name));
        if !cut_off.is_empty() {
            let rings = self.nodes.iter().filter_map(Entry::ring);
            let why = rings
                .flat_map(RingReport::unreached)
                .find(|(peer, why)| peer == name && !why.is_empty());
            let why = why.map_or_else(String::new, |(_, why)| format!(": {why}"));
            wrong.push(format!("{name} is away for {}{why}", cut_off.join(", ")));
        }
        if let Some(drift) = is_reported(&ring.drift) {
            wrong.push(format!("{name}: {drift}"));
        }
        wrong
    }

    /// The ring with the highest version, of the nodes' rings and the ring that was read.
    fn newest(&self) -> Stamp {
        let up = self.nodes.iter().filter(|entry| entry.is_up());
        let held = up.filter_map(Entry::held).map(|(held, _)| held);
        // If two rings share a version, the ring of the file wins, since the user asked for it.
        let newer = |newest: Stamp, held: Stamp| {
            if held.version > newest.version { held } else { newest }
        };
        held.fold(self.ring, newer)
    }

    /// The most important problem, in one line. `None` if there is no problem.
    pub(super) fn trouble(&self) -> Option<String> {
        let away: Vec<&Entry> =
            self.nodes.iter().filter(|entry| matches!(entry.state, State::Away(_))).collect();
        let mut parts = Vec::new();
        match away[..] {
            [] => {}
            [Entry { name, state: State::Away(why), .. }] => parts.push(format!("{name} {why}")),
            _ => {
                let names: Vec<&str> = away.iter().map(|entry| entry.name.as_str()).collect();
                parts.push(format!("{} nodes are away: {}", names.len(), names.join(", ")));
                // Usually all of them have the same reason.
                let mut reasons = Vec::new();
                for Entry { name, state, .. } in away {
                    if let State::Away(why) = state
                        && !reasons.contains(&why)
                    {
                        reasons.push(why);
                        parts.push(format!("{name} {why}"));
                    }
                }
            }
        }
        if let Some(failing) = self.totals().rates.as_ref().and_then(Rates::failed_share) {
            let share = failing * 100.0;
            let share =
                if share < 0.1 { "less than 0.1".to_owned() } else { format!("{share:.1}") };
            parts.push(format!("{share}% of gets miss because no owner answers"));
        }
        parts.extend(self.nodes.iter().flat_map(|entry| self.wrong(entry)));
        let differing = self.nodes.iter().filter(|entry| self.disagrees(entry));
        let held =
            differing.filter_map(|it| Some(format!("{} holds {}", it.name, it.held()?.0.version)));
        let held: Vec<String> = held.collect();
        if !held.is_empty() {
            let version = self.newest().version;
            parts.push(format!("ring {version} is the newest, but {}", held.join(", ")));
        }
        for entry in &self.nodes {
            if let Some(error) = entry.ring().and_then(|ring| is_reported(&ring.last_error)) {
                parts.push(format!("{}: {error}", entry.name));
            }
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(super) mod tests;
