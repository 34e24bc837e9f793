//! The addresses of host names, and when each name is looked up next: a state machine without a clock
//! or a network. [`super::lookup`] does the look-ups.
//!
//! - At most one look-up of a name is under way, and at most [`MAX_RUNNING`] in all: the system's
//!   resolver blocks a thread for each, for as long as it likes.
//! - A name keeps the addresses of its last good answer while newer look-ups fail, answer nothing or
//!   do not end. A good answer replaces them whole.
//! - Names that nobody follows are forgotten.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Between two look-ups of a name: half to one and a half of it, so that nodes do not ask in step.
const PERIOD: Duration = Duration::from_secs(15);

/// The same after a look-up without an answer.
const RETRY: Duration = Duration::from_secs(5);

/// An outcome that is not older needs no new look-up.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// How long a dial waits for an answer if it has an older one to fall back on.
pub(super) const WAIT: Duration = Duration::from_millis(200);

/// A look-up that takes longer counts as failed until it ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Look-ups that run at once, at most.
pub(super) const MAX_RUNNING: usize = 8;

/// Addresses that are kept of a name, at most; the resolver's first ones.
pub(super) const MAX_ADDRESSES: usize = 16;

/// The outcome of a look-up: addresses in the resolver's order, or why there are none.
pub(super) type Answer = Result<Vec<IpAddr>, String>;

/// How the newest look-up of a name ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// None has ended yet.
    Unknown,
    Good,
    Failing {
        since: Instant,
        reason: String,
    },
}

#[derive(Debug)]
struct Entry {
    /// A ring in use names it.
    followed: bool,
    /// The last good answer; empty before the first.
    addresses: Vec<IpAddr>,
    /// When that came.
    answered: Option<Instant>,
    standing: Standing,
    /// Since when a look-up is under way.
    running: Option<Instant>,
    /// When the newest look-up that ended had begun, and when it ended.
    last: Option<(Instant, Instant)>,
    due: Instant,
}

/// News about a name, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Its first addresses.
    Found,
    /// It has other addresses than before.
    Moved { before: Vec<IpAddr>, after: Vec<IpAddr> },
    /// It resolves again, to the addresses it had.
    Back,
    /// It no longer resolves.
    Lost { kept: Vec<IpAddr>, reason: String },
    /// Nothing to report.
    None,
}

/// How far a dial is with the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The resolver's present answer.
    Now(Vec<IpAddr>),
    /// The last good answer: the resolver gives none at present.
    Before(Vec<IpAddr>),
    /// None was ever found.
    Nothing(String),
    /// Ask again at the end of the look-up, or at this time.
    Wait(Instant),
}

/// A name as `stats ring` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) addresses: Vec<IpAddr>,
    /// If it does not resolve at present: time since the last good answer or, without one, since the
    /// first look-up that failed.
    pub(super) failing: Option<Duration>,
}

/// Every name.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<String, Entry>,
    running: usize,
}

impl Entry {
    fn new(now: Instant) -> Entry {
        Entry {
            followed: false,
            addresses: Vec::new(),
            answered: None,
            standing: Standing::Unknown,
            running: None,
            last: None,
            due: now,
        }
    }

    fn fail(&mut self, now: Instant, reason: String) -> Change {
        match &mut self.standing {
            Standing::Failing { reason: known, .. } => {
                *known = reason;
                Change::None
            }
            Standing::Unknown | Standing::Good => {
                self.standing = Standing::Failing { since: now, reason: reason.clone() };
                Change::Lost { kept: self.addresses.clone(), reason }
            }
        }
    }

    fn find(&mut self, now: Instant, addresses: Vec<IpAddr>) -> Change {
        let was = std::mem::replace(&mut self.standing, Standing::Good);
        self.answered = Some(now);
        let before = std::mem::replace(&mut self.addresses, addresses);
        // A resolver may turn the order of its answer each time.
        let same = before.len() == self.addresses.len()
            && before.iter().all(|address| self.addresses.contains(address));
        match (before.is_empty(), same, was) {
            (true, _, _) => Change::Found,
            (false, false, _) => Change::Moved { before, after: self.addresses.clone() },
            (false, true, Standing::Failing { .. }) => Change::Back,
            (false, true, Standing::Unknown | Standing::Good) => Change::None,
        }
    }
}

impl Book {
    /// Follows these names and no others.
    pub(super) fn follow(&mut self, names: HashSet<String>, now: Instant) {
        for (name, entry) in &mut self.entries {
            entry.followed = names.contains(name);
        }
        for name in names {
            self.entries.entry(name).or_insert_with(|| Entry::new(now)).followed = true;
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.entries.retain(|_, entry| entry.followed || entry.running.is_some());
    }

    /// Asks for a present answer, unless there is one or a look-up is under way.
    pub(super) fn want(&mut self, name: &str, now: Instant) {
        let entry = match self.entries.get_mut(name) {
            Some(entry) => entry,
            None => self.entries.entry(name.to_owned()).or_insert_with(|| Entry::new(now)),
        };
        let fresh = entry.last.is_some_and(|(_, ended)| now < ended + FRESH);
        if entry.running.is_none() && !fresh {
            entry.due = entry.due.min(now);
        }
    }

    /// Looks every name up again, at once but for those whose outcome is fresh.
    pub(super) fn hurry(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            let fresh_until = entry.last.map_or(now, |(_, ended)| ended + FRESH);
            entry.due = entry.due.min(fresh_until.max(now));
        }
    }

    /// Looks every name up at once.
    pub(super) fn force(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.due = now;
        }
    }

    /// Begins the look-ups that are due, those first that have been due longest.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<String> {
        let idle = |(_, entry): &(&String, &mut Entry)| entry.running.is_none() && entry.due <= now;
        let mut due: Vec<_> = self.entries.iter_mut().filter(idle).collect();
        due.sort_by_key(|(_, entry)| entry.due);
        due.truncate(MAX_RUNNING.saturating_sub(self.running));
        self.running += due.len();
        due.into_iter()
            .map(|(name, entry)| {
                entry.running = Some(now);
                name.clone()
            })
            .collect()
    }

    /// Takes in the outcome of a look-up. `chance`, from 0 to 1, spreads the next one.
    pub(super) fn ended(
        &mut self,
        name: &str,
        answer: Answer,
        now: Instant,
        chance: f64,
    ) -> Change {
        let Some(entry) = self.entries.get_mut(name) else {
            return Change::None;
        };
        let Some(begun) = entry.running.take() else {
            return Change::None;
        };
        self.running -= 1;
        entry.last = Some((begun, now));
        let answer = answer.map(usable).and_then(|addresses| match addresses.is_empty() {
            true => Err("the answer has no address that could be a node's".to_owned()),
            false => Ok(addresses),
        });
        let period = if answer.is_ok() { PERIOD } else { RETRY };
        // Somebody asked meanwhile for a look-up that begins later than this one did.
        if entry.due <= begun {
            entry.due = now + period.mul_f64(0.5 + chance.clamp(0.0, 1.0));
        }
        let followed = entry.followed;
        let change = match answer {
            Ok(addresses) => entry.find(now, addresses),
            Err(reason) => entry.fail(now, reason),
        };
        self.forget();
        if followed { change } else { Change::None }
    }

    /// Counts look-ups that do not end as failed; returns the names of which that is news.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(String, Change)> {
        let mut news = Vec::new();
        for (name, entry) in &mut self.entries {
            let late = entry.running.is_some_and(|begun| now >= begun + PATIENCE);
            if late && !matches!(entry.standing, Standing::Failing { .. }) {
                let reason = format!("no answer within {} s", PATIENCE.as_secs());
                news.push((name.clone(), entry.fail(now, reason)));
            }
        }
        news
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        let free = self.running < MAX_RUNNING;
        let times =
            self.entries.values().filter_map(|entry| match (entry.running, &entry.standing) {
                (Some(_), Standing::Failing { .. }) => None,
                (Some(begun), _) => Some(begun + PATIENCE),
                (None, _) => free.then_some(entry.due),
            });
        times.min()
    }

    /// What a dial that began at `asked` may use.
    pub(super) fn known(&self, name: &str, asked: Instant, now: Instant) -> Known {
        let Some(entry) = self.entries.get(name) else {
            return Known::Nothing("it is not in the ring any more".to_owned());
        };
        let current =
            entry.running.is_none() && entry.last.is_some_and(|(_, ended)| ended + FRESH > asked);
        if !current {
            let since = entry.running.map_or(asked, |begun| begun.min(asked));
            let until = since + if entry.addresses.is_empty() { PATIENCE } else { WAIT };
            if now < until {
                return Known::Wait(until);
            }
        }
        match &entry.standing {
            Standing::Good if current => Known::Now(entry.addresses.clone()),
            _ if !entry.addresses.is_empty() => Known::Before(entry.addresses.clone()),
            Standing::Failing { reason, .. } => Known::Nothing(reason.clone()),
            Standing::Unknown | Standing::Good => {
                Known::Nothing(format!("no answer within {} s", PATIENCE.as_secs()))
            }
        }
    }

    /// Whether every name that is followed was looked up by a look-up that began at `since` or later.
    pub(super) fn looked_since(&self, since: Instant) -> bool {
        let looked = |entry: &Entry| entry.last.is_some_and(|(begun, _)| begun >= since);
        self.entries.values().filter(|entry| entry.followed).all(looked)
    }

    /// Whether a look-up of a followed name is under way or due.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let busy = |entry: &Entry| entry.running.is_some() || entry.due <= now;
        self.entries.values().filter(|entry| entry.followed).any(busy)
    }

    /// The address that clients are given: the lowest IPv4 address or, without one, the lowest IPv6
    /// address, so that all nodes choose alike from one answer in any order.
    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        // `IpAddr` orders IPv4 first.
        self.entries.get(name)?.addresses.iter().min().copied()
    }

    /// Every address that is known of any followed name.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let followed = self.entries.values().filter(|entry| entry.followed);
        followed.flat_map(|entry| entry.addresses.iter().copied())
    }

    pub(super) fn shown(&self, name: &str, now: Instant) -> Shown {
        let Some(entry) = self.entries.get(name) else {
            return Shown { addresses: Vec::new(), failing: None };
        };
        let failing = match entry.standing {
            Standing::Failing { since, .. } => {
                Some(now.saturating_duration_since(entry.answered.unwrap_or(since)))
            }
            Standing::Unknown | Standing::Good => None,
        };
        let mut addresses = entry.addresses.clone();
        addresses.sort_unstable();
        Shown { addresses, failing }
    }
}

/// The addresses of an answer that a node can have. A resolver that blocks a name answers 0.0.0.0,
/// which would be dialled as this machine.
fn usable(answer: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in answer {
        let address = address.to_canonical();
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let usable = !address.is_unspecified() && !address.is_multicast() && !broadcast;
        if usable && !addresses.contains(&address) {
            addresses.push(address);
        }
        if addresses.len() == MAX_ADDRESSES {
            break;
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
