//! The host names of the ring: their addresses, for dialling and for auto-discovery's list of
//! nodes.
//!
//! | file | what it is |
//! |---|---|
//! | `book` | state machine: addresses of each name, the last good ones kept; what is looked up when |
//! | `epochs` | state machine: the version of the list, which rises with every change of an address |
//! | `lookup` | the task that asks the system's resolver |
//!
//! Names are looked up about every 15 s, at once after a change of the ring, after SIGHUP and when
//! a peer gives a newer list, and for every dial. A present answer of the resolver takes precedence
//! over an older one. An older one is used only if the resolver gives none.

mod book;
mod epochs;
mod lookup;

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use ringbinder_ring::{Node, Ring, RingId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::book::{Book, Change, Known, Resolved};
use self::epochs::Epochs;
use super::discovery::{self, MAX_SAFE_PAYLOAD};

/// The time that a new list waits for look-ups that are under way, so that one change of many names
/// raises the version only once.
const GATHER: Duration = Duration::from_secs(1);

/// The longest time that a node looks up its names after a peer gave a newer list.
const LOOK: Duration = Duration::from_secs(3);

/// The addresses of a node, and whether they are the resolver's present answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    /// The resolver gives no answer at present: these addresses are from its last good answer.
    pub(crate) is_old: bool,
}

/// The names of the rings in use.
#[derive(Debug)]
pub(crate) struct Names {
    state: Mutex<State>,
    shown: RwLock<Shown>,
    /// Notified when the task has work.
    wake: Notify,
    /// Counts finished look-ups.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    epochs: Epochs,
    /// The current ring.
    ring: Option<Arc<Ring>>,
    /// The rings in use when `book` and `literals` were last updated.
    followed: Vec<RingId>,
    /// IP addresses that the rings in use contain directly.
    literals: Vec<IpAddr>,
    /// The list that is given, and the version of its ring.
    given: Option<(u64, String)>,
    /// The time since which addresses are newer than the given list.
    stale: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shown {
    payload: Arc<str>,
    version: u64,
    addresses: Arc<HashSet<IpAddr>>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            state: Mutex::default(),
            shown: RwLock::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }
}

impl Names {
    /// Asks the system's resolver until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        lookup::run(self, Arc::new(lookup::system), stop).await;
    }

    /// Sets the current ring and all rings in use, whose nodes may be dialled.
    pub(crate) fn follow(&self, ring: &Arc<Ring>, rings: &[Arc<Ring>]) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let is_new = state.ring.as_ref().is_none_or(|it| it.id() != ring.id());
        let used: Vec<RingId> = rings.iter().map(|ring| ring.id()).collect();
        if !is_new && state.followed == used {
            return;
        }
        state.followed = used;
        let mut names = HashSet::new();
        state.literals.clear();
        for node in rings.iter().chain([ring]).flat_map(|ring| ring.nodes()) {
            match node.host.parse::<IpAddr>() {
                Ok(ip) => state.literals.push(ip.to_canonical()),
                Err(_) => drop(names.insert(node.host.clone())),
            }
        }
        let is_name = |node: &Node| names.contains(&node.host);
        if state.epochs.current() == 0 && ring.nodes().iter().any(is_name) {
            let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            state.epochs.begin(clock.map_or(0, |since| since.as_secs()));
        }
        state.book.follow(names, now);
        if !is_new {
            self.show_addresses(&state);
            return;
        }
        state.ring = Some(Arc::clone(ring));
        state.book.hurry(now);
        self.give(&mut state);
        drop(state);
        self.wake.notify_one();
        let payload = self.payload().len();
        if payload > MAX_SAFE_PAYLOAD {
            warn!(
                "the list of nodes that auto-discovery clients read has {payload} bytes; above \
                 {MAX_SAFE_PAYLOAD} some clients lose nodes: use shorter host names"
            );
        }
    }

    /// Looks up all names at once, at an operator's request.
    pub(crate) fn refresh(&self) {
        self.state.lock().book.force(Instant::now());
        self.wake.notify_one();
    }

    /// Records that a peer gives its list under this epoch.
    pub(crate) fn heard(&self, epoch: u64) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.epochs.heard(epoch, now) {
            state.book.hurry(now);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The epoch of the list that this node gives, for its peers.
    pub(crate) fn epoch(&self) -> u64 {
        self.state.lock().epochs.current()
    }

    /// The payload for auto-discovery clients.
    pub(crate) fn payload(&self) -> Arc<str> {
        Arc::clone(&self.shown.read().payload)
    }

    /// The version in that payload.
    pub(crate) fn version(&self) -> u64 {
        self.shown.read().version
    }

    /// The addresses of all nodes of the rings in use. The same set is returned until one changes.
    pub(crate) fn addresses(&self) -> Arc<HashSet<IpAddr>> {
        Arc::clone(&self.shown.read().addresses)
    }

    /// Whether a node of a ring in use has this address, or had it when its name last resolved.
    pub(crate) fn knows(&self, ip: IpAddr) -> bool {
        self.shown.read().addresses.contains(&ip.to_canonical())
    }

    /// The addresses of a host, in the resolver's order and without repetition, and the seconds for
    /// which it has not resolved, if it does not resolve.
    pub(crate) fn standing(&self, host: &str) -> (Vec<IpAddr>, Option<u64>) {
        if let Ok(ip) = host.parse() {
            return (vec![ip], None);
        }
        let shown = self.state.lock().book.shown(host, Instant::now());
        (shown.addresses, shown.failing.map(|since| since.as_secs()))
    }

    /// The addresses to dial for a host: the resolver's present answer, or else the last good one.
    ///
    /// # Errors
    /// If the name has never resolved; the error says why it does not now.
    pub(crate) async fn find(&self, host: &str) -> io::Result<Found> {
        if let Ok(ip) = host.parse() {
            return Ok(Found { addresses: vec![ip], is_old: false });
        }
        let asked = Instant::now();
        let mut ended = self.ended.subscribe();
        self.state.lock().book.want(host, asked);
        self.wake.notify_one();
        loop {
            let known = self.state.lock().book.known(host, asked, Instant::now());
            match known {
                Known::Now(addresses) => return Ok(Found { addresses, is_old: false }),
                Known::Before(addresses) => return Ok(Found { addresses, is_old: true }),
                Known::Nothing(reason) => {
                    return Err(io::Error::other(format!("cannot resolve {host}: {reason}")));
                }
                // Whichever comes first.
                Known::Wait(until) => drop(tokio::time::timeout_at(until, ended.changed()).await),
            }
        }
    }

    /// Begins the look-ups that are due.
    fn begin(&self, now: Instant) -> Vec<String> {
        let mut state = self.state.lock();
        for (name, change) in state.book.overdue(now) {
            report(&name, &change);
        }
        let begun = state.book.begin(now);
        self.settle(&mut state, now);
        begun
    }

    /// The time of the next action.
    fn next(&self, now: Instant) -> Option<Instant> {
        let state = self.state.lock();
        let gathered = state.stale.map(|since| since + GATHER);
        let looked = state.epochs.looking().map(|since| since + LOOK);
        [state.book.next(), gathered, looked].into_iter().flatten().min().map(|at| at.max(now))
    }

    async fn woken(&self) {
        self.wake.notified().await;
    }

    fn ended(&self, name: &str, answer: Resolved, now: Instant, chance: f64) {
        let mut state = self.state.lock();
        let change = state.book.ended(name, answer, now, chance);
        report(name, &change);
        if matches!(change, Change::Found | Change::Moved { .. }) {
            state.stale.get_or_insert(now);
            self.show_addresses(&state);
        }
        self.settle(&mut state, now);
        drop(state);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Gives a newer list, or an epoch that was heard, once that is due.
    fn settle(&self, state: &mut State, now: Instant) {
        let quiet = !state.book.is_busy(now);
        if state.stale.is_some_and(|since| quiet || now >= since + GATHER) {
            self.give(state);
        }
        let looked = |since| state.book.looked_since(since) || now >= since + LOOK;
        if state.stale.is_none() && state.epochs.looking().is_some_and(looked) {
            state.epochs.looked();
            self.give(state);
        }
    }

    /// Gives the present list under a new version.
    fn give(&self, state: &mut State) {
        let State { book, epochs, ring: Some(ring), given, stale, .. } = state else { return };
        *stale = None;
        let version = ring.id().version;
        let list = discovery::list(ring, |host| book.address(host));
        if given.as_ref().is_some_and(|(of, before)| version <= *of && list != *before) {
            epochs.changed();
        }
        let sum = version.saturating_add(epochs.current());
        let payload = format!("{sum}\n{list}\n").into();
        *given = Some((version, list));
        {
            let mut shown = self.shown.write();
            shown.payload = payload;
            shown.version = sum;
        }
        self.show_addresses(state);
    }

    fn show_addresses(&self, state: &State) {
        let all = state.literals.iter().copied().chain(state.book.addresses());
        let addresses: HashSet<IpAddr> = all.collect();
        if *self.shown.read().addresses != addresses {
            self.shown.write().addresses = Arc::new(addresses);
        }
    }
}

fn report(name: &str, change: &Change) {
    match change {
        Change::Moved { before, after } => {
            info!("{name} now resolves to {}, before to {}", listed(after), listed(before));
        }
        Change::Back => info!("{name} resolves again"),
        Change::Lost { kept, reason } if kept.is_empty() => {
            warn!("cannot resolve {name}: {reason}; its node cannot be reached until it resolves");
        }
        Change::Lost { kept, reason } => warn!(
            "cannot resolve {name}: {reason}; using its last known address {} until it resolves",
            listed(kept)
        ),
        Change::Found | Change::None => {}
    }
}

/// Addresses, separated by commas.
pub(crate) fn listed(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests;
