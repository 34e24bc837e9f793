//! Tests that flush a ring, and one node of it.

use ringbinder_client::{Client, Error, Ttl};
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::{Kind, needs};

use crate::{connect, keys, patient};

/// The number of existing keys of each owner.
async fn found(client: &Client, keys: &[String]) -> [usize; 3] {
    let ring = client.ring();
    let mut found = [0; 3];
    let items = client.get_many(keys).await.expect("an answer");
    for (key, _) in keys.iter().zip(items).filter(|(_, item)| item.is_some()) {
        found[ring.owner(key.as_bytes()) as usize] += 1;
    }
    found
}

async fn store_all(client: &Client, keys: &[String]) {
    for key in keys {
        assert!(client.set(key, "v", Ttl::Never).await.expect("an answer").is_stored());
    }
}

#[tokio::test]
async fn a_node_is_emptied_alone_and_all_are_together() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys("k", 90);
    let file = fleet.file("client.toml", &fleet.ring(1, &[0, 1, 2]));
    let client = connect(patient(Client::with_ring_file(&file))).await;
    store_all(&client, &keys).await;
    let [first, second, third] = found(&client, &keys).await;
    assert!(first > 0 && second > 0 && third > 0);
    client.nodes()[1].flush().await.expect("an empty node");
    assert_eq!(found(&client, &keys).await, [first, 0, third]);
    assert!(client.flush_all().await.is_empty());
    assert_eq!(found(&client, &keys).await, [0; 3]);

    // A listed server may represent a whole ring.
    store_all(&client, &keys).await;
    let one = connect(patient(Client::with_servers([local(fleet.port(2)).to_string()]))).await;
    assert!(one.flush_all().await.is_empty());
    assert_eq!(found(&client, &keys).await, [0; 3]);
}

#[tokio::test]
async fn a_server_that_stands_for_a_ring_says_which_nodes_it_did_not_empty() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    let one = connect(patient(Client::with_servers([local(fleet.port(0)).to_string()]))).await;
    fleet.kill(1);
    let failures = one.flush_all().await;
    let [Error::Failed { says, .. }] = &failures[..] else { panic!("{failures:?}") };
    let expected = format!(
        "SERVER_ERROR flush_all failed on cache-1 (127.0.0.1:{}): no answer",
        fleet.port(1)
    );
    assert_eq!(*says, expected);
}
