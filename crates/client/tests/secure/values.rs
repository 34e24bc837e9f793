//! TLS carries the same data as a plain connection.

use futures_util::future::join_all;
use ringbinder_client::ring::{Format, Ring};
use ringbinder_client::{Client, Login, Stored, TlsVersion, Ttl};

use crate::authority::Authority;
use crate::node::{Manner, Node, content};
use crate::{PATIENCE, client_of, connect, trust, until};

#[tokio::test]
async fn values_come_whole_however_they_are_cut() {
    let ca = Authority::new();
    let server = ca.certify(&["127.0.0.1"]).server();
    for (record, segment) in [(0, 0), (1, 0), (0, 1), (7, 3), (16_384, 1000), (40_000, 0)] {
        let tls = Some(server.clone());
        let node = Node::start(Manner { tls, record, segment, ..Manner::default() }).await;
        let client = connect(client_of(node.address()).tls(trust(&ca))).await;
        for len in [0, 1, 300, 20_000] {
            let item = client.get(format!("k-{len}")).await.expect("an answer").expect("a hit");
            assert!(item.value.iter().copied().eq(content(len)), "{len} by {record}, {segment}");
        }
        let keys: Vec<String> = (0..50).map(|len| format!("k-{len}")).collect();
        let items = client.get_many(&keys).await.expect("an answer");
        assert!(items.iter().flatten().zip(0..).all(|(item, len)| item.value.len() == len));
        assert_eq!(node.accepted(), 1);
    }
}

#[tokio::test]
async fn large_values_pass_both_ways_beside_small_ones() {
    let ca = Authority::new();
    let node = Node::secure(ca.certify(&["127.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    const LARGE: usize = 12 << 20;
    let large: Vec<u8> = content(LARGE).collect();
    let sets = join_all((0..3).map(|key| client.set(format!("s{key}"), &large, Ttl::Never)));
    let gets = join_all((0..3).map(|_| client.get(format!("k-{LARGE}"))));
    let small = join_all((0..1000).map(|len| client.get(format!("k-{len}"))));
    let (sets, gets, small) = tokio::join!(sets, gets, small);
    assert!(sets.into_iter().all(|stored| stored.expect("an answer") == Stored::Stored));
    for item in gets {
        assert!(item.expect("an answer").expect("a hit").value == large);
    }
    for (len, item) in small.into_iter().enumerate() {
        assert_eq!(item.expect("an answer").expect("a hit").value.len(), len);
    }
    assert_eq!(node.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_on_all_threads_share_a_session() {
    let ca = Authority::new();
    let node = Node::secure(ca.certify(&["127.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    let tasks = (0..16).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let len = task * 100 + round;
                let item = client.get(format!("k-{len}")).await.expect("an answer").expect("a hit");
                assert_eq!(item.value.len(), len);
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("no panic");
    }
    assert_eq!(node.accepted(), 1);
}

#[tokio::test]
async fn both_versions_are_spoken_and_names_are_looked_at() {
    let ca = Authority::new();
    let identity = ca.certify(&["localhost", "cache.example"]);
    for (version, least) in [
        (&rustls::version::TLS12, TlsVersion::V1_2),
        (&rustls::version::TLS13, TlsVersion::V1_2),
        (&rustls::version::TLS13, TlsVersion::V1_3),
    ] {
        let node = Node::secure(identity.server_with(&[version], None)).await;
        let tls = trust(&ca).min_version(least);
        let client = connect(client_of(node.address_as("localhost")).tls(tls.clone())).await;
        client.get("k-1").await.expect("an answer");
        let client = connect(client_of(node.address()).tls(tls.server_name("cache.example"))).await;
        client.get("k-1").await.expect("an answer");
    }
}

#[tokio::test]
async fn a_client_that_ends_says_goodbye() {
    let ca = Authority::new();
    let node = Node::secure(ca.certify(&["127.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    client.get("k-1").await.expect("an answer");
    drop(client);
    until("an end in good order", || node.goodbyes() == 1).await;
}

#[tokio::test]
async fn a_ring_is_told_by_tls_and_after_the_login() {
    let ca = Authority::new();
    let tls = Some(ca.certify(&["127.0.0.1"]).server());
    let node = Node::start(Manner { tls, login: Some("u p"), ..Manner::default() }).await;
    let text = format!("version = 3\n[[node]]\nname = \"a\"\naddress = \"{}\"\n", node.address());
    let ring = Ring::parse(&text, Format::Toml, "the test").expect("a ring");
    let (text, digest) = (ring.to_toml(), ring.id().digest);
    let told = format!("RING 3 {digest:016x} {}\r\n{text}\r\nEND\r\n", text.len());
    node.change(|manner| manner.ring = Some(told));
    let client = Client::with_discovery([node.address()]).timeout(PATIENCE);
    let client = client.tls(trust(&ca)).login(Login::new("u", "p").expect("a login"));
    let client = client.connect().await.expect("a ring");
    assert_eq!(client.ring().id(), ring.id());
    assert!(client.get("k-5").await.expect("an answer").is_some());
    let logins = node.heard().iter().filter(|line| *line == "set auth 0 -1 3").count();
    assert_eq!(logins, node.accepted());
}
