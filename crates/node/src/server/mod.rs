//! The node as a whole: its listeners, its workers, its clock, and its shutdown.
//!
//! The main thread accepts connections and distributes them in turn, ticks the clock, closes idle
//! connections and waits for signals. Only the workers carry out requests.
//!
//! | file | purpose |
//! |---|---|
//! | `check`, `health` | `--check-config`, `--check-health` |
//! | `relief` | closing stuck connections when connections hold all their memory |
//! | `in_process` | a node without listeners, for tests and fuzzing |

pub(crate) mod check;
pub(crate) mod health;
pub(crate) mod in_process;
pub(crate) mod relief;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::time::Duration;

use ringbinder_protocol::{Refusal, WatchFlags};
use ringbinder_store::{Evicted, EvictionObserver, Limits, Seconds, SegmentStore, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin::{Admin, Bound};
use crate::memory::ConnectionMemory;
use crate::net::connections::{Connections, MAX_PEERS, MAX_UNPROVED, Origin};
use crate::net::listen::{Acceptor, Listener};
use crate::net::socket::Accepted;
use crate::observe::watch::Watch;
use crate::process::clock::Clock;
use crate::process::resident;
use crate::process::stop::{Stop, StopCause};
use crate::process::supervisor;
use crate::ring::{RingManager, RingNode, Started};
use crate::sampling::{KeyCounts, Latency};
use crate::security::guards::Guards;
use crate::security::reload;
use crate::settings::{Guard, Settings, Verify};
use crate::snapshot::{self, Snapshots};
use crate::stats::{AllCounters, Prefixes};
use crate::takeover::{self, Gate, TakeoverServer};
use crate::worker::shared::Shared;
use crate::worker::{NewConnection, Workers};

/// The interval at which the clock reads the system's clock.
const TICK: Duration = Duration::from_millis(250);

/// Seconds after which memory that connections released counts as the system's again.
const GIVEN_BACK: Seconds = 8;

/// The time in which connections may read their last answers when the node stops.
const GRACE: Duration = Duration::from_secs(5);

/// The pause of accepting after the system refused a connection, for example for lack of
/// descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// The range from which a node of a ring picks its first CAS unique at random, so that a process
/// does not repeat the numbers of its predecessor. Some clients keep 32 bits of a unique; this
/// costs them a 256th of those (docs/decisions/0016-cas-uniques.md).
const FIRST_CAS: std::ops::Range<u64> = 1..1 << 24;

/// The most clients that wait for a slot in this process, whatever the length of the sockets'
/// queues.
const MAX_QUEUED: usize = 1024;

/// The bounds of the interval between passes that remove dead items. The next pass comes sooner
/// after one that found many.
const SWEEP_SOONEST: Duration = Duration::from_secs(5);
const SWEEP_LATEST: Duration = Duration::from_secs(300);

/// Builds the state that workers share, with a store that adapts to the memory of this process.
pub(crate) fn prepare(
    settings: Settings,
    guards: Guards,
    ring: Option<Arc<RingNode>>,
    room_for_peers: usize,
) -> Arc<Shared> {
    let cas = if ring.is_some() { rand::random_range(FIRST_CAS) } else { 0 };
    build(settings, guards, ring, room_for_peers, |store, connections| {
        let account = Arc::clone(connections.account());
        let probe = move || Some(resident::bytes()?.saturating_sub(account.recent_peak()));
        store.with_resident_probe(Box::new(probe)).with_cas_after(cas)
    })
}

/// Builds the state that workers share, in a process that contains more than this node.
pub(crate) fn prepare_as_guest(settings: Settings) -> Arc<Shared> {
    build(settings, Guards::default(), None, 0, |store, _| store)
}

fn build(
    settings: Settings,
    guards: Guards,
    ring: Option<Arc<RingNode>>,
    room_for_peers: usize,
    finish: impl FnOnce(SegmentStore, &ConnectionMemory) -> SegmentStore,
) -> Arc<Shared> {
    let watch =
        Arc::new(Watch::new(usize::try_from(settings.watcher_logbuf_size).unwrap_or(usize::MAX)));
    let limits = Limits {
        max_bytes: settings.memory_limit,
        max_item: settings.max_item_size,
        evict: !settings.disable_evictions,
    };
    let clock = Clock::new();
    let queue = queue_len(&settings);
    let workers = usize::from(settings.threads);
    let memory = Arc::new(ConnectionMemory::new(settings.connection_memory(), workers));
    let store = SegmentStore::new(limits, Some(observer(&watch)));
    let shared = Arc::new(Shared {
        store: finish(store, &memory).with_outside(Arc::clone(memory.account())),
        memory,
        clock,
        counters: AllCounters::new(usize::from(settings.threads)),
        connections: Arc::new(Connections::new(
            usize::try_from(settings.conn_limit).unwrap_or(usize::MAX),
            queue,
        )),
        watch,
        prefixes: Prefixes::new(settings.delimiter(), settings.prefix_delimiter.is_some()),
        key_counts: KeyCounts::new(usize::from(settings.threads)),
        latency: Latency::new(usize::from(settings.threads)),
        ring,
        tls: guards.tls,
        auth: guards.auth,
        gate: Gate::new(),
        snapshots: Snapshots::new(settings.snapshot.clone(), settings.snapshot_stale),
        verbosity: AtomicU8::new(settings.verbose),
        crawler_enabled: AtomicBool::new(settings.crawler_enabled()),
        crawler_starts: AtomicU64::new(0),
        sweep_wanted: Notify::new(),
        crawls: AtomicUsize::new(0),
        flushed_at: AtomicU32::new(0),
        foreign_logged: AtomicU32::new(0),
        room_for_peers,
        stop: Stop::default(),
        settings,
    });
    shared.make_room();
    shared
}

/// The most clients that wait in this process for a `-c` slot.
///
/// If clients may wait (`no_maxconns_fast`) and there is no ring, they wait in the sockets' queues.
/// In a ring, other nodes would wait there behind them. So a node of a ring takes its clients out
/// of the queues, and as many may wait here as could wait there.
pub(crate) fn queue_len(settings: &Settings) -> usize {
    if settings.maxconns_fast || settings.ring.is_none() {
        return 0;
    }
    usize::try_from(settings.listen_backlog).unwrap_or(usize::MAX).min(MAX_QUEUED)
}

/// Open files for connections beyond `-c` in a ring, whatever its size.
pub(crate) fn files_of_nodes(settings: &Settings) -> u32 {
    // The connections that this node makes to others are half of those for which it has slots.
    let files = MAX_PEERS + MAX_PEERS / 2 + MAX_UNPROVED + queue_len(settings);
    u32::try_from(files).unwrap_or(u32::MAX)
}

/// The number of connections of other nodes that this many open files allow.
pub(crate) fn room_for_peers(settings: &Settings, spare: u64) -> usize {
    let spare = usize::try_from(spare).unwrap_or(usize::MAX);
    spare.saturating_sub(MAX_UNPROVED + queue_len(settings)) / 3 * 2
}

/// Reports evictions to watchers. Ages are as of the clock's last tick at the item's own access,
/// which are the only times that an engine knows.
fn observer(watch: &Arc<Watch>) -> EvictionObserver {
    let watch = Arc::clone(watch);
    let clock = Clock::new();
    Box::new(move |Evicted { key, len, meta }| {
        if watch.wants(WatchFlags::EVICTIONS) {
            clock.tick();
            let now = clock.now();
            let ttl = meta.expiry.remaining(now).map_or(-1, i64::from);
            watch.evicted(key, meta.fetched, ttl, now.saturating_sub(meta.last_access), len);
        }
    })
}

/// Serves until a signal or `shutdown` ends it. `begin` is called when all is ready to serve,
/// `ready` once clients can connect. Returns whether all connections have ended, so that no item
/// can change any more.
pub(crate) fn run(
    shared: &Arc<Shared>,
    listeners: Vec<Listener>,
    admin: Option<Bound>,
    hand_over: Option<TakeoverServer>,
    started: Option<Started>,
    begin: impl FnOnce() -> io::Result<()>,
    ready: impl FnOnce() -> io::Result<()>,
) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let workers = Arc::new(Workers::start(shared)?);
    begin()?;
    let all_ended = runtime.block_on(async {
        let tasks = TaskTracker::new();
        let reload = started.is_some().then(|| Arc::new(Notify::new()));
        let signals = Signals::new()?;
        tasks.spawn(stop_on_signals(Arc::clone(shared), signals, reload.clone()));
        shared.connections.listen(listeners.iter().map(Listener::place).collect());
        for listener in listeners {
            let name = listener.to_string();
            let listener = Acceptor::register(listener)?;
            tasks.spawn(accept_all(Arc::clone(shared), Arc::clone(&workers), listener, name));
        }
        if let Some(hand_over) = hand_over {
            tasks.spawn(takeover::serve(Arc::clone(shared), hand_over));
        }
        if let (Some(started), Some(reload)) = (started, reload) {
            let (shared, workers) = (Arc::clone(shared), Arc::clone(&workers));
            tasks.spawn(RingManager::run(shared, workers, started, reload));
        }
        tasks.spawn(keep_time(Arc::clone(shared), Arc::clone(&workers)));
        tasks.spawn(sweep(Arc::clone(shared)));
        tasks.spawn(relief::run(Arc::clone(shared)));
        let admin = admin.map(|bound| Admin::start(bound, shared, &workers)).transpose()?;
        ready()?;
        shared.stop.cancelled().await;
        if !shared.gate.is_given() {
            supervisor::stopping();
        }
        tasks.close();
        tasks.wait().await;
        let all_ended = shared.connections.end_all(GRACE).await;
        // Up to here the admin port reports that the node is stopping.
        if let Some(admin) = admin {
            admin.stop();
        }
        io::Result::Ok(all_ended)
    })?;
    if all_ended && let Some(workers) = Arc::into_inner(workers) {
        workers.join();
    }
    Ok(all_ended)
}

/// The signals that a node handles.
#[derive(Debug)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    graceful: tokio::signal::unix::Signal,
    snapshot: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            graceful: signal(SignalKind::user_defined1())?,
            snapshot: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn stop_on_signals(shared: Arc<Shared>, mut signals: Signals, reload: Option<Arc<Notify>>) {
    let cause = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break StopCause::Terminate,
            _ = signals.interrupt.recv() => break StopCause::Interrupt,
            _ = signals.graceful.recv() => break StopCause::Graceful,
            _ = signals.hangup.recv() => {
                supervisor::reloading();
                let (tls, auth) = (shared.tls.clone(), shared.auth.clone());
                reload::all(tls, auth, reload.as_deref(), shared.clock.now()).await;
                supervisor::ready();
            }
            _ = signals.snapshot.recv() => snapshot_on_signal(&shared),
            () = shared.stop.cancelled() => return tell_why(&shared),
        }
    };
    shared.stop.because(cause);
    tell_why(&shared);
}

fn tell_why(shared: &Shared) {
    if let Some(cause) = shared.stop.cause() {
        info!("{cause}");
    }
}

/// Writes a snapshot, and logs the result.
fn snapshot_on_signal(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        match snapshot::on_demand(&shared).await {
            Ok(report) => info!("SIGUSR2: the snapshot {report}"),
            Err(error) => warn!("SIGUSR2: {error}"),
        }
    });
}

/// Accepts connections and distributes them to the workers in turn.
async fn accept_all(
    shared: Arc<Shared>,
    workers: Arc<Workers>,
    mut listener: Acceptor,
    name: String,
) {
    let connections = &shared.connections;
    let guard = listener.guard();
    let mut gate = shared.gate.watch();
    loop {
        let waits = !shared.settings.maxconns_fast && shared.ring.is_none();
        if waits && connections.clients() >= connections.limit() {
            connections.suspend();
            tokio::select! {
                () = connections.wait_for_slot() => {}
                () = shared.stop.cancelled() => return,
            }
        }
        let accepted = tokio::select! {
            // The gate comes first: no connection is accepted once it is closed.
            biased;
            () = shared.stop.cancelled() => return,
            () = gate.closed() => {
                tokio::select! {
                    () = gate.opened() => continue,
                    () = shared.stop.cancelled() => {
                        if shared.gate.is_given() {
                            listener.keep_file();
                        }
                        return;
                    }
                }
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((accepted, peer)) => {
                let address = peer.ip();
                let origin = || origin(&shared, address, guard);
                match connections.open(peer, shared.clock.now(), origin) {
                    Some(ticket) => workers.adopt(NewConnection { accepted, guard, ticket }),
                    // A TLS client cannot read a plain-text error.
                    None if matches!(guard, Guard::Tls(_)) => {}
                    None => turn_away(&accepted),
                }
            }
            Err(error) => {
                warn!("cannot accept a connection on {name}: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// The way in which a connection that finds all `-c` slots taken may prove to be a node's.
fn origin(shared: &Shared, address: Option<IpAddr>, guard: Guard) -> Origin {
    let (Some(ring), Some(address)) = (&shared.ring, address) else { return Origin::Client };
    let shows_certificate = guard.verify().is_some_and(|verify| verify != Verify::Nobody);
    if ring.is_peer_address(address) {
        Origin::Neighbour(address)
    } else if ring.has_secret() || shows_certificate {
        Origin::Unknown(address)
    } else {
        Origin::Client
    }
}

/// Answers that there are too many connections, as far as the socket accepts it at once.
fn turn_away(accepted: &Accepted) {
    use std::io::Write;

    let line = format!("{}\r\n", Refusal::TooManyConnections.line());
    // The connection closes in any case.
    let _ = match accepted {
        Accepted::Tcp(stream) => (&*stream).write(line.as_bytes()),
        Accepted::Unix(stream) => (&*stream).write(line.as_bytes()),
    };
}

/// Ticks the clock, closes idle connections and has the workers tidy up.
async fn keep_time(shared: Arc<Shared>, workers: Arc<Workers>) {
    let mut ticks = tokio::time::interval(TICK);
    let mut last = shared.clock.now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        shared.clock.tick();
        let now = shared.clock.now();
        shared.connections.tick(now);
        let timeout = shared.settings.idle_timeout;
        if timeout > 0 && now != last {
            shared.connections.kick_idle(timeout, now);
        }
        if now != last {
            workers.tidy();
            if now.is_multiple_of(GIVEN_BACK) {
                shared.memory.account().begin_period();
            }
        }
        last = now;
    }
}

/// Removes dead items now and then, and on request, on a thread for blocking work.
async fn sweep(shared: Arc<Shared>) {
    let mut pause = SWEEP_SOONEST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.sweep_wanted.notified() => {}
            () = shared.stop.cancelled() => return,
        }
        // A ring needs its sweeps: until one is over, the store checks for every item whether its
        // key was given to another node.
        if !shared.crawler_enabled.load(Relaxed) && shared.ring.is_none() {
            continue;
        }
        shared.crawler_starts.fetch_add(1, Relaxed);
        let sweeper = Arc::clone(&shared);
        let swept = tokio::task::spawn_blocking(move || {
            let gone = sweeper.store.sweep(sweeper.clock.now());
            (gone, sweeper.store.counters().items)
        });
        let Ok((gone, left)) = swept.await else { return };
        let many = gone > left / 100;
        pause = if many { pause / 2 } else { pause * 2 }.clamp(SWEEP_SOONEST, SWEEP_LATEST);
    }
}
