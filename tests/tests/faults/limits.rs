//! The guarantees that cannot be given. Each test shows an interleaving that `docs/reliability.md` lists as
//! an exception. Relays between the nodes make it happen every time.

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, relay, wait};

use crate::{NODES, alone, ready};

const PATIENCE: [&str; 4] = ["--peer-timeout", "500", "--peer-give-up", "500"];

/// Three nodes with relays between them and a current ring, settled.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(3);
    fleet.put_relays();
    fleet.launch(&NODES, &fleet.ring(1, &NODES), &PATIENCE);
    fleet.await_settled(&NODES, 1);
    fleet
}

fn get(conn: &mut Conn, key: &str) -> String {
    conn.ask_text(&format!("get {key}\r\n"))
}

fn hit(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
}

/// Sends until the value is stored: after a change, the first requests may find a link that is still
/// connecting.
fn store(conn: &mut Conn, key: &str, value: &str) {
    wait::until("a write to be acknowledged", || {
        let request = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
        (conn.ask_text(&request) == "STORED\r\n").then_some(())
    });
}

/// A node that clients can reach and its peers cannot is removed from the ring. It has not received the new
/// ring, and so has no reason to stop serving.
#[test]
fn a_node_cut_off_from_its_peers_answers_by_the_ring_it_knows() {
    let _turn = alone();
    if ready().is_err() {
        return;
    }
    let fleet = fleet();
    let key = &fleet.keys_of(0, 2, "cut-", 1)[0];
    let (mut inside, mut outside) = (fleet.connect(0), fleet.connect(2));
    store(&mut inside, key, "old");
    assert_eq!(get(&mut outside, key), hit(key, "old"));

    fleet.cut_off(2, true);
    fleet.write(0, &fleet.ring(2, &[0, 1]));
    fleet.await_settled(&[0, 1], 2);
    store(&mut inside, key, "new");
    assert_eq!(get(&mut inside, key), hit(key, "new"));
    // This is the exception.
    assert_eq!(get(&mut outside, key), hit(key, "old"));
    let log = fleet.server(0).log();
    assert!(log.contains("unreachable and declared failed"), "it is logged: {log}");
    assert!(fleet.count(0, "ring_given_up") >= 1, "it is counted");

    // It ends as soon as they reach each other.
    fleet.cut_off(2, false);
    fleet.await_version(&[2], 2);
    wait::until("the node to serve no more", || {
        let answer = get(&mut outside, key);
        assert_ne!(answer, hit(key, "old"), "not after it has heard of the ring");
        (answer == hit(key, "new")).then_some(())
    });
}

/// A write reaches its owner late, after the forwarding node has answered with an error, and after another
/// client has written a newer value. The error means that the write may have taken effect, or may do so
/// later.
#[test]
fn a_write_answered_with_an_error_may_happen_after_a_newer_one() {
    let _turn = alone();
    if ready().is_err() {
        return;
    }
    let fleet = fleet();
    let key = &fleet.keys_of(0, 2, "late-", 1)[0];
    let (mut passing, mut owner) = (fleet.connect(0), fleet.connect(2));
    store(&mut passing, key, "first");

    fleet.relay(2).hold(relay::ALL, true);
    let answer = passing.ask_text(&format!("set {key} 0 0 4\r\nlate\r\n"));
    assert_eq!(answer, "SERVER_ERROR the node that owns this key does not answer\r\n");
    owner.talk(format!("set {key} 0 0 5\r\nnewer\r\n"), "STORED\r\n");
    assert_eq!(get(&mut owner, key), hit(key, "newer"));
    fleet.relay(2).hold(relay::ALL, false);
    // This is the exception: the write that was answered with an error takes effect now.
    wait::until("the late write", || (get(&mut owner, key) == hit(key, "late")).then_some(()));
}
