//! The state of one node, from its process and its answers.

use std::time::{Duration, Instant};

use ringbinder_ring::Node;

use super::event::Event;
use super::figures::Figures;
use super::node::Process;

/// The first pause before a node is restarted.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// After a node has run this long, the next pause is the shortest again.
const SOUND: Duration = Duration::from_secs(60);

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

/// A node, local or not.
pub(super) struct Entry {
    pub(super) node: Node,
    /// Whether this command runs it.
    pub(super) local: bool,
    /// Its process, from its start to its end.
    pub(super) process: Option<Process>,
    /// The last process that has ended. An answer that it sent before may still arrive.
    dead: Option<u32>,
    /// Its last figures; `None` if it did not answer.
    figures: Option<Figures>,
    pub(super) gets_per_second: Option<u64>,
    /// Share of the keys, from 0 to 1.
    pub(super) share: f64,
    /// The time since which it is absent from the ring.
    pub(super) leaving: Option<Instant>,
    /// Whether its current process has ever answered.
    answered: bool,
    started: Instant,
    /// Number of consecutive ends, each soon after a start.
    ends: u32,
    /// The time of its next start.
    pub(super) again_at: Option<Instant>,
}

impl Entry {
    /// A node that has not been started.
    pub(super) fn new(node: Node, local: bool, share: f64) -> Entry {
        Entry {
            node,
            local,
            process: None,
            dead: None,
            figures: None,
            gets_per_second: None,
            share,
            leaving: None,
            answered: false,
            started: Instant::now(),
            ends: 0,
            again_at: None,
        }
    }

    /// Records a start.
    pub(super) fn started(&mut self, process: Process) -> Event {
        let pid = process.pid();
        self.process = Some(process);
        self.answered = false;
        self.started = Instant::now();
        self.again_at = None;
        Event::Started { node: self.node.name.clone(), address: self.node.to_string(), pid }
    }

    /// Records the figures of a node, or a missing answer. Returns an event if its state changes.
    pub(super) fn update(&mut self, figures: Option<Figures>) -> Option<Event> {
        let before = self.state();
        let pid = self.process.as_ref().map(Process::pid);
        // Figures from another process in its place do not count.
        let figures = figures.filter(|figures| {
            Some(figures.pid) != self.dead && pid.is_none_or(|pid| pid == figures.pid)
        });
        self.gets_per_second = match (&self.figures, &figures) {
            (Some(before), Some(now)) => now.gets_per_second(before),
            _ => None,
        };
        self.figures = figures;
        self.answered |= self.figures.is_some();
        let node = || self.node.name.clone();
        match (before, self.state(), &self.figures) {
            (State::Up | State::Leaving, ..) if self.figures.is_some() => None,
            (_, State::Up, Some(figures)) => Some(Event::Up { node: node(), pid: figures.pid }),
            (State::Up, State::Away, _) => Some(Event::Away { node: node() }),
            _ => None,
        }
    }

    /// Detects the end of its process. Returns the way it ended, and the process.
    pub(super) fn reap(&mut self) -> Option<(String, Process)> {
        let how = self.process.as_mut()?.ended()?;
        let process = self.process.take()?;
        self.dead = Some(process.pid());
        self.figures = None;
        self.gets_per_second = None;
        Some((how, process))
    }

    /// Schedules a restart. The pause grows with the number of consecutive failures.
    pub(super) fn start_later(&mut self, now: Instant) {
        self.ends = if now - self.started > SOUND { 0 } else { self.ends.saturating_add(1) };
        let pause = SHORTEST * 2u32.saturating_pow(self.ends.saturating_sub(1).min(8));
        self.again_at = Some(now + pause.min(LONGEST));
    }

    /// The state of the node.
    pub(super) fn state(&self) -> State {
        match (self.leaving, &self.figures, &self.process) {
            (Some(_), ..) => State::Leaving,
            (_, Some(_), _) => State::Up,
            (_, None, Some(_)) if !self.answered => State::Starting,
            (_, None, None) if self.local => State::Ended,
            (_, None, _) => State::Away,
        }
    }

    /// Whether it was never started.
    pub(super) fn is_new(&self) -> bool {
        self.process.is_none() && self.dead.is_none() && self.figures.is_none()
    }

    /// Its last figures.
    pub(super) fn figures(&self) -> Option<&Figures> {
        self.figures.as_ref()
    }

    /// The process of a local node that this command did not start.
    pub(super) fn stranger(&self) -> Option<u32> {
        match (&self.process, &self.figures) {
            (None, Some(figures)) if self.local => Some(figures.pid),
            _ => None,
        }
    }

    /// Whether it holds at least this version of the ring and waits for no other node.
    pub(super) fn has_settled(&self, version: u64) -> bool {
        self.figures.as_ref().is_some_and(|figures| {
            figures.is_settled() && figures.ring_version().is_some_and(|held| held >= version)
        })
    }

    /// The id of its process, whether or not `up` started it.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid).or_else(|| self.stranger())
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::some;
    use super::*;

    fn entry(local: bool) -> Entry {
        Entry::new(Node::new("cache-a", "127.0.0.1:1", 1).unwrap(), local, 1.0)
    }

    #[test]
    fn a_node_elsewhere_comes_and_goes() {
        let mut entry = entry(false);
        assert_eq!(entry.state(), State::Away);
        let at = Instant::now();
        let up = Event::Up { node: "cache-a".into(), pid: 4_194_304 };
        assert_eq!(entry.update(Some(some(0, at))), Some(up.clone()));
        assert_eq!(entry.update(Some(some(9, at + Duration::from_secs(1)))), None);
        assert_eq!(entry.gets_per_second, Some(9));
        assert_eq!(entry.update(None), Some(Event::Away { node: "cache-a".into() }));
        assert_eq!(entry.update(None), None);
        assert_eq!(entry.update(Some(some(9, at))), Some(up));
    }

    #[test]
    fn the_answer_of_a_dead_process_is_not_believed() {
        let mut entry = entry(true);
        entry.dead = Some(4_194_304);
        assert_eq!(entry.update(Some(some(0, Instant::now()))), None);
        assert_eq!(entry.state(), State::Ended);
        entry.dead = Some(1);
        assert!(entry.update(Some(some(0, Instant::now()))).is_some());
        assert_eq!(entry.stranger(), Some(4_194_304));
    }

    #[test]
    fn pauses_before_a_start_grow_to_a_bound() {
        let mut entry = entry(true);
        let now = Instant::now();
        let mut pause = || {
            entry.start_later(now);
            entry.again_at.unwrap() - now
        };
        assert_eq!(pause(), SHORTEST);
        assert_eq!(pause(), 2 * SHORTEST);
        assert_eq!((0..20).map(|_| pause()).last(), Some(LONGEST));
    }
}
