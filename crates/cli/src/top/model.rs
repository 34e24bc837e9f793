//! The state of the nodes. Two samples of a node give its rates, and rates form a history.
//!
//! This module does not ask nodes, draw, or read a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringbinder_ring::Node;

use super::latency::Latency;
use super::sample::{Counters, HeldRing, Sample, Standing};
use crate::fleet::hot::keys::{self, HotKey};

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

/// The reason why a node gave no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    /// The error.
    pub(super) why: String,
    /// Whether the node was not asked because it was unreachable a moment ago.
    pub(super) resting: bool,
}

/// Rates over the last interval, per second.
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
    /// Its last sample, which stays while it is unreachable.
    pub(super) sample: Option<Sample>,
    /// `None` before the second sample, after a restart, and while it is unreachable.
    pub(super) rates: Option<Rates>,
    /// Of the last interval, or of a longer one if that had few samples.
    pub(super) latency: Option<Latency>,
    /// Requests per second, the oldest first; 0 while it was unreachable.
    pub(super) history: VecDeque<u64>,
    /// The 99th percentile in microseconds, the oldest first.
    pub(super) slowest: VecDeque<u64>,
    heard: Option<Instant>,
    latencies: VecDeque<(Instant, Latency)>,
}

/// All nodes of the ring.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The location of the ring.
    pub(super) origin: String,
    /// The version and digest of the ring that lists the nodes.
    pub(super) ring: (u64, String),
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

    /// Gets that a node carried out, and gets that failed because their owner did not answer it.
    fn asked(&self) -> f64 {
        self.gets + self.failed_gets
    }

    /// Hits as a share of all gets, failed gets included, from 0 to 1. `None` without gets.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        (self.asked() > 0.0).then(|| (self.hits / self.asked()).min(1.0))
    }

    /// Failed gets as a share of all gets, from 0 to 1. `None` if none failed.
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

    /// Share of its memory in use, from 0 to 1.
    pub(super) fn memory_used(&self) -> Option<f64> {
        let sample = self.sample.as_ref().filter(|sample| sample.limit > 0)?;
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        Some(sample.bytes as f64 / sample.limit as f64)
    }

    /// The ring that it holds, if it reported one.
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

    /// The latencies since the newest earlier answer that has enough samples after it.
    fn recent(&mut self, at: Instant, now: Latency) -> Option<Latency> {
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
    pub(super) fn new(origin: String, ring: (u64, String), nodes: &[Node]) -> Model {
        let nodes = nodes.iter().map(Entry::new).collect();
        Model { origin, ring, nodes, history: VecDeque::new() }
    }

    /// Switches to another ring. Nodes that are also in the new ring keep their state.
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

    /// Records a node's answer.
    pub(super) fn hear(&mut self, node: usize, at: Instant, told: Result<Sample, Absent>) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.hear(at, told);
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

    /// The hot keys of the nodes that answer, and the shortest window that a node reported.
    pub(super) fn hot_keys(&self) -> (Vec<HotKey>, Option<u64>) {
        let heats = self.nodes.iter().enumerate().filter_map(|(index, entry)| {
            let heat = entry.sample.as_ref()?.heat.as_ref()?;
            (entry.state == State::Up).then_some((index, heat))
        });
        let window = heats.clone().map(|(_, heat)| heat.window).min();
        (keys::merge(heats), window)
    }

    /// Whether a node holds another ring than the newest known one.
    pub(super) fn disagrees(&self, entry: &Entry) -> bool {
        let newest = self.newest();
        let held = entry.held().filter(|_| entry.state == State::Up);
        held.is_some_and(|held| (held.version, held.digest.as_str()) != newest)
    }

    /// The state of a node in one word.
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

    /// The nodes that answer and whose report meets a condition.
    fn told_by(&self, tells: impl Fn(&HeldRing) -> bool) -> Vec<&str> {
        let up = self.nodes.iter().filter(|entry| entry.state == State::Up);
        let told = up.filter(|entry| entry.held().is_some_and(&tells));
        told.map(|entry| entry.name.as_str()).collect()
    }

    /// The problems of a node that answers.
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

    /// The ring with the highest version, of the nodes' rings and the ring that was read.
    fn newest(&self) -> (u64, &str) {
        let up = self.nodes.iter().filter(|entry| entry.state == State::Up);
        let held = up.filter_map(Entry::held).map(|held| (held.version, held.digest.as_str()));
        // If two rings share a version, the ring of the file wins, since the user asked for it.
        let read = (self.ring.0, self.ring.1.as_str());
        held.fold(read, |newest, held| if held.0 > newest.0 { held } else { newest })
    }

    /// The most important problem, in one line. `None` if there is no problem.
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
                // Usually all of them have the same reason.
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
