//! Tests with nodes that are killed, restarted, or paused.

use std::time::Duration;

use futures_util::future::join_all;
use ringbinder_client::{Absence, Builder, Client, Error, OnAway, Stored, Ttl};
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::{Kind, needs};

use crate::{connect, keys, patient, text, until};

const ALL: [usize; 3] = [0, 1, 2];

/// A client of these nodes whose ring never changes.
fn client_of(fleet: &Fleet) -> Builder {
    Client::with_ring_file(fleet.file("client.toml", &fleet.ring(1, &ALL)))
}

/// Groups keys by the node that owns them.
fn by_owner(client: &Client, keys: &[String]) -> [Vec<String>; 3] {
    let ring = client.ring();
    ALL.map(|node| {
        let owned = |key: &&String| ring.owner(key.as_bytes()) as usize == node;
        keys.iter().filter(owned).cloned().collect()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_is_a_miss_or_an_error_and_comes_back() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    let strict = connect(patient(client_of(&fleet))).await;
    let lenient = connect(patient(client_of(&fleet)).on_away(OnAway::Miss)).await;
    let keys = keys("k", 300);
    for key in &keys {
        assert!(strict.set(key, "v", Ttl::Never).await.expect("an answer").is_stored());
        assert_eq!(text(lenient.get(key).await).as_deref(), Some("v"));
    }
    let owned = by_owner(&strict, &keys);
    fleet.kill(1);

    let address = local(fleet.port(1)).to_string();
    let expect_away = |error: Error| {
        assert!(error.is_away(), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("cache-1") && message.contains(&address), "{message}");
    };
    for key in &owned[1] {
        assert_eq!(lenient.get(key).await.expect("a miss"), None);
        assert_eq!(lenient.set(key, "w", Ttl::Never).await.expect("no error"), Stored::Away);
        assert!(!lenient.delete(key).await.expect("no error"));
        expect_away(strict.get(key).await.expect_err("it is away"));
        expect_away(strict.set(key, "w", Ttl::Never).await.expect_err("it is away"));
    }
    expect_away(strict.get_many(&keys).await.expect_err("a node is away"));
    for node in [0, 2] {
        for key in &owned[node] {
            assert!(strict.set(key, "w", Ttl::Never).await.expect("an answer").is_stored());
            assert_eq!(text(lenient.get(key).await).as_deref(), Some("w"));
        }
    }
    let items = lenient.get_many(&keys).await.expect("misses");
    for (key, item) in keys.iter().zip(items) {
        assert_eq!(item.is_none(), owned[1].contains(key), "{key}");
    }

    fleet.start(1, &[]);
    fleet.await_settled(&ALL, 1);
    for client in [&strict, &lenient] {
        let key = &owned[1][0];
        until("the client to reach it again", async || {
            matches!(client.set(key, "back", Ttl::Never).await, Ok(Stored::Stored))
        })
        .await;
        for key in &owned[1] {
            assert!(client.set(key, "back", Ttl::Never).await.expect("an answer").is_stored());
            assert_eq!(text(client.get(key).await).as_deref(), Some("back"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_holds_up_only_those_who_already_wait() {
    needs!(Kind::Ringbinder);
    const TIMEOUT: Duration = Duration::from_millis(500);

    let fleet = Fleet::running(3, &[]);
    let client = connect(client_of(&fleet).timeout(TIMEOUT).on_away(OnAway::Error)).await;
    let keys = keys("k", 300);
    let owned = by_owner(&client, &keys);
    for keys in &owned {
        for key in keys {
            until("a quiet machine", async || {
                matches!(client.set(key, "v", Ttl::Never).await, Ok(Stored::Stored))
            })
            .await;
        }
    }
    let paused = fleet.pause(1);
    let silent = |result: &Result<_, Error>| {
        matches!(result, Err(Error::Away { why: Absence::Silent(TIMEOUT), .. }))
    };
    let resting = |result: &Result<_, Error>| {
        matches!(result, Err(Error::Away { why: Absence::Resting, .. }))
    };
    // All of these are in flight at the same time and end with the same time-out.
    let waited = join_all(owned[1].iter().map(|key| client.get(key))).await;
    assert!(waited.iter().all(|result| silent(result) || resting(result)), "{waited:?}");
    assert!(waited.iter().any(silent));
    // From here on one request tries occasionally, and all others fail at once.
    let mut tried = 0;
    for round in 0..20 {
        let waited = join_all(owned[1].iter().map(|key| client.get(key))).await;
        assert!(waited.iter().all(|result| silent(result) || resting(result)), "{waited:?}");
        let silent = waited.iter().filter(|result| silent(result)).count();
        assert!(silent <= 1, "{silent} waited in round {round}");
        tried += silent;
    }
    assert!(tried < 20, "each round waited for it");
    for node in [0, 2] {
        for key in &owned[node] {
            until("the other nodes to answer", async || {
                client.get(key).await.is_ok_and(|item| item.is_some())
            })
            .await;
        }
    }
    drop(paused);
    until("the client to reach it again", async || client.get(&owned[1][0]).await.is_ok()).await;
    assert_eq!(text(client.get(&owned[1][0]).await).as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_only_the_nodes_miss_is_away_too() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(2, &["--peer-timeout", "200"]);
    let key = fleet.keys_of(0, 1, "k", 1).remove(0);
    fleet.kill(1);
    // This client has no ring and relies on the first node.
    let servers = [local(fleet.port(0)).to_string()];
    let client = connect(patient(Client::with_servers(servers.clone()))).await;
    let error = client.set(&key, "v", Ttl::Never).await.expect_err("its owner is away");
    assert!(matches!(error, Error::Away { why: Absence::ByProxy, .. }), "{error:?}");
    let client = connect(patient(Client::with_servers(servers)).on_away(OnAway::Miss)).await;
    assert_eq!(client.set(&key, "v", Ttl::Never).await.expect("no error"), Stored::Away);
    assert_eq!(client.get(&key).await.expect("a miss"), None);
}
