//! Fault: clients that request large values without end and never read an answer. The memory that a node
//! holds for them is bounded, and other clients are served.

use std::time::{Duration, Instant};

use ringbinder_tests::Conn;
use ringbinder_tests::levels::peak_kib;
use ringbinder_tests::ring::Fleet;

use crate::{NODES, Row, back_to, briefly, checked, goes_on, levels, plan};

/// Memory of each node in MiB.
const MEMORY: u64 = 32;
const CLIENTS: usize = 120;
const VALUES: usize = 24;
const VALUE: usize = 500_000;

/// Memory in MiB that a node may hold besides items: for connections, and for its own code, threads and
/// slack.
const BESIDE_ITEMS_MIB: u64 = 32 + 32;

#[test]
fn clients_that_send_and_never_read() {
    briefly("clients_that_send_and_never_read");
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    let mut fleet = Fleet::running(3, &["-m", &MEMORY.to_string()]);
    let value = vec![b'v'; VALUE];
    let keys: Vec<String> = (0..VALUES).map(|number| format!("large-{number}")).collect();
    let mut conn = fleet.connect(0);
    for key in &keys {
        let head = format!("set {key} 0 0 {VALUE}\r\n");
        conn.talk([head.as_bytes(), &value, b"\r\n"].concat(), "STORED\r\n");
    }
    let before = levels(&mut fleet);
    let request = format!("get {}\r\n", keys.join(" ")).into_bytes();
    let (sent, summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let mut deaf: Vec<Conn> = (0..CLIENTS).map(|n| fleet.connect(NODES[n % 3])).collect();
        let (start, mut sent, mut closed) = (Instant::now(), 0, 0);
        while goes_on(start, duration) {
            for conn in &mut deaf {
                // Sends as much as the node and the kernel take. Part of a request is enough: the next write
                // continues with the same bytes, and a malformed request is answered too.
                match conn.try_send_unread(&request) {
                    Ok(written) => sent += written,
                    // The node closed it, because other connections needed its memory.
                    Err(_) => {
                        closed += 1;
                        *conn = fleet.connect(NODES[closed % 3]);
                    }
                }
            }
            gauge.await_more(100);
        }
        sent
    });
    // Unread values are held once, in the store; values from other nodes count as memory of connections.
    let bound = MEMORY + BESIDE_ITEMS_MIB;
    let peak = NODES.map(|node| peak_kib(fleet.server(node).pid()).div_ceil(1024));
    assert!(peak.iter().all(|&peak| peak <= bound), "{peak:?} MiB, promised {bound}");
    assert_eq!((summary.errors, summary.broken), (0, 0), "{summary:?}");
    let held = back_to(&fleet, &before, MEMORY + BESIDE_ITEMS_MIB);
    Ok(Row {
        fault: "clients that never read",
        done: format!(
            "{CLIENTS} clients sent {} KiB of gets for {VALUES} values of {VALUE} bytes each, to \
             nodes with -m {MEMORY}",
            sent >> 10
        ),
        summary,
        held: format!("no node above {bound} MiB, others served; {held}"),
    })
}
