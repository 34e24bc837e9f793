//! Tests of nodes whose ring is in a real etcd. They read it at the start, follow changes, keep it while etcd
//! is unreachable, and start from the cached copy.

use std::path::Path;

use ringbinder_tests::etcd::{Etcd, missing};
use ringbinder_tests::ring::{reserve_port, ring_file};
use ringbinder_tests::server::scratch;
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Kind, Server, wait};

fn node(port: u16, ring: &str, cache: &Path) -> Server {
    let (port, cache) = (port.to_string(), cache.to_str().expect("a plain path"));
    let arguments =
        ["-l", "127.0.0.1", "-p", &port, "--ring", ring, "--ring-cache", cache, "-t", "2"];
    Server::start_on(Kind::Ringbinder, &arguments, |_| {})
}

fn await_version(node: &Server, version: u64) {
    let mut conn = node.connect();
    let start = format!("RING {version} ");
    wait::until("the ring to be taken", || {
        conn.send("ring version\r\n");
        conn.take_line().starts_with(&start).then_some(())
    });
}

#[test]
fn nodes_follow_a_ring_in_etcd_and_outlive_it() {
    if let Some(missing) = missing() {
        return skip("nodes_follow_a_ring_in_etcd_and_outlive_it", missing);
    }
    let mut etcd = Etcd::start();
    let ports = [reserve_port(), reserve_port()];
    let dir = scratch();
    let caches = [dir.path().join("a.toml"), dir.path().join("b.toml")];
    let both = [("a", ports[0], 1), ("b", ports[1], 1)];
    etcd.put(&ring_file(1, both));
    let url = etcd.url();
    let nodes = [node(ports[0], &url, &caches[0]), node(ports[1], &url, &caches[1])];
    nodes.iter().for_each(|node| await_version(node, 1));

    etcd.put(&ring_file(2, [("a", ports[0], 1), ("b", ports[1], 3)]));
    nodes.iter().for_each(|node| await_version(node, 2));

    // An invalid ring changes nothing, and the node reports it.
    etcd.put("version = 3\n[[node]]\nname = \"a\"\n");
    wait::until("the bad ring to be reported", || {
        let stats = nodes[0].connect().ask_text("stats ring\r\n");
        (stats.contains("ring_version 2\r\n") && !stats.contains("ring_last_error -\r\n"))
            .then_some(())
    });

    // Without etcd the ring stays, and a node starts with its copy.
    etcd.stop();
    let [a, b] = nodes;
    let mut conn = a.connect();
    for key in 0..20 {
        conn.talk(format!("set k{key} 0 0 1\r\nx\r\n"), "STORED\r\n");
    }
    drop(b);
    let b = node(ports[1], &url, &caches[1]);
    await_version(&b, 2);
    assert!(b.log().contains("using the earlier copy of the ring"), "{}", b.log());

    // A change made while etcd was down, or after that, is adopted.
    etcd.start_again();
    etcd.put(&ring_file(4, both));
    await_version(&a, 4);
    await_version(&b, 4);
}

#[test]
fn a_node_without_a_copy_says_that_etcd_is_away() {
    if let Some(missing) = missing() {
        return skip("a_node_without_a_copy_says_that_etcd_is_away", missing);
    }
    let port = reserve_port();
    let output = Kind::Ringbinder
        .command()
        .args(["-p", "-1", "--ring", &format!("etcd://127.0.0.1:{port}/x")])
        .output()
        .expect("a node that ends");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(71), "{message}");
    assert!(message.contains("from etcd: "), "{message}");
}
