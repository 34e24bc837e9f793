//! Faults of machines on three nodes that share a ring. Meanwhile clients on all nodes read, write and
//! delete, and every answer is checked. The history of each key must be linearizable, except that a get may
//! miss, and a write that was not acknowledged may or may not take effect.
//!
//! Each file is a fault, or a family of faults. A test runs its fault for a short time. The long run executes
//! all of them and prints the table of `docs/reliability.md`:
//!
//!     RINGBINDER_FAULT_SECONDS=30 cargo test -p ringbinder-tests --test faults table -- --nocapture
//!
//! `limits` shows the guarantees that cannot be given.

mod clock;
mod crowd;
mod deaf;
mod etcd;
mod killed;
mod limits;
mod paused;
mod ring_file;
mod snapshot;
mod warm;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringbinder_tests::levels::{Levels, peak_kib};
use ringbinder_tests::load::{Gauge, Log, Plan, Summary, judge, under};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Conn, Kind};

/// The nodes in each fault.
const NODES: [usize; 3] = [0, 1, 2];

/// A row of the table.
struct Row {
    fault: &'static str,
    done: String,
    summary: Summary,
    held: String,
}

/// A fault. Runs for about this long, or returns the requirement that is missing.
type Fault = fn(Duration) -> Result<Row, &'static str>;

/// Every fault with the name of its test, in the order of the table.
const FAULTS: [(&str, Fault); 9] = [
    ("ten_thousand_connections_half_of_them_slow_or_silent", crowd::run),
    ("clients_that_send_and_never_read", deaf::run),
    ("nodes_are_killed_and_come_back_empty", killed::run),
    ("nodes_stand_still", paused::run),
    ("a_ring_file_is_written_badly", ring_file::run),
    ("etcd_goes_away", etcd::run),
    ("the_clock_jumps_by_a_day", clock::run),
    ("the_disk_under_the_snapshot_is_full", snapshot::run),
    ("nodes_are_restarted_and_replaced_with_their_items", warm::run),
];

/// Lets one fault run at a time: they put load on the machine, and some fail if it is too slow.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a fault for a short time.
fn briefly(test: &str) {
    let _turn = alone();
    let (_, fault) = FAULTS.iter().find(|(name, _)| *name == test).expect("a fault of the table");
    match ready().and_then(|()| fault(Duration::from_secs(1))) {
        Ok(row) => println!("{}", line(&row)),
        Err(missing) => skip(test, missing),
    }
}

fn ready() -> Result<(), &'static str> {
    if Kind::Ringbinder.available() { Ok(()) } else { Err("no ringbinderd") }
}

#[test]
fn table() {
    let Ok(seconds) = std::env::var("RINGBINDER_FAULT_SECONDS") else {
        return;
    };
    let _turn = alone();
    let duration = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let mut rows = Vec::new();
    for (name, fault) in FAULTS {
        match ready().and_then(|()| fault(duration)) {
            Ok(row) => rows.push(line(&row)),
            Err(missing) => skip(name, missing),
        }
    }
    println!(
        "\n| fault | what was done | operations | acknowledged writes | gets | misses | errors | \
         violations | what was held |\n|---|---|---|---|---|---|---|---|---|"
    );
    for row in rows {
        println!("{row}");
    }
}

fn line(row: &Row) -> String {
    let Summary { operations, gets, hits, acknowledged, errors, broken } = row.summary;
    // A fault with a violation has no row, because its test fails.
    format!(
        "| {} | {} | {operations} | {acknowledged} | {gets} | {} | {} | 0 | {} |",
        row.fault,
        row.done,
        gets - hits,
        errors + broken,
        row.held
    )
}

/// The load during a fault. It leaves the machine enough time for the fault.
fn plan() -> Plan {
    Plan {
        clients: 4,
        patience: Duration::from_secs(10),
        pause: Duration::from_micros(200),
        large: true,
        seed: rand::random(),
        ..Plan::default()
    }
}

/// The ports of the nodes.
fn ports(fleet: &Fleet) -> Vec<u16> {
    NODES.iter().map(|&node| fleet.port(node)).collect()
}

/// Runs `act` under a load and checks every answer. On failure, prints the nodes' logs.
fn checked<R>(
    fleet: &mut Fleet,
    plan: &Plan,
    act: impl FnOnce(&mut Fleet, &Gauge) -> R,
) -> (R, Summary) {
    let ports = ports(fleet);
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        under(&ports, plan, |gauge| {
            // All clients are served before the fault.
            gauge.await_more(200);
            let acted = act(fleet, gauge);
            // And after it.
            gauge.await_more(200);
            acted
        })
    }));
    let (acted, logs) = ran.unwrap_or_else(|panic| {
        println!("{}", fleet.logs());
        std::panic::resume_unwind(panic)
    });
    let summary = judge(&logs).unwrap_or_else(|violation| {
        explain(&logs);
        println!("{}", fleet.logs());
        panic!("{violation}")
    });
    assert!(summary.hits * 5 > summary.gets, "hardly a get hit: {summary:?}");
    (acted, summary)
}

fn explain(logs: &[Log]) {
    for trouble in logs.iter().flat_map(|log| &log.troubles) {
        println!("{trouble}");
    }
}

/// The resources of each node, after all one-time allocations.
fn levels(fleet: &mut Fleet) -> Vec<Levels> {
    let plan = Plan { prefix: "warm-", ..plan() };
    let _ = checked(fleet, &plan, |_, gauge| gauge.await_more(1000));
    NODES.iter().map(|&node| Levels::of(fleet.server(node).pid())).collect()
}

/// Asserts that the nodes use no more resources than before, and at most this many MiB more memory. Returns a
/// description of the memory.
fn back_to(fleet: &Fleet, before: &[Levels], more_mib: u64) -> String {
    let mut said = Vec::new();
    for (node, &before) in NODES.into_iter().zip(before) {
        let pid = fleet.server(node).pid();
        let now = Levels::back_to(pid, before);
        let peak = peak_kib(pid);
        assert!(
            now.resident <= before.resident + more_mib * 1024,
            "node {node}: {before} before, {now} now"
        );
        said.push((before, now, peak));
    }
    let (before, now, peak) = said
        .into_iter()
        .max_by_key(|(before, now, _)| now.resident.saturating_sub(before.resident))
        .expect("nodes");
    format!("the node that grew most: {before} before, {now} after, {} MiB at most", peak >> 10)
}

/// Whether the duration since `start` is not over.
fn goes_on(start: Instant, duration: Duration) -> bool {
    start.elapsed() < duration
}

/// A line of `stats`.
fn stat(conn: &mut Conn, name: &str) -> String {
    let stats = conn.ask_text("stats\r\n");
    let prefix = format!("STAT {name} ");
    let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {name} in {stats}")).to_owned()
}

/// A figure of `stats`.
fn figure(conn: &mut Conn, name: &str) -> u64 {
    stat(conn, name).parse().expect("a number")
}

/// Whether the tested node supports an option.
fn knows(option: &str) -> bool {
    let help = Kind::Ringbinder.command().arg("--help").output().expect("a node that helps");
    String::from_utf8_lossy(&help.stdout).contains(option)
}
