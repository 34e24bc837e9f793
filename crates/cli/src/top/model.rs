//! What is known of the nodes: two samples of each make rates, and the rates a history.
//!
//! Nothing here asks a node, draws, or looks at a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringbinder_ring::Node;

use super::latency::Latency;
use super::sample::{Counters, HeldRing, Sample, Standing};
use crate::fleet::hot::keys::{self, HotKey};

/// Rates kept of each node.
const HISTORY: usize = 300;

/// So many samples make a percentile worth showing; for fewer, older ones are taken in.
const ENOUGH: u64 = 200;

/// No latency older than this is shown.
const OLDEST: Duration = Duration::from_secs(30);

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not heard of yet.
    Waiting,
    /// It answers.
    Up,
    /// It does not, and why.
    Away(String),
}

/// Why a node gave no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    /// What happened.
    pub(super) why: String,
    /// Whether it was not even asked, because it was away a moment ago.
    pub(super) resting: bool,
}

/// Rates over the last interval, a second each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) gets: f64,
    pub(super) hits: f64,
    pub(super) sets: f64,
    pub(super) evictions: f64,
    pub(super) foreign: f64,
    /// Gets that no owner answered.
    pub(super) failed_gets: f64,
    /// All requests that no owner answered.
    pub(super) failed: f64,
}

/// What is shown of a node in one word, the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Not heard of yet.
    Waiting,
    /// It does not answer.
    Away,
    /// Another process has its place.
    Replaced,
    /// Other nodes see two processes claim its name or address.
    Disputed,
    /// Nothing proves yet that its address leads to it.
    Unconfirmed,
    /// Its own ring does not name it.
    Absent,
    /// It owns keys that it does not serve yet.
    Moves,
    /// Nothing is wrong.
    Ok,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) state: State,
    /// What it said last, also while it is away.
    pub(super) sample: Option<Sample>,
    /// None before two samples, after a restart, and while it is away.
    pub(super) rates: Option<Rates>,
    /// Of the last interval, or longer where that had few samples.
    pub(super) latency: Option<Latency>,
    /// Requests a second, the oldest first; 0 while it was away.
    pub(super) history: VecDeque<u64>,
    /// The 99th percentile in microseconds, likewise.
    pub(super) slowest: VecDeque<u64>,
    heard: Option<Instant>,
    latencies: VecDeque<(Instant, Latency)>,
}

/// All nodes of the ring.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Where the ring is kept.
    pub(super) origin: String,
    /// The version and digest of the ring that the nodes come from.
    pub(super) ring: (u64, String),
    /// In the order of the ring.
    pub(super) nodes: Vec<Entry>,
    /// Requests a second of all nodes, the oldest first.
    pub(super) history: VecDeque<u64>,
}

/// Figures of all nodes that answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) up: usize,
    pub(super) away: usize,
    /// None where no node has any.
    pub(super) rates: Option<Rates>,
    pub(super) bytes: u64,
    pub(super) limit: u64,
    pub(super) items: u64,
    pub(super) connections: u64,
    pub(super) latency: Latency,
}

impl Rates {
    fn between(before: &Counters, now: &Counters, took: Duration) -> Option<Rates> {
        let seconds = took.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let grown = |now: u64, before: u64| Some(now.checked_sub(before)? as f64 / seconds);
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let rate = grown;
        let gets = rate(now.gets, before.gets)?;
        let sets = rate(now.sets, before.sets)?;
        Some(Rates {
            requests: gets + sets + rate(now.others, before.others)?,
            gets,
            hits: rate(now.hits, before.hits)?,
            sets,
            evictions: rate(now.evictions, before.evictions)?,
            foreign: rate(now.foreign, before.foreign)?,
            failed_gets: rate(now.failed_gets, before.failed_gets)?,
            failed: rate(now.failed, before.failed)?,
        })
    }

    fn add(&mut self, other: &Rates) {
        self.requests += other.requests;
        self.gets += other.gets;
        self.hits += other.hits;
        self.sets += other.sets;
        self.evictions += other.evictions;
        self.foreign += other.foreign;
        self.failed_gets += other.failed_gets;
        self.failed += other.failed;
    }

    /// Gets that a node carried out, and those that failed at the node that asked for their owner.
    fn asked(&self) -> f64 {
        self.gets + self.failed_gets
    }

    /// Hits of all gets, the failed among them, from 0 to 1; none without gets.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        (self.asked() > 0.0).then(|| (self.hits / self.asked()).min(1.0))
    }

    /// How many of all gets failed, from 0 to 1; none if none did.
    fn failing(&self) -> Option<f64> {
        (self.failed_gets > 0.0).then(|| (self.failed_gets / self.asked()).min(1.0))
    }
}

impl Entry {
    fn new(node: &Node) -> Entry {
        Entry {
            name: node.name.clone(),
            address: node.to_string(),
            state: State::Waiting,
            sample: None,
            rates: None,
            latency: None,
            history: VecDeque::new(),
            slowest: VecDeque::new(),
            heard: None,
            latencies: VecDeque::new(),
        }
    }

    /// Its share of its memory that is in use, from 0 to 1.
    pub(super) fn memory_used(&self) -> Option<f64> {
        let sample = self.sample.as_ref().filter(|sample| sample.limit > 0)?;
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        Some(sample.bytes as f64 / sample.limit as f64)
    }

    /// The ring that it holds, as far as it said.
    pub(super) fn held(&self) -> Option<&HeldRing> {
        self.sample.as_ref()?.ring.as_ref()
    }

    fn hear(&mut self, at: Instant, told: Result<Sample, Absent>) {
        match told {
            Ok(sample) => self.take(at, sample),
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

    fn take(&mut self, at: Instant, sample: Sample) {
        self.state = State::Up;
        let before = self.sample.take().filter(|before| sample.follows(before));
        if before.is_none() {
            self.latencies.clear();
        }
        self.rates = before.zip(self.heard).and_then(|(before, heard)| {
            let took = at.saturating_duration_since(heard);
            Rates::between(&before.counters, &sample.counters, took)
        });
        self.latency = sample.latency.and_then(|now| self.recent(at, now));
        self.heard = Some(at);
        self.sample = Some(sample);
    }

    /// The latencies since the newest earlier answer that enough of them lie behind.
    fn recent(&mut self, at: Instant, now: Latency) -> Option<Latency> {
        let old = |then: Instant| at.saturating_duration_since(then) > OLDEST;
        while self.latencies.front().is_some_and(|(then, _)| old(*then)) {
            self.latencies.pop_front();
        }
        let since = self.latencies.iter().rev().map(|(_, then)| now.since(then));
        let mut recent = None;
        for latency in since {
            let Some(latency) = latency else {
                // Counted anew: nothing before it can be compared with.
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
    /// Nodes that nothing is known of yet.
    pub(super) fn new(origin: String, ring: (u64, String), nodes: &[Node]) -> Model {
        let nodes = nodes.iter().map(Entry::new).collect();
        Model { origin, ring, nodes, history: VecDeque::new() }
    }

    /// Another ring: of nodes that stay, what is known stays.
    pub(super) fn follow(&mut self, ring: (u64, String), nodes: &[Node]) {
        let mut before = std::mem::take(&mut self.nodes);
        for node in nodes {
            let entry = Entry::new(node);
            let known = before
                .iter()
                .position(|old| old.name == entry.name && old.address == entry.address);
            self.nodes.push(known.map_or(entry, |at| before.swap_remove(at)));
        }
        self.ring = ring;
    }

    /// Takes in what a node said.
    pub(super) fn hear(&mut self, node: usize, at: Instant, told: Result<Sample, Absent>) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.hear(at, told);
        }
    }

    /// Adds the present sum of rates to the history.
    pub(super) fn remember(&mut self) {
        let rate = self.totals().rates.map_or(0.0, |rates| rates.requests);
        push(&mut self.history, rate);
    }

    /// What all nodes do together.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for entry in &self.nodes {
            match &entry.state {
                State::Waiting => continue,
                State::Away(_) => {
                    totals.away += 1;
                    continue;
                }
                State::Up => totals.up += 1,
            }
            if let Some(rates) = &entry.rates {
                totals.rates.get_or_insert_default().add(rates);
            }
            if let Some(latency) = &entry.latency {
                totals.latency.add(latency);
            }
            if let Some(sample) = &entry.sample {
                totals.bytes = totals.bytes.saturating_add(sample.bytes);
                totals.limit = totals.limit.saturating_add(sample.limit);
                totals.items = totals.items.saturating_add(sample.items);
                totals.connections = totals.connections.saturating_add(sample.connections);
            }
        }
        totals
    }

    /// The hot keys of the nodes that answer, and the shortest time that one of them tells of.
    pub(super) fn hot_keys(&self) -> (Vec<HotKey>, Option<u64>) {
        let heats = self.nodes.iter().enumerate().filter_map(|(index, entry)| {
            let heat = entry.sample.as_ref()?.heat.as_ref()?;
            (entry.state == State::Up).then_some((index, heat))
        });
        let window = heats.clone().map(|(_, heat)| heat.window).min();
        (keys::merge(heats), window)
    }

    /// Whether a node holds another ring than the newest one that is known of.
    pub(super) fn disagrees(&self, entry: &Entry) -> bool {
        let newest = self.newest();
        let held = entry.held().filter(|_| entry.state == State::Up);
        held.is_some_and(|held| (held.version, held.digest.as_str()) != newest)
    }

    /// How a node is, in one word.
    pub(super) fn condition(&self, entry: &Entry) -> Condition {
        match entry.state {
            State::Waiting => return Condition::Waiting,
            State::Away(_) => return Condition::Away,
            State::Up => {}
        }
        let held = entry.held();
        match held.map(|held| held.standing).unwrap_or_default() {
            Standing::Replaced => Condition::Replaced,
            _ if !self.disputed_by(entry).is_empty() => Condition::Disputed,
            Standing::Unconfirmed => Condition::Unconfirmed,
            Standing::Absent => Condition::Absent,
            Standing::Confirmed if held.is_some_and(|held| !held.settled) => Condition::Moves,
            Standing::Confirmed => Condition::Ok,
        }
    }

    /// The nodes that see two processes claim a node's name or address.
    pub(super) fn disputed_by(&self, entry: &Entry) -> Vec<&str> {
        self.told_by(|held| held.disputed.contains(&entry.name))
    }

    /// The nodes that answer and say such a thing.
    fn told_by(&self, tells: impl Fn(&HeldRing) -> bool) -> Vec<&str> {
        let up = self.nodes.iter().filter(|entry| entry.state == State::Up);
        let told = up.filter(|entry| entry.held().is_some_and(&tells));
        told.map(|entry| entry.name.as_str()).collect()
    }

    /// What is wrong with a node that answers.
    fn wrong(&self, entry: &Entry) -> Vec<String> {
        let (name, mut wrong) = (&entry.name, Vec::new());
        let Some(held) = entry.held().filter(|_| entry.state == State::Up) else {
            return wrong;
        };
        let why = |what: String| match held.standing_reason.as_str() {
            "" => what,
            reason => format!("{what}: {reason}"),
        };
        match held.standing {
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
        let is_this = |unreached: &&(String, String)| unreached.0 == *name;
        let cut_off = self.told_by(|held| held.unreached.iter().any(|it| is_this(&it)));
        if !cut_off.is_empty() {
            let told = self.nodes.iter().filter_map(Entry::held).flat_map(|held| &held.unreached);
            let why = told.filter(is_this).map(|(_, why)| why.as_str()).find(|why| !why.is_empty());
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            wrong.push(format!("{name} is away for {}{why}", cut_off.join(", ")));
        }
        if !held.drift.is_empty() {
            wrong.push(format!("{name}: {}", held.drift));
        }
        wrong
    }

    /// The ring with the highest version, of those that the nodes hold and the one that was read.
    fn newest(&self) -> (u64, &str) {
        let up = self.nodes.iter().filter(|entry| entry.state == State::Up);
        let held = up.filter_map(Entry::held).map(|held| (held.version, held.digest.as_str()));
        // Of two with one version, that of the file counts: it is the one that was asked for.
        let read = (self.ring.0, self.ring.1.as_str());
        held.fold(read, |newest, held| if held.0 > newest.0 { held } else { newest })
    }

    /// One line on what deserves a look first; none where all is well.
    pub(super) fn trouble(&self) -> Option<String> {
        let away: Vec<&Entry> =
            self.nodes.iter().filter(|entry| matches!(entry.state, State::Away(_))).collect();
        let apart: Vec<&Entry> = self.nodes.iter().filter(|entry| self.disagrees(entry)).collect();
        let mut parts = Vec::new();
        match away[..] {
            [] => {}
            [Entry { name, state: State::Away(why), .. }] => parts.push(format!("{name} {why}")),
            _ => {
                let names: Vec<&str> = away.iter().map(|entry| entry.name.as_str()).collect();
                parts.push(format!("{} nodes are away: {}", names.len(), names.join(", ")));
                // Most often they all are for the same reason.
                let mut told = Vec::new();
                for Entry { name, state, .. } in away {
                    if let State::Away(why) = state
                        && !told.contains(&why)
                    {
                        told.push(why);
                        parts.push(format!("{name} {why}"));
                    }
                }
            }
        }
        if let Some(failing) = self.totals().rates.as_ref().and_then(Rates::failing) {
            let share = failing * 100.0;
            let share =
                if share < 0.1 { "less than 0.1".to_owned() } else { format!("{share:.1}") };
            parts.push(format!("{share}% of gets miss because no owner answers"));
        }
        parts.extend(self.nodes.iter().flat_map(|entry| self.wrong(entry)));
        if !apart.is_empty() {
            let (version, _) = self.newest();
            let held = apart.iter().filter_map(|entry| {
                Some(format!("{} holds {}", entry.name, entry.held()?.version))
            });
            let held: Vec<String> = held.collect();
            parts.push(format!("ring {version} is the newest, but {}", held.join(", ")));
        }
        for entry in &self.nodes {
            if let Some(held) = entry.held().filter(|held| !held.last_error.is_empty()) {
                parts.push(format!("{}: {}", entry.name, held.last_error));
            }
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(super) mod tests;
