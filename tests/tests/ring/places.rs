//! Tests of connection slots: clients that take all of `-c` do not cut a node off from the others, and
//! untrusted clients do not take the slots reserved for nodes.
//!
//! All nodes of a test are on 127.0.0.1, and an untrusted client connects from 127.0.0.2. If nodes must not
//! be recognised by their addresses, the ring lists them on 127.0.0.2, and they connect from 127.0.0.1.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, Kind, needs, wait};

use crate::{hit, set};

const FULL: &str = "ERROR Too many open connections\r\n";
const AWAY: &str = "SERVER_ERROR the node that owns this key does not answer\r\n";
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The value of a node's `-c`.
const LIMIT: usize = 8;
const ARGUMENTS: [&str; 2] = ["-c", "8"];

/// The same for the nodes of a siege. The siege keeps both nodes busy, and slow answers are not its subject.
/// A node that is refused once and does not dial again fails its requests at once.
const BESIEGED: [&str; 4] = ["-c", "8", "--peer-timeout", "15000"];

fn place(fleet: &Fleet, node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, fleet.port(node))
}

/// An untrusted client.
fn stranger(fleet: &Fleet, node: usize) -> Conn {
    Conn::tcp_from(ELSEWHERE, place(fleet, node)).expect("a connection")
}

/// Reads `stats` over an existing connection.
fn figures(conn: &mut Conn) -> HashMap<String, String> {
    let text = conn.ask_text("stats\r\n");
    let entry = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

fn count(conn: &mut Conn, name: &str) -> usize {
    figures(conn)[name].parse().expect("a number")
}

/// Opens clients until they hold every client slot of a node.
fn fill(fleet: &Fleet, node: usize) -> Vec<Conn> {
    fill_from(fleet, node, ELSEWHERE)
}

fn fill_from(fleet: &Fleet, node: usize, from: Ipv4Addr) -> Vec<Conn> {
    let (mut held, mut refused) = (Vec::new(), 0);
    wait::until("all places to be taken", || {
        while held.len() < LIMIT {
            let mut conn = Conn::tcp_from(from, place(fleet, node)).expect("a connection");
            conn.send("version\r\n");
            if !conn.take_line().starts_with("VERSION") {
                // An earlier connection is not closed yet, or other connections hold the slots.
                refused += 1;
                return (refused == 50).then_some(());
            }
            held.push(conn);
        }
        Some(())
    });
    assert_eq!(count(&mut held[0], "curr_connections"), LIMIT);
    held
}

/// A fleet whose node 1 has no client slot left, and the clients that hold the slots.
fn beside_a_full_one(count: usize, arguments: &[&str]) -> (Fleet, Vec<Conn>) {
    let arguments = [&ARGUMENTS[..], arguments].concat();
    let fleet = Fleet::running(count, &arguments);
    let held = fill(&fleet, 1);
    (fleet, held)
}

/// Writes and reads through one node a key that another owns.
fn assert_reached(fleet: &Fleet, from: usize, owner: usize, value: &str) {
    let mut conn = fleet.connect(from);
    for key in fleet.keys_of(from, owner, "reached-", 4) {
        for (request, expected) in [
            (set(&key, value), "STORED\r\n".to_owned()),
            (format!("get {key}\r\n"), hit(&key, value)),
        ] {
            let answer = conn.ask_text(&request);
            assert_eq!(answer, expected, "{request:?}: {:?}\n{}", fleet.stats(from), fleet.logs());
        }
    }
}

#[test]
fn clients_that_take_all_places_cut_nobody_off() {
    needs!(Kind::Ringbinder);
    // Links end with their process: these start while the node is full.
    let (mut fleet, mut held) = beside_a_full_one(3, &[]);
    for node in [0, 2] {
        fleet.stop(node);
        fleet.start(node, &ARGUMENTS);
    }
    fleet.await_settled(&[0, 2], 1);
    for node in [0, 2] {
        assert_eq!(fleet.stat(node, "peer:cache-1:state"), "up");
        assert_reached(&fleet, node, 1, "x");
    }
    let mut late = fleet.connect(1);
    late.send("version\r\n");
    assert_eq!(late.take_line(), FULL);
    assert!(late.take_rest().is_empty());
    let stats = figures(&mut held[0]);
    assert_eq!(stats["curr_connections"], LIMIT.to_string());
    let peers: usize = stats["peer_connections"].parse().expect("a number");
    let most: usize = stats["max_peer_connections"].parse().expect("a number");
    // At least one link of each node, and at most those that two workers and their handshakes need.
    assert!((2..=most).contains(&peers), "{stats:?}");
    assert_eq!(most, 3 * (2 * 2 + 8), "by the size of the ring");
    assert!(stats["rejected_connections"] != "0", "{stats:?}");
}

#[test]
fn a_ring_changes_while_a_node_has_no_place_for_clients() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    fleet.launch(&[0, 1], &fleet.ring(1, &[0, 1]), &ARGUMENTS);
    fleet.await_settled(&[0, 1], 1);
    let held = fill(&fleet, 1);
    // The full node must receive the ring from the others: its own file stays.
    let next = fleet.ring(2, &[0, 1, 2]);
    fleet.write(0, &next);
    fleet.launch(&[2], &next, &ARGUMENTS);
    fleet.await_settled(&[0, 2], 2);
    for node in [0, 2] {
        assert_eq!(fleet.stat(node, "ring_given_up"), "0");
        assert_reached(&fleet, node, 1, "after");
    }
    drop(held);
    wait::until("a place to become free", || {
        let mut conn = fleet.connect(1);
        conn.send("version\r\n");
        conn.take_line().starts_with("VERSION").then_some(())
    });
    fleet.await_settled(&[1], 2);
    assert_eq!(fleet.stat(1, "ring_given_up"), "0");
}

#[test]
fn nodes_take_no_places_of_clients() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &ARGUMENTS);
    for node in [0, 2] {
        assert_reached(&fleet, node, 1, "x");
    }
    let mut conn = stranger(&fleet, 1);
    wait::until("only this client to be counted", || {
        (count(&mut conn, "curr_connections") == 1).then_some(())
    });
    assert!(count(&mut conn, "peer_connections") >= 2);
    assert_eq!(count(&mut conn, "rejected_connections"), 0);
}

/// Repeatedly opens connections from many addresses, and keeps each until the node closes it.
fn besiege(at: SocketAddrV4, request: &str, over: &AtomicBool) -> usize {
    let mut opened = 0;
    let mut held = VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + opened % 250).expect("below 256"));
        if let Ok(mut conn) = Conn::tcp_from(from, at) {
            conn.send_unread(request.as_bytes());
            held.push_back(conn);
            opened += 1;
        }
        if held.len() > 300 {
            held.pop_front();
        }
    }
    opened
}

/// Lets untrusted clients besiege node 1, whose client slots are all taken, while node 0 starts and requests
/// keys from it.
fn assert_not_kept_out(fleet: &mut Fleet, request: &str, arguments: &[&str]) {
    let mut held = fill(fleet, 1);
    let over = AtomicBool::new(false);
    let at = place(fleet, 1);
    fleet.stop(0);
    let opened = std::thread::scope(|scope| {
        let siege = scope.spawn(|| besiege(at, request, &over));
        let lifted = OnDrop(&over);
        fleet.start(0, arguments);
        fleet.await_settled(&[0], 1);
        assert_reached(fleet, 0, 1, "x");
        drop(lifted);
        siege.join().expect("a siege")
    });
    assert!(opened > 100, "only {opened} strangers");
    let stats = figures(&mut held[0]);
    assert_eq!(stats["curr_connections"], LIMIT.to_string());
    let number = |name: &str| stats[name].parse::<usize>().expect("a number");
    assert!(number("peer_connections") <= number("max_peer_connections"), "{stats:?}");
    // The clients, the nodes, and the connections that the module `places` permits besides them.
    let bound = LIMIT + number("max_peer_connections") + 2 * (128 + 256);
    assert!(number("connection_structures") <= bound, "{stats:?}");
}

/// Ends a siege, even if the test fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn strangers_do_not_keep_nodes_out() {
    needs!(Kind::Ringbinder);
    for request in ["", "ring greet cache-0 1.0000000000000000\r\n"] {
        let mut fleet = Fleet::running(2, &BESIEGED);
        assert_not_kept_out(&mut fleet, request, &BESIEGED);
    }
}

#[test]
fn strangers_who_could_prove_something_do_not_keep_nodes_out() {
    needs!(Kind::Ringbinder);
    let (mut fleet, secret) = behind_other_addresses();
    let arguments = [&BESIEGED[..], &BOTH, &["--peer-secret-file", &secret]].concat();
    for node in [0, 1] {
        fleet.start(node, &arguments);
    }
    fleet.await_settled(&[0, 1], 1);
    let proof = format!("ring nonce\r\nring prove {}\r\n", "00".repeat(32));
    assert_not_kept_out(&mut fleet, &proof, &arguments);
}

/// Two nodes, not started, that connect from other addresses than the ring lists. Also returns a peer secret.
fn behind_other_addresses() -> (Fleet, String) {
    let fleet = Fleet::new(2);
    let secret = fleet.file("secret", "a secret that is long enough\n");
    let ring = fleet.ring(1, &[0, 1]).replace("127.0.0.1:", "127.0.0.2:");
    for node in [0, 1] {
        fleet.write(node, &ring);
    }
    (fleet, secret)
}

/// The additional address on which such a node listens.
const BOTH: [&str; 2] = ["-l", "127.0.0.2"];

#[test]
fn a_node_is_known_by_the_secret_wherever_it_comes_from() {
    needs!(Kind::Ringbinder);
    let (mut fleet, secret) = behind_other_addresses();
    let with = [&ARGUMENTS[..], &BOTH, &["--peer-secret-file", &secret]].concat();
    let without = [&ARGUMENTS[..], &BOTH].concat();
    for node in [0, 1] {
        fleet.start(node, &with);
    }
    fleet.await_settled(&[0, 1], 1);
    let mut held = fill_from(&fleet, 1, Ipv4Addr::LOCALHOST);
    fleet.stop(0);
    fleet.start(0, &with);
    fleet.await_settled(&[0], 1);
    assert_reached(&fleet, 0, 1, "x");
    assert!(count(&mut held[0], "peer_connections") >= 1);
    // A node without the secret learns the reason, which does not let it serve the other's keys.
    fleet.stop(0);
    fleet.start(0, &without);
    let line = "is unreachable: it has reached its limit of connections (-c)";
    await_log(&fleet, 0, line);
    let key = &fleet.keys_of(0, 1, "key-", 1)[0];
    fleet.connect(0).talk(set(key, "x"), AWAY);
    let log = fleet.server(0).log();
    assert!(!log.contains("is not a node of this ring"), "{log}");
    assert_eq!(fleet.stat(0, "ring_given_up"), "0");
    // It tries again, and gets a slot as soon as one is free.
    drop(held);
    fleet.await_settled(&[0], 1);
    assert_reached(&fleet, 0, 1, "y");
}

fn await_log(fleet: &Fleet, node: usize, line: &str) {
    wait::until(&format!("{line:?} in the log"), || {
        fleet.server(node).log().contains(line).then_some(())
    });
}

#[test]
fn another_secret_is_named_at_the_node_that_was_shown_it() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(2);
    let ring = fleet.ring(1, &[0, 1]);
    for node in [0, 1] {
        let secret =
            fleet.file(&format!("secret-{node}"), &format!("secret number {node}, long\n"));
        fleet.write(node, &ring);
        fleet.start(node, &["--peer-secret-file", &secret]);
    }
    fleet.await_settled(&[0, 1], 1);
    assert_reached(&fleet, 0, 1, "x");
    await_log(&fleet, 1, "sent a proof made with another peer secret");
    assert!(!fleet.logs().contains("secret number"), "{}", fleet.logs());
}

#[test]
fn nodes_may_be_idle_and_strangers_who_greet_may_not() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &["-o", "idle_timeout=1"]);
    let keys = fleet.keys_of(0, 1, "idle-", 4);
    let mut conn = fleet.connect(0);
    conn.talk(set(&keys[0], "x"), "STORED\r\n");
    let links = |conn: &mut Conn| count(conn, "peer_connections");
    let mut watcher = stranger(&fleet, 1);
    assert!(links(&mut watcher) >= 1);
    // An untrusted client that sends a node's handshake, and a client on a node's machine that does not, are
    // closed. By then the link has been idle for longer.
    let mut posing = stranger(&fleet, 1);
    posing.send("ring greet cache-0 1.0000000000000000\r\n");
    assert!(posing.take_line().starts_with("PEER cache-1 "));
    let mut plain = fleet.connect(1);
    plain.talk("get none\r\n", "END\r\n");
    assert!(posing.take_rest().is_empty() && plain.take_rest().is_empty());
    let mut watcher = stranger(&fleet, 1);
    assert!(links(&mut watcher) >= 1, "{}", fleet.logs());
    wait::until("those two and the first watcher to be counted", || {
        (count(&mut watcher, "idle_kicks") >= 3).then_some(())
    });
    assert_eq!(count(&mut watcher, "idle_kicks"), 3, "{}", fleet.logs());
    assert_eq!(fleet.count(0, "foreign_failed"), 0);
}

#[test]
fn clients_that_are_to_wait_do_so_in_their_order_and_nodes_pass_them() {
    needs!(Kind::Ringbinder);
    let waiting = ["-o", "no_maxconns_fast"];
    let (mut fleet, mut held) = beside_a_full_one(2, &waiting);
    let arguments = [&ARGUMENTS[..], &waiting].concat();
    let mut late: Vec<Conn> = Vec::new();
    for number in 0..3 {
        // By its address the first connection may be a node's, but its first request is not a node's.
        let mut conn = if number == 0 { fleet.connect(1) } else { stranger(&fleet, 1) };
        conn.send(format!("mn\r\nmn\r\nset waited 0 0 1\r\n{number}\r\n"));
        late.push(conn);
        wait::until("it to wait", || {
            (count(&mut held[0], "listen_disabled_num") > number).then_some(())
        });
    }
    fleet.stop(0);
    fleet.start(0, &arguments);
    fleet.await_settled(&[0], 1);
    assert_reached(&fleet, 0, 1, "x");
    for (number, mut conn) in late.into_iter().enumerate() {
        conn.poll_now();
        assert!(conn.pending().is_empty(), "{number} was served without a place");
        drop(held.pop());
        assert_eq!(conn.take(16), b"MN\r\nMN\r\nSTORED\r\n");
        // It keeps the slot that it got.
        held.insert(0, conn);
    }
    held[0].talk("get waited\r\n", hit("waited", "2"));
    assert_eq!(count(&mut held[0], "curr_connections"), LIMIT);
    assert_eq!(count(&mut held[0], "rejected_connections"), 0);
}

#[test]
fn a_full_node_that_stood_still_lets_nodes_in_when_it_goes_on() {
    needs!(Kind::Ringbinder);
    for more in [&[][..], &["-o", "no_maxconns_fast"]] {
        let (mut fleet, mut held) = beside_a_full_one(2, more);
        fleet.stop(0);
        let paused = fleet.pause(1);
        fleet.start(0, &[&ARGUMENTS[..], more].concat());
        fleet.await_stat(0, "peer:cache-1:state", |state| state == "away");
        drop(paused);
        fleet.await_stat(0, "peer:cache-1:state", |state| state == "up");
        fleet.await_settled(&[0], 1);
        assert_reached(&fleet, 0, 1, "x");
        assert_eq!(count(&mut held[0], "curr_connections"), LIMIT);
    }
}

#[test]
fn one_that_waits_among_the_clients_may_prove_that_it_is_a_node() {
    needs!(Kind::Ringbinder);
    let (fleet, mut held) = beside_a_full_one(2, &["-o", "no_maxconns_fast"]);
    let queued = count(&mut held[0], "listen_disabled_num");
    let mut slow = fleet.connect(1);
    wait::until("its time to be over", || {
        (count(&mut held[0], "listen_disabled_num") > queued).then_some(())
    });
    slow.send("ring greet cache-0 1.0000000000000000\r\nget a\r\n");
    assert!(slow.take_line().starts_with("PEER cache-1 "));
    assert_eq!(slow.take_line(), "END\r\n");
}

#[test]
fn one_beyond_the_limit_may_prove_that_it_is_a_node_and_nothing_else() {
    needs!(Kind::Ringbinder);
    let (fleet, mut held) = beside_a_full_one(2, &[]);
    let refused = [
        "get a\r\n",
        "version\r\n",
        "ring version\r\n",
        "ring get\r\n",
        "ring owner a\r\n",
        "ring forward 1.0000000000000000 owner\r\n",
        "ring greet nobody 1.0000000000000000\r\n",
        "ring prove 00\r\n",
        "quit\r\n",
        "",
    ];
    let endless = format!("ring {}", "x".repeat(100_000));
    for request in refused.into_iter().chain([endless.as_str()]) {
        let mut conn = fleet.connect(1);
        conn.send(request);
        assert_eq!(String::from_utf8_lossy(&conn.take_rest()), FULL, "{request:.40}");
    }
    // A node's machine cannot have more slots than its nodes either.
    let most = count(&mut held[0], "max_peer_connections");
    let mut inside = Vec::new();
    loop {
        assert!(inside.len() <= most, "more places than there are");
        let mut conn = fleet.connect(1);
        conn.send("ring greet cache-0 1.0000000000000000\r\nget a\r\n");
        let line = conn.take_line();
        if line == FULL {
            break;
        }
        assert!(line.starts_with("PEER cache-1 "), "{line}");
        assert_eq!(conn.take_line(), "END\r\n");
        inside.push(conn);
    }
    assert!(!inside.is_empty());
}
