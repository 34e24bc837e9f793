//! Tests of hot keys and latencies of several nodes.

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Kind, needs};

#[test]
fn a_forwarded_key_is_hot_where_it_is_served_and_its_wait_counts_where_it_was_asked_for() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let key = fleet.keys_of(0, 1, "k", 1).remove(0);
    let mut conn = fleet.connect(0);
    let tell = |node: usize, what: &str| fleet.connect(node).ask_text(&format!("stats {what}\r\n"));
    for requests in [format!("get {key}\r\n"), format!("mg {key}\r\n"), format!("delete {key}\r\n")]
    {
        for node in [0, 1] {
            fleet.connect(node).talk("stats reset\r\n", "RESET\r\n");
        }
        // The chance that none of 2,000 requests is sampled is one in 10^13.
        for _ in 0..20 {
            conn.send(format!("{}mn\r\n", requests.repeat(100)));
            conn.take_until(b"MN\r\n");
        }
        let told = tell(1, "hotkeys");
        assert!(told.contains(&format!("STAT 1:key {key}\r\n")), "{requests:?}: {told}");
        assert!(!told.contains("STAT 2:key"), "{told}");
        let told = tell(0, "hotkeys");
        assert!(!told.contains(":key"), "{requests:?}: {told}");
        // Gets are forwarded together, as a few requests with many keys.
        let nodes = if requests.starts_with("get") { &[0][..] } else { &[0, 1] };
        for &node in nodes {
            let told = tell(node, "latency");
            assert!(told.contains(":le_inf"), "{requests:?} at node {node}: {told}");
        }
    }
}
