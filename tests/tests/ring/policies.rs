//! Tests of a node's reports about its ring, and of foreign keys on a node that does not forward them.

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Kind, needs};

use crate::{hit, set, value_of};

const ANOTHER: &str = "CLIENT_ERROR another node owns this key: ask 'ring owner <key>'\r\n";
const NOT_PROVED: &str =
    "CLIENT_ERROR the offered ring is not proved by the peer secret of this node\r\n";

#[test]
fn discovery_is_answered_byte_by_byte() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let mut ports: Vec<u16> = (0..3).map(|node| fleet.port(node)).collect();
    ports.sort_unstable();
    let nodes: Vec<String> =
        ports.iter().map(|port| format!("127.0.0.1|127.0.0.1|{port}")).collect();
    let payload = format!("1\n{}\n", nodes.join(" "));
    for node in 0..3 {
        let mut conn = fleet.connect(node);
        let len = payload.len();
        conn.talk(
            "config get cluster\r\n",
            format!("CONFIG cluster 0 {len}\r\n{payload}\r\nEND\r\n"),
        );
        conn.talk(
            "get AmazonElastiCache:cluster\r\n",
            format!("VALUE AmazonElastiCache:cluster 0 {len}\r\n{payload}\r\nEND\r\n"),
        );
    }
}

#[test]
fn the_list_of_nodes_is_every_nodes_to_give() {
    needs!(Kind::Ringbinder);
    for policy in ["forward", "serve", "refuse"] {
        let fleet = Fleet::running(3, &["--foreign-keys", policy]);
        for node in 0..3 {
            let other = (node + 1) % 3;
            let foreign = &fleet.keys_of(node, other, "foreign-", 1)[0];
            let mut conn = fleet.connect(node);
            // A connection that has just requested another node's key is treated the same.
            conn.ask(format!("get {foreign}\r\n"));
            let answer = conn.ask_text("get AmazonElastiCache:cluster\r\n");
            assert!(answer.starts_with("VALUE AmazonElastiCache:cluster 0 "), "{policy}: {answer}");
        }
        let counted: u64 = (0..3).map(|node| fleet.count(node, "foreign_gets")).sum();
        assert_eq!(counted, if policy == "forward" { 3 } else { 0 }, "{policy}");
    }
}

#[test]
fn every_node_tells_the_same_ring() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let answers = |request: &str| -> Vec<String> {
        (0..3).map(|node| fleet.connect(node).ask_text(request)).collect()
    };
    let versions = answers("ring version\r\n");
    let digest = versions[0].strip_prefix("RING 1 ").and_then(|rest| rest.strip_suffix("\r\n"));
    let digest = digest.unwrap_or_else(|| panic!("{versions:?}"));
    assert_eq!(digest.len(), 16, "{versions:?}");
    assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
    let rings = answers("ring get\r\n");
    assert!(rings.iter().all(|ring| *ring == rings[0]), "{rings:?}");
    let header = format!("RING 1 {digest} ");
    let (len, text) =
        rings[0].strip_prefix(&header).and_then(|rest| rest.split_once("\r\n")).unwrap();
    let text = text.strip_suffix("\r\nEND\r\n").unwrap();
    assert_eq!(text.len().to_string(), len);
    for node in 0..3 {
        assert!(text.contains(&format!("127.0.0.1:{}", fleet.port(node))), "{text}");
        assert!(text.contains(fleet.name(node)), "{text}");
    }
    assert_eq!(answers(&format!("ring get 1.{digest}\r\n")), rings);
    let mut owned = [0; 3];
    for number in 0..300 {
        let request = format!("ring owner k{number}\r\n");
        let owners = answers(&request);
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        let owner = (0..3)
            .find(|&node| {
                owners[0]
                    == format!("OWNER {} 127.0.0.1:{}\r\n", fleet.name(node), fleet.port(node))
            })
            .unwrap_or_else(|| panic!("{owners:?}"));
        owned[owner] += 1;
    }
    assert!(owned.iter().all(|&keys| keys > 20), "{owned:?}");
    let mut conn = fleet.connect(0);
    conn.talk(
        "ring get 9.0000000000000000\r\n",
        "CLIENT_ERROR this node does not have that ring\r\n",
    );
    conn.talk("ring\r\n", "CLIENT_ERROR usage: ring version|get|owner <key>|flush [delay]\r\n");
}

#[test]
fn a_stranger_does_no_harm() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(2);
    let secret = fleet.file("secret", "a secret that is long enough\n");
    let ring = fleet.ring(1, &[0, 1]);
    fleet.launch(&[0], &ring, &["--peer-secret-file", &secret]);
    fleet.launch(&[1], &ring, &[]);
    fleet.await_settled(&[0, 1], 1);
    let before = fleet.connect(0).ask_text("ring get\r\n");
    let other = fleet.ring(9, &[1]);
    let offer = format!("ring offer {} {}\r\n{other}\r\n", "0".repeat(64), other.len());
    for node in 0..2 {
        let mut conn = fleet.connect(node);
        // First without a nonce to authenticate with, then with one.
        conn.talk(&offer, NOT_PROVED);
        let nonce = conn.ask_text("ring nonce\r\n");
        assert_eq!(nonce.starts_with("NONCE "), node == 0, "{nonce}");
        conn.talk(&offer, NOT_PROVED);
        conn.talk("ring offer 00 3\r\nxyz\r\n", "CLIENT_ERROR bad command line format\r\n");
        // A handshake in a node's name with a newer ring only makes this node ask that node.
        let greeting = format!("ring greet {} 99.0000000000000000\r\n", fleet.name(1 - node));
        assert!(conn.ask_text(&greeting).starts_with("PEER "));
        // Another process with the name of either node cannot take its place.
        for name in [0, 1].map(|node| fleet.name(node)) {
            let greeting =
                format!("ring greet {name} 1.0000000000000000 {0} {0}\r\n", "a".repeat(16));
            assert!(conn.ask_text(&greeting).starts_with("PEER "));
        }
    }
    // Requests as from a peer with the next ring: owned keys are served, and others are refused distinctly.
    let (own, foreign) =
        (&fleet.keys_of(0, 0, "own-", 1)[0], &fleet.keys_of(0, 1, "foreign-", 1)[0]);
    let mut conn = fleet.connect(0);
    conn.talk("ring forward 2.0000000000000000 owner\r\n", "");
    conn.talk(set(own, "mine"), "STORED\r\n");
    conn.talk(set(foreign, "theirs"), "MOVED\r\n");
    conn.talk(
        format!("get {own} {foreign}\r\n"),
        format!("{}MOVED {foreign}\r\nEND\r\n", hit(own, "mine").trim_end_matches("END\r\n")),
    );
    for node in 0..2 {
        let mut conn = fleet.connect(node);
        conn.talk(format!("get {own}\r\n"), hit(own, "mine"));
        conn.talk(format!("get {foreign}\r\n"), "END\r\n");
        assert_eq!(conn.ask_text("ring get\r\n"), before);
        let peer = format!("peer:{}", fleet.name(1 - node));
        let stats = fleet.stats(node);
        assert_eq!((&*stats["ring_standing"], &*stats["ring_settled"]), ("confirmed", "yes"));
        assert_eq!(stats[&format!("{peer}:state")], "up");
        assert_eq!(stats[&format!("{peer}:rival")], "-");
        assert_eq!(stats[&format!("{peer}:instance")], fleet.stat(1 - node, "ring_instance"));
    }
}

#[test]
fn a_node_that_may_have_missed_a_ring_serves_no_peer() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let key = &fleet.keys_of(0, 0, "own-", 1)[0];
    let mut conn = fleet.connect(0);
    conn.talk(set(key, "old"), "STORED\r\n");
    // By ring 2, which this node has not seen, another node may have served the key.
    conn.talk("ring forward 3.0000000000000000 owner\r\n", "");
    conn.talk(format!("get {key}\r\n"), format!("MOVED {key}\r\nEND\r\n"));
    conn.talk(set(key, "new"), "MOVED\r\n");
    conn.talk(format!("mg {key} v\r\n"), "MOVED\r\n");
    // Between ring 1 and ring 2 there was no other ring.
    conn.talk("ring forward 2.0000000000000000 owner\r\n", "");
    conn.talk(format!("get {key}\r\n"), hit(key, "old"));
    // A request to a former owner asks for the keys that it serves by its own ring.
    conn.talk("ring forward 3.0000000000000000 former\r\n", "");
    conn.talk(format!("get {key}\r\n"), hit(key, "old"));
}

#[test]
fn a_node_that_refuses_says_who_to_ask() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &["--foreign-keys", "refuse"]);
    let (own, foreign) =
        (&fleet.keys_of(0, 0, "own-", 1)[0], &fleet.keys_of(0, 1, "foreign-", 1)[0]);
    let mut conn = fleet.connect(0);
    conn.talk(set(own, "mine"), "STORED\r\n");
    conn.talk(format!("get {own}\r\n"), hit(own, "mine"));
    conn.talk(set(foreign, "theirs"), ANOTHER);
    conn.talk(format!("get {foreign}\r\n"), ANOTHER);
    conn.talk(format!("get {own} {foreign}\r\n"), ANOTHER);
    conn.talk(format!("gat 0 {foreign}\r\n"), ANOTHER);
    conn.talk(format!("set {foreign} 0 0 1 noreply\r\nx\r\n"), "");
    conn.talk(format!("incr {foreign} 1\r\n"), ANOTHER);
    conn.talk(format!("delete {foreign}\r\n"), ANOTHER);
    conn.talk(format!("touch {foreign} 0\r\n"), ANOTHER);
    conn.talk(format!("mg {foreign} v\r\n"), ANOTHER);
    conn.talk(format!("ms {foreign} 1\r\nx\r\n"), ANOTHER);
    conn.talk(format!("md {foreign}\r\n"), ANOTHER);
    conn.talk(format!("ma {foreign} N0\r\n"), ANOTHER);
    assert!(fleet.count(0, "foreign_refused") >= 10, "{:?}", fleet.stats(0));
    assert_eq!(fleet.stat(0, "foreign_keys"), "refuse");
    fleet.connect(1).talk(format!("get {foreign}\r\n"), "END\r\n");
}

#[test]
fn a_node_that_serves_everything_is_plain_memcached() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &["--foreign-keys", "serve"]);
    let foreign = &fleet.keys_of(0, 1, "foreign-", 1)[0];
    fleet.connect(0).talk(set(foreign, "here"), "STORED\r\n");
    fleet.connect(1).talk(set(foreign, "there"), "STORED\r\n");
    assert_eq!(value_of(&mut fleet.connect(0), foreign).as_deref(), Some("here"));
    assert_eq!(value_of(&mut fleet.connect(1), foreign).as_deref(), Some("there"));
    assert_eq!(fleet.count(0, "foreign_requests"), 0);
    assert_eq!(fleet.stat(0, "foreign_keys"), "serve");
}

#[test]
fn foreign_requests_are_counted_where_they_come_in() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let (own, foreign) =
        (&fleet.keys_of(0, 0, "own-", 1)[0], &fleet.keys_of(0, 1, "foreign-", 1)[0]);
    let mut conn = fleet.connect(0);
    let figures = |fleet: &Fleet| {
        ["foreign_gets", "foreign_requests", "peer:cache-1:forwarded"]
            .map(|name| fleet.count(0, name))
    };
    let before = figures(&fleet);
    conn.talk(set(own, "mine"), "STORED\r\n");
    conn.talk(format!("get {own}\r\n"), hit(own, "mine"));
    assert_eq!(figures(&fleet), before);
    conn.talk(set(foreign, "theirs"), "STORED\r\n");
    conn.talk(format!("delete {foreign} noreply\r\n"), "");
    conn.talk(format!("get {foreign} {foreign} {own}\r\n"), hit(own, "mine"));
    let [gets, requests, forwarded] = before;
    assert_eq!(figures(&fleet), [gets + 2, requests + 2, forwarded + 4]);
    // The node that was asked forwards nothing.
    assert_eq!(fleet.count(1, "foreign_gets"), 0);
    assert_eq!(fleet.count(1, "foreign_requests"), 0);
    assert_eq!(fleet.stat(0, "peer:cache-1:address"), format!("127.0.0.1:{}", fleet.port(1)));
    assert_eq!(fleet.stat(0, "ring_node"), "cache-0");
    assert_eq!(fleet.stat(0, "ring_nodes"), "2");
    assert_eq!(fleet.stat(0, "ring_last_error"), "-");
}
