//! Tests of node identity: several processes with one name, and names whose address changes or leads
//! elsewhere. At most one process serves under a name, and all nodes report a conflict.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use nix::sys::signal::Signal;
use ringbinder_tests::ring::{Fleet, ring_file};
use ringbinder_tests::{Kind, needs};

use crate::{assert_all_agree, hit, set, value_of};

/// Three nodes. The second one was started with its name.
fn named() -> Fleet {
    let mut fleet = Fleet::new(5);
    let ring = fleet.ring(1, &[0, 1, 2]);
    fleet.launch(&[0, 2], &ring, &[]);
    fleet.launch(&[1], &ring, &["--node", "cache-1"]);
    fleet.await_settled(&[0, 1, 2], 1);
    fleet
}

/// A ring of three nodes, whose second node is at the port of `place`.
fn ring_with(fleet: &Fleet, version: u64, name: &str, place: usize) -> String {
    let nodes = [
        ("cache-0", fleet.port(0), 1),
        (name, fleet.port(place), 1),
        ("cache-2", fleet.port(2), 1),
    ];
    ring_file(version, nodes)
}

fn is(wanted: &str) -> impl Fn(&str) -> bool {
    move |value| value == wanted
}

#[test]
fn a_process_whose_name_went_to_another_address_serves_nothing_any_more() {
    needs!(Kind::Ringbinder);
    let mut fleet = named();
    let keys = fleet.keys_of(0, 1, "moved", 20);
    for key in &keys {
        fleet.connect(0).talk(set(key, "0"), "STORED\r\n");
    }
    let acknowledged = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    // The new process runs before any node has the new ring.
    let ring = ring_with(&fleet, 2, "cache-1", 3);
    fleet.launch(&[3], &ring, &["--node", "cache-1"]);
    let fleet = &fleet;
    let (key, acknowledged, over) = (&keys[0], &acknowledged, &over);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut conn = fleet.connect(0);
            for number in 1.. {
                if over.load(SeqCst) {
                    break;
                }
                if conn.ask_text(&set(key, &number.to_string())) == "STORED\r\n" {
                    acknowledged.store(number, SeqCst);
                }
            }
        });
        let readers: Vec<_> = [1, 3, 2]
            .into_iter()
            .map(|node| {
                scope.spawn(move || {
                    let mut conn = fleet.connect(node);
                    let mut reads = 0;
                    while !over.load(SeqCst) {
                        let before = acknowledged.load(SeqCst);
                        if let Some(value) = value_of(&mut conn, key) {
                            let value: u64 = value.parse().expect("a number");
                            assert!(value >= before, "node {node} gave {value} after {before}");
                            reads += 1;
                        }
                    }
                    reads
                })
            })
            .collect();
        fleet.write(0, &ring);
        fleet.await_version(&[0, 1, 2, 3], 2);
        fleet.await_stat(1, "ring_standing", is("replaced"));
        fleet.await_settled(&[0, 2, 3], 2);
        fleet.connect(0).talk(set(&keys[1], "new"), "STORED\r\n");
        for node in [0, 1, 2, 3] {
            fleet.connect(node).talk(format!("get {}\r\n", keys[1]), hit(&keys[1], "new"));
        }
        let far = acknowledged.load(SeqCst) + 200;
        ringbinder_tests::wait::until("more writes", || {
            (acknowledged.load(SeqCst) > far).then_some(())
        });
        over.store(true, SeqCst);
        for reader in readers {
            assert!(reader.join().expect("no older value") > 0);
        }
    });
    assert_eq!(fleet.stat(1, "ring_member"), "no");
    assert_eq!(fleet.stat(3, "ring_standing"), "confirmed");
    let serving = fleet.stat(3, "ring_instance");
    assert_eq!(fleet.stat(0, "peer:cache-1:instance"), serving);
    let reason = fleet.stat(1, "ring_standing_reason");
    assert!(reason.contains(&serving) && reason.contains("serves nothing"), "{reason}");
    assert!(fleet.server(1).log().contains(&reason), "{}", fleet.server(1).log());
}

#[test]
fn all_nodes_may_be_replaced_in_one_change_if_the_old_ones_are_given_the_ring_first() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(4);
    let ports = [0, 1, 2, 3].map(|place| fleet.port(place));
    let (old, new) = ([ports[0], ports[1]], [ports[2], ports[3]]);
    let ring =
        |version, at: [u16; 2]| ring_file(version, [("cache-0", at[0], 1), ("cache-1", at[1], 1)]);
    for node in [0, 1] {
        let name = format!("cache-{node}");
        fleet.launch(&[node], &ring(1, old), &["--node", &name]);
    }
    fleet.await_settled(&[0, 1], 1);
    fleet.write(0, &ring(2, new));
    fleet.await_version(&[0, 1], 2);
    for node in [0, 1] {
        fleet.await_stat(node, "ring_standing", is("unconfirmed"));
        let name = format!("cache-{node}");
        fleet.launch(&[node + 2], &ring(2, new), &["--node", &name]);
    }
    for node in [0, 1] {
        fleet.await_stat(node, "ring_standing", is("replaced"));
        fleet.await_stat(node + 2, "ring_settled", is("yes"));
        for name in ["cache-0", "cache-1"] {
            fleet.await_stat(node, &format!("peer:{name}:state"), is("up"));
        }
    }
    fleet.await_stat(2, "peer:cache-1:state", is("up"));
    fleet.await_stat(3, "peer:cache-0:state", is("up"));
    for node in 0..4 {
        fleet.connect(node).talk(set("key", &node.to_string()), "STORED\r\n");
        for other in 0..4 {
            fleet.connect(other).talk("get key\r\n", hit("key", &node.to_string()));
        }
    }
}

#[test]
fn a_clone_of_a_node_serves_nothing_beside_it() {
    needs!(Kind::Ringbinder);
    let mut fleet = named();
    let keys = fleet.keys_of(0, 1, "cloned", 20);
    let original = fleet.stat(1, "ring_instance");
    let ring = fleet.ring(1, &[0, 1, 2]);
    fleet.launch(&[3], &ring, &["--node", "cache-1"]);
    fleet.await_stat(3, "ring_standing", is("replaced"));
    let clone = fleet.stat(3, "ring_instance");
    for (node, value) in [(0, "by a peer"), (3, "by the clone"), (1, "by the original")] {
        for key in &keys {
            fleet.connect(node).talk(set(key, value), "STORED\r\n");
        }
        assert_all_agree(&fleet, &[0, 1, 2, 3], &keys, |_| value.to_owned());
    }
    assert_eq!(fleet.stat(1, "ring_standing"), "confirmed");
    assert_eq!(fleet.await_stat(1, "ring_rival", |value| value != "-"), clone);
    assert_eq!(fleet.stat(0, "peer:cache-1:instance"), original);
    assert!(fleet.stat(3, "ring_standing_reason").contains(&original));
    let log = fleet.server(1).log();
    assert!(log.contains(&format!("another process, {clone}, claims to be cache-1")), "{log}");

    // The clone does not take over, because its address is different. Its data is not used.
    fleet.kill(1);
    fleet.await_stat(0, "peer:cache-1:state", is("away"));
    assert_eq!(value_of(&mut fleet.connect(3), &keys[0]), None);
    fleet.start(1, &["--node", "cache-1"]);
    fleet.await_settled(&[0, 1, 2], 1);
    fleet.await_stat(3, "peer:cache-1:state", is("up"));
    for key in &keys {
        fleet.connect(3).talk(set(key, "anew"), "STORED\r\n");
    }
    assert_all_agree(&fleet, &[0, 1, 2, 3], &keys, |_| "anew".to_owned());
}

#[test]
fn a_node_that_is_renamed_while_it_runs_says_so_and_so_do_its_peers() {
    needs!(Kind::Ringbinder);
    let mut fleet = named();
    let ring = ring_with(&fleet, 2, "cache-x", 1);
    fleet.write(0, &ring);
    fleet.await_version(&[0, 1, 2], 2);
    fleet.await_stat(1, "ring_standing", is("absent"));
    let reason = fleet.stat(1, "ring_standing_reason");
    assert!(reason.contains("restart this process with --node cache-x"), "{reason}");
    assert!(fleet.server(1).log().contains(&reason), "{}", fleet.server(1).log());
    for node in [0, 2] {
        fleet.await_stat(node, "peer:cache-x:state", is("away"));
        let reason = fleet.stat(node, "peer:cache-x:reason");
        assert!(reason.contains("it has the name cache-1"), "{reason}");
    }
    fleet.end(1, Signal::SIGTERM);
    fleet.write(1, &ring);
    fleet.start(1, &["--node", "cache-x"]);
    fleet.await_settled(&[0, 1, 2], 2);
    fleet.await_stat(0, "peer:cache-x:state", is("up"));
}

#[test]
fn a_peer_that_no_request_was_sent_to_is_away_when_it_does_not_answer() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    fleet.put_relays();
    let mut ring = fleet.ring(1, &[0, 1]);
    ring.push_str("\n[[node]]\nname = \"lost\"\naddress = \"no-such-host.invalid:11211\"\n");
    fleet.launch(&[0, 1], &ring, &["--peer-timeout", "300"]);
    // A peer counts as up until a handshake fails. Only its instance shows that a handshake succeeded.
    fleet.await_stat(0, "peer:cache-1:instance", |instance| instance != "-");
    fleet.await_stat(0, "peer:cache-1:state", is("up"));
    fleet.await_stat(0, "peer:lost:state", is("away"));
    assert_ne!(fleet.stat(0, "peer:lost:reason"), "-");
    fleet.cut_off(1, true);
    fleet.await_stat(0, "peer:cache-1:state", is("away"));
    let reason = fleet.stat(0, "peer:cache-1:reason");
    assert!(reason.contains("no answer within"), "{reason}");
    fleet.cut_off(1, false);
    fleet.await_stat(0, "peer:cache-1:state", is("up"));
    assert_eq!(fleet.stat(0, "peer:cache-1:reason"), "-");
    assert_eq!(fleet.count(0, "peer:cache-1:forwarded"), 0);
}

#[test]
fn silence_from_before_a_change_does_not_count_as_waiting() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let options = ["--peer-timeout", "300", "--peer-give-up", "60000"];
    fleet.launch(&[0, 1, 2], &fleet.ring(1, &[0, 1, 2]), &options);
    fleet.await_settled(&[0, 1, 2], 1);
    let paused = fleet.pause(2);
    fleet.await_stat(0, "peer:cache-2:state", is("away"));
    fleet.write(0, &fleet.ring(2, &[0, 1]));
    fleet.await_version(&[0, 1], 2);
    let silent = format!("127.0.0.1:{}", fleet.port(2));
    fleet.await_stat(0, "ring_awaited", is(&silent));
    assert_eq!(fleet.count(0, "ring_given_up"), 0);
    drop(paused);
    fleet.await_settled(&[0, 1], 2);
    assert_eq!(fleet.count(0, "ring_given_up") + fleet.count(1, "ring_given_up"), 0);
}

/// The CAS number that `gets` returns.
fn unique(fleet: &Fleet, node: usize, key: &str) -> u64 {
    let answer = fleet.connect(node).ask_text(&format!("gets {key}\r\n"));
    let line = answer.lines().next().unwrap_or_default();
    let last = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    last.unwrap_or_else(|| panic!("gets {key}: {answer:?}"))
}

#[test]
fn uniques_fit_32_bits_and_no_two_of_a_key_are_the_same() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let keys = fleet.keys_of(0, 1, "unique", 20);
    // The node that gives up the keys has higher CAS numbers than the other one.
    let mut conn = fleet.connect(1);
    for _ in 0..2_000 {
        conn.talk(set(&keys[0], "counted"), "STORED\r\n");
    }
    let mut highest: Vec<u64> = Vec::new();
    for key in &keys {
        fleet.connect(0).talk(set(key, "first"), "STORED\r\n");
        highest.push(unique(&fleet, 0, key));
    }
    for (version, nodes) in [(2, &[0][..]), (3, &[0, 1]), (4, &[1]), (5, &[0, 1])] {
        for node in [0, 1] {
            fleet.write(node, &fleet.ring(version, nodes));
        }
        fleet.await_settled(&[0, 1], version);
        for (key, highest) in keys.iter().zip(&mut highest) {
            fleet.connect(0).talk(set(key, "next"), "STORED\r\n");
            let next = unique(&fleet, 0, key);
            assert!(next > *highest, "{key} by ring {version}: {next} after {highest}");
            assert!(next < 1 << 32, "{next}");
            *highest = next;
        }
    }
}
