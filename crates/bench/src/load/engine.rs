//! The built-in generator: each thread runs an epoll loop over its share of the connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::connection::{Connection, Tally};
use super::requests::{Keys, Requests};
use super::{Load, Numbers, Outcome, Target};
use crate::stop::Stop;

/// Longest time for answers after the last request.
const DRAIN: Duration = Duration::from_secs(20);

/// Size of one read in bytes.
const BUFFER: usize = 256 * 1024;

/// Loads the server with all keys for this time.
pub(crate) fn run(
    load: &Load,
    server: SocketAddr,
    threads: usize,
    time: Duration,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    run_at(load, &[whole(load, server)], threads, time, stop)
}

fn whole(load: &Load, address: SocketAddr) -> Target {
    Target { address, numbers: Numbers::UpTo(load.keys) }
}

/// Loads several servers together for this time. Each thread distributes its connections over them.
pub(crate) fn run_at(
    load: &Load,
    targets: &[Target],
    threads: usize,
    time: Duration,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let threads = threads.clamp(1, load.connections.max(1));
    let shares = (0..threads).map(|at| (load.connections + at) / threads);
    let loops = shares.zip(1u64..).map(|(connections, seed)| {
        Loop::open(targets, connections, load, |numbers| {
            Requests::random(*load, Keys::Memtier, numbers, seed)
        })
    });
    let loops = loops.collect::<anyhow::Result<Vec<Loop>>>()?;
    let done = std::thread::scope(|scope| {
        let running: Vec<_> =
            loops.into_iter().map(|each| scope.spawn(|| each.run(Some(time), stop))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(done) => done,
            Err(_) => bail!("a thread of the load generator panicked"),
        };
        running.into_iter().map(join).collect::<anyhow::Result<Vec<Done>>>()
    })?;
    let mut all = Done::new()?;
    for done in done {
        all.tally.add(done.tally);
        all.in_time += done.in_time;
        all.times.add(&done.times)?;
    }
    let quantile = |quantile| all.times.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Outcome {
        requests: all.tally.requests,
        per_second: all.in_time as f64 / time.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        misses: all.tally.misses,
        trouble: all.tally.trouble(),
    })
}

/// Stores each key of the load once.
pub(crate) fn fill(load: &Load, keys: Keys, server: SocketAddr, stop: &Stop) -> anyhow::Result<()> {
    fill_at(load, keys, &[whole(load, server)], stop)
}

/// Stores each key of the load once, at the target that gets its requests.
pub(crate) fn fill_at(
    load: &Load,
    keys: Keys,
    targets: &[Target],
    stop: &Stop,
) -> anyhow::Result<()> {
    let requests = |numbers| Requests::fill(*load, keys, numbers);
    let filling = Loop::open(targets, load.connections, load, requests)?;
    let done = filling.run(None, stop)?;
    if let Some(trouble) = done.tally.trouble() {
        bail!("{trouble}");
    }
    if done.tally.requests != load.keys {
        bail!("{} of {} sets were answered", done.tally.requests, load.keys);
    }
    Ok(())
}

struct Done {
    tally: Tally,
    /// Requests that were answered within the time.
    in_time: u64,
    /// Latencies in nanoseconds.
    times: Histogram<u64>,
}

impl Done {
    fn new() -> anyhow::Result<Self> {
        let times = Histogram::new_with_bounds(100, 120_000_000_000, 3)?;
        Ok(Self { tally: Tally::default(), in_time: 0, times })
    }
}

/// The connections of one thread.
struct Loop {
    epoll: Epoll,
    connections: Vec<Connection>,
    pipeline: usize,
    /// The requests of each target. Connections are assigned to the targets in turn.
    requests: Vec<Requests>,
}

impl Loop {
    fn open(
        targets: &[Target],
        connections: usize,
        load: &Load,
        requests: impl Fn(Numbers) -> Requests,
    ) -> anyhow::Result<Self> {
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot create an epoll")?;
        let connections = targets
            .iter()
            .cycle()
            .take(connections)
            .zip(0u64..)
            .map(|(target, number)| {
                let server = target.address;
                let connection = Connection::open(server, load.value_size)
                    .with_context(|| format!("cannot connect to {server}"))?;
                epoll.add(&connection.stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
                Ok(connection)
            })
            .collect::<anyhow::Result<_>>()?;
        let requests = targets.iter().map(|target| requests(target.numbers.clone())).collect();
        Ok(Self { epoll, connections, pipeline: load.pipeline, requests })
    }

    /// Sends until the time is over or there are no more requests, and then waits for the pending answers.
    fn run(mut self, time: Option<Duration>, stop: &Stop) -> anyhow::Result<Done> {
        let mut done = Done::new()?;
        let mut buffer = vec![0; BUFFER];
        let mut events = vec![EpollEvent::empty(); self.connections.len().max(1)];
        let end = time.map(|time| Instant::now() + time);
        let mut sending = true;
        let mut last_answer = Instant::now();
        for at in 0..self.connections.len() {
            self.step(at, EpollFlags::empty(), sending, &mut buffer, &mut done)?;
        }
        loop {
            if sending && end.is_some_and(|end| Instant::now() >= end) {
                sending = false;
                done.in_time = done.tally.requests;
            }
            if !sending || end.is_none() {
                let waiting = self.connections.iter().filter(|each| !each.is_idle()).count();
                if waiting == 0 {
                    return Ok(done);
                }
                if last_answer.elapsed() > DRAIN {
                    bail!("{waiting} connections got no answer for {} s", DRAIN.as_secs());
                }
            }
            stop.check()?;
            let glance = EpollTimeout::try_from(Stop::GLANCE)?;
            let ready = match self.epoll.wait(&mut events, glance) {
                Err(nix::errno::Errno::EINTR) => 0,
                ready => ready.context("epoll_wait failed")?,
            };
            for event in &events[..ready] {
                let at = usize::try_from(event.data())?;
                self.step(at, event.events(), sending, &mut buffer, &mut done)?;
                last_answer = Instant::now();
            }
        }
    }

    /// Reads, sends, and waits for room in the socket if it is full.
    fn step(
        &mut self,
        at: usize,
        ready: EpollFlags,
        sending: bool,
        buffer: &mut [u8],
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let connection = &mut self.connections[at];
        let was_blocked = connection.is_blocked();
        if ready.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            let times = &mut done.times;
            let took = |time: Duration| {
                times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            };
            connection
                .receive(buffer, &mut done.tally, took)
                .context("a connection of the load generator failed")?;
        }
        let sent = if sending {
            let target = at % self.requests.len();
            connection.send(self.pipeline, &mut self.requests[target])
        } else {
            connection.flush()
        };
        sent.context("a connection of the load generator failed")?;
        if connection.is_blocked() != was_blocked {
            let mut wanted = EpollFlags::EPOLLIN;
            wanted.set(EpollFlags::EPOLLOUT, connection.is_blocked());
            let number = u64::try_from(at)?;
            self.epoll.modify(&connection.stream, &mut EpollEvent::new(wanted, number))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const LOAD: Load = Load {
        connections: 4,
        pipeline: 8,
        sets: 1,
        gets: 10,
        keys_per_get: 1,
        value_size: 32,
        keys: 100,
    };
    const TIME: Duration = Duration::from_millis(200);

    fn filled(load: &Load) -> Fake {
        let fake = Fake::start();
        fill(load, Keys::Memtier, fake.address, &Stop::default()).unwrap();
        fake
    }

    #[test]
    fn a_mix_is_answered_without_misses() {
        let fake = filled(&LOAD);
        for threads in [1, 3, 9] {
            let done = run(&LOAD, fake.address, threads, TIME, &Stop::default()).unwrap();
            assert!(done.requests > 0 && done.per_second > 0.0, "{done:?}");
            assert!(done.p50 > 0.0 && done.p50 <= done.p99 && done.p99 <= done.p999, "{done:?}");
            assert_eq!((done.misses, done.trouble), (0, None));
        }
    }

    #[test]
    fn each_target_is_asked_for_its_own_keys_only() {
        let fakes = [Fake::start(), Fake::start(), Fake::start()];
        let targets: Vec<Target> = (1..=3)
            .zip(&fakes)
            .map(|(first, fake)| Target {
                address: fake.address,
                numbers: Numbers::Chosen((first..=LOAD.keys).step_by(3).collect()),
            })
            .collect();
        fill_at(&LOAD, Keys::Memtier, &targets, &Stop::default()).unwrap();
        let stored: Vec<u64> = fakes.iter().map(Fake::requests).collect();
        assert_eq!(stored, [34, 33, 33]);
        // A key of another target would miss.
        let load = Load { sets: 0, ..LOAD };
        let done = run_at(&load, &targets, 1, TIME, &Stop::default()).unwrap();
        assert_eq!((done.misses, done.trouble), (0, None));
        assert!(fakes.iter().zip(stored).all(|(fake, before)| fake.requests() > before));
        // With fewer connections than targets some keys are left out, which is a failure.
        let few = Load { connections: 2, ..LOAD };
        let error = fill_at(&few, Keys::Memtier, &targets, &Stop::default()).unwrap_err();
        assert_eq!(error.to_string(), "67 of 100 sets were answered");
    }

    #[test]
    fn gets_of_many_keys_count_once() {
        let load = Load { sets: 0, gets: 1, keys_per_get: 100, pipeline: 1, ..LOAD };
        let fake = filled(&load);
        let before = fake.requests();
        let done = run(&load, fake.address, 1, TIME, &Stop::default()).unwrap();
        assert_eq!(done.requests, fake.requests() - before);
        assert_eq!((done.misses, done.trouble), (0, None));
    }

    #[test]
    fn values_larger_than_the_socket_takes_do_not_lock_up() {
        let load = Load { value_size: 300_000, sets: 1, gets: 1, keys: 8, ..LOAD };
        let fake = filled(&load);
        let done = run(&load, fake.address, 1, TIME, &Stop::default()).unwrap();
        assert!(done.requests > 0);
        assert_eq!((done.misses, done.trouble), (0, None));
    }

    #[test]
    fn misses_are_counted_by_key() {
        let load = Load { sets: 0, gets: 1, keys_per_get: 10, ..LOAD };
        let fake = Fake::start();
        let done = run(&load, fake.address, 1, TIME, &Stop::default()).unwrap();
        assert!(done.requests > 0);
        assert_eq!(done.misses, done.requests * 10);
    }

    #[test]
    fn wrong_answers_and_sizes_are_named() {
        let fake = Fake::refusing();
        let error = fill(&LOAD, Keys::Memtier, fake.address, &Stop::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100 wrong answers, the first \"SERVER_ERROR out of memory storing object\""
        );
        let fake = filled(&LOAD);
        let load = Load { value_size: 31, sets: 0, ..LOAD };
        let done = run(&load, fake.address, 1, TIME, &Stop::default()).unwrap();
        assert!(done.trouble.unwrap().contains("Value(32)"));
    }
}
