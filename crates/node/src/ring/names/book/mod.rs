//! The addresses of host names, and the time of each name's next look-up: a state machine without a
//! clock or a network. [`super::lookup`] does the look-ups.
//!
//! - At most one look-up of a name is under way, and at most [`MAX_RUNNING`] in all: the system's
//!   resolver blocks a thread for each, for an unlimited time.
//! - A name keeps the addresses of its last good answer while newer look-ups fail, return no
//!   address or do not end. A good answer replaces all of them.
//! - Names that no ring in use lists are dropped.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The mean interval between two look-ups of a name. The interval is random, from half to one and a
/// half of this, so that nodes do not ask in step.
const PERIOD: Duration = Duration::from_secs(15);

/// The same after a look-up without an answer.
const RETRY: Duration = Duration::from_secs(5);

/// An outcome of at most this age needs no new look-up.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// The time that a dial waits for an answer if it can use an older one instead.
pub(super) const WAIT: Duration = Duration::from_millis(200);

/// The time after which an unfinished look-up counts as failed until it ends.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// The most look-ups that run at once.
pub(super) const MAX_RUNNING: usize = 8;

/// The most addresses kept for a name; these are the resolver's first ones.
pub(super) const MAX_ADDRESSES: usize = 16;

/// The outcome of a look-up: addresses in the resolver's order, or the reason why there are none.
pub(super) type Resolved = Result<Vec<IpAddr>, String>;

/// The result of the newest look-up of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NameState {
    /// No look-up has ended yet.
    Unknown,
    Good,
    Failing {
        since: Instant,
        reason: String,
    },
}

#[derive(Debug)]
struct Name {
    /// A ring in use lists it.
    followed: bool,
    /// The last good answer; empty before the first.
    addresses: Vec<IpAddr>,
    /// The time of that answer.
    answered: Option<Instant>,
    state: NameState,
    /// The start of the look-up that is under way.
    running: Option<Instant>,
    /// The start and the end of the newest look-up that ended.
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
    /// It resolves again, to the same addresses as before.
    Back,
    /// It no longer resolves.
    Lost { kept: Vec<IpAddr>, reason: String },
    /// Nothing to report.
    None,
}

/// The addresses of a name that a dial may use so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The resolver's present answer.
    Now(Vec<IpAddr>),
    /// The last good answer, because the resolver gives none at present.
    Before(Vec<IpAddr>),
    /// No answer was ever found.
    Nothing(String),
    /// Ask again at the end of the look-up, or at this time.
    Wait(Instant),
}

/// A name in the form that `stats ring` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) addresses: Vec<IpAddr>,
    /// If it does not resolve at present: time since the last good answer or, without one, since
    /// the first look-up that failed.
    pub(super) failing: Option<Duration>,
}

/// Every name.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<String, Name>,
    running: usize,
}

impl Name {
    fn new(now: Instant) -> Name {
        Name {
            followed: false,
            addresses: Vec::new(),
            answered: None,
            state: NameState::Unknown,
            running: None,
            last: None,
            due: now,
        }
    }

    fn fail(&mut self, now: Instant, reason: String) -> Change {
        match &mut self.state {
            NameState::Failing { reason: known, .. } => {
                *known = reason;
                Change::None
            }
            NameState::Unknown | NameState::Good => {
                self.state = NameState::Failing { since: now, reason: reason.clone() };
                Change::Lost { kept: self.addresses.clone(), reason }
            }
        }
    }

    fn find(&mut self, now: Instant, addresses: Vec<IpAddr>) -> Change {
        let was = std::mem::replace(&mut self.state, NameState::Good);
        self.answered = Some(now);
        let before = std::mem::replace(&mut self.addresses, addresses);
        // A resolver may change the order of its answer each time.
        let same = before.len() == self.addresses.len()
            && before.iter().all(|address| self.addresses.contains(address));
        match (before.is_empty(), same, was) {
            (true, _, _) => Change::Found,
            (false, false, _) => Change::Moved { before, after: self.addresses.clone() },
            (false, true, NameState::Failing { .. }) => Change::Back,
            (false, true, NameState::Unknown | NameState::Good) => Change::None,
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
            self.entries.entry(name).or_insert_with(|| Name::new(now)).followed = true;
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
            None => self.entries.entry(name.to_owned()).or_insert_with(|| Name::new(now)),
        };
        let fresh = entry.last.is_some_and(|(_, ended)| now < ended + FRESH);
        if entry.running.is_none() && !fresh {
            entry.due = entry.due.min(now);
        }
    }

    /// Looks every name up again at once, except those with a fresh outcome.
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

    /// Begins the look-ups that are due, longest overdue first.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<String> {
        let idle = |(_, entry): &(&String, &mut Name)| entry.running.is_none() && entry.due <= now;
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

    /// Processes the outcome of a look-up. `chance`, from 0 to 1, spreads the next one.
    pub(super) fn ended(
        &mut self,
        name: &str,
        answer: Resolved,
        now: Instant,
        chance: f64,
    ) -> Change {
        let Some(entry) = self.entries.get_mut(name) else { return Change::None };
        let Some(begun) = entry.running.take() else { return Change::None };
        self.running -= 1;
        entry.last = Some((begun, now));
        let answer = answer.map(usable).and_then(|addresses| match addresses.is_empty() {
            true => Err("the answer has no address that a node can have".to_owned()),
            false => Ok(addresses),
        });
        let period = if answer.is_ok() { PERIOD } else { RETRY };
        // Meanwhile a caller asked for a look-up that begins later than this one did.
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

    /// Counts unfinished look-ups as failed; returns the names for which that is new.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(String, Change)> {
        let mut news = Vec::new();
        for (name, entry) in &mut self.entries {
            let late = entry.running.is_some_and(|begun| now >= begun + TIMEOUT);
            if late && !matches!(entry.state, NameState::Failing { .. }) {
                let reason = format!("no answer within {} s", TIMEOUT.as_secs());
                news.push((name.clone(), entry.fail(now, reason)));
            }
        }
        news
    }

    /// The time of the next action.
    pub(super) fn next(&self) -> Option<Instant> {
        let free = self.running < MAX_RUNNING;
        let times = self.entries.values().filter_map(|entry| match (entry.running, &entry.state) {
            (Some(_), NameState::Failing { .. }) => None,
            (Some(begun), _) => Some(begun + TIMEOUT),
            (None, _) => free.then_some(entry.due),
        });
        times.min()
    }

    /// The addresses that a dial which began at `asked` may use.
    pub(super) fn known(&self, name: &str, asked: Instant, now: Instant) -> Known {
        let Some(entry) = self.entries.get(name) else {
            return Known::Nothing("it is no longer in the ring".to_owned());
        };
        let current =
            entry.running.is_none() && entry.last.is_some_and(|(_, ended)| ended + FRESH > asked);
        if !current {
            let since = entry.running.map_or(asked, |begun| begun.min(asked));
            let until = since + if entry.addresses.is_empty() { TIMEOUT } else { WAIT };
            if now < until {
                return Known::Wait(until);
            }
        }
        match &entry.state {
            NameState::Good if current => Known::Now(entry.addresses.clone()),
            _ if !entry.addresses.is_empty() => Known::Before(entry.addresses.clone()),
            NameState::Failing { reason, .. } => Known::Nothing(reason.clone()),
            NameState::Unknown | NameState::Good => {
                Known::Nothing(format!("no answer within {} s", TIMEOUT.as_secs()))
            }
        }
    }

    /// Whether every followed name was resolved by a look-up that began at `since` or later.
    pub(super) fn looked_since(&self, since: Instant) -> bool {
        let looked = |entry: &Name| entry.last.is_some_and(|(begun, _)| begun >= since);
        self.entries.values().filter(|entry| entry.followed).all(looked)
    }

    /// Whether a look-up of a followed name is under way or due.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let busy = |entry: &Name| entry.running.is_some() || entry.due <= now;
        self.entries.values().filter(|entry| entry.followed).any(busy)
    }

    /// The address that clients get: the lowest IPv4 address or, without one, the lowest IPv6
    /// address. So all nodes choose the same address from one answer, whatever its order.
    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        // `IpAddr` orders IPv4 first.
        self.entries.get(name)?.addresses.iter().min().copied()
    }

    /// Every known address of any followed name.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let followed = self.entries.values().filter(|entry| entry.followed);
        followed.flat_map(|entry| entry.addresses.iter().copied())
    }

    pub(super) fn shown(&self, name: &str, now: Instant) -> Shown {
        let Some(entry) = self.entries.get(name) else {
            return Shown { addresses: Vec::new(), failing: None };
        };
        let failing = match entry.state {
            NameState::Failing { since, .. } => {
                Some(now.saturating_duration_since(entry.answered.unwrap_or(since)))
            }
            NameState::Unknown | NameState::Good => None,
        };
        let mut addresses = entry.addresses.clone();
        addresses.sort_unstable();
        Shown { addresses, failing }
    }
}

/// The addresses of an answer that a node can have. A resolver that blocks a name answers 0.0.0.0,
/// which would lead a dial to this machine.
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
