//! Tests of rings from a file and from the nodes, and of ring changes while the client runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ringbinder_client::{Client, Stored, Ttl};
use ringbinder_tests::ring::{Fleet, local, ring_file};
use ringbinder_tests::{Kind, Server, needs};

use crate::{await_version, connect, count, forwarded, keys, patient, text, until};

const ALL: [usize; 3] = [0, 1, 2];

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).expect("a temp file");
    std::fs::rename(&temporary, path).expect("a rename");
}

/// Writes and reads all of these keys, individually and together.
async fn use_all(client: &Client, keys: &[String], value: &str) {
    let stored = join_all(keys.iter().map(|key| client.set(key, value, Ttl::Never))).await;
    assert!(stored.into_iter().all(|stored| stored.expect("an answer") == Stored::Stored));
    for item in join_all(keys.iter().map(|key| client.get(key))).await {
        assert_eq!(text(item).as_deref(), Some(value));
    }
    for item in client.get_many(keys).await.expect("an answer") {
        assert_eq!(text(Ok(item)).as_deref(), Some(value));
    }
}

/// Three nodes, two of them in the ring.
fn two_of_three() -> Fleet {
    let mut fleet = Fleet::new(3);
    fleet.launch(&ALL, &fleet.ring(1, &[0, 1]), &[]);
    fleet.await_settled(&ALL, 1);
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_file_is_followed_and_keys_go_to_their_owners() {
    needs!(Kind::Ringbinder);
    let fleet = two_of_three();
    let file = PathBuf::from(fleet.file("client.toml", &fleet.ring(1, &[0, 1])));
    let client = connect(patient(Client::with_ring_file(&file))).await;
    let keys = keys("k", 1000);
    use_all(&client, &keys, "by ring 1").await;
    assert_eq!(forwarded(&fleet, &ALL), 0);

    // The users of the client see no error.
    let over = Arc::new(AtomicBool::new(false));
    let busy = (0..4).map(|number| {
        let (client, over) = (client.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                let key = format!("busy-{number}-{}", rounds % 50);
                let stored = client.set(&key, "v", Ttl::Never).await;
                assert!(stored.expect("no error while rings change").is_stored());
                client.get(&key).await.expect("no error while rings change");
                rounds += 1;
            }
            rounds
        })
    });
    let busy: Vec<_> = busy.collect();
    let next = fleet.ring(2, &ALL);
    fleet.write(0, &next);
    fleet.await_settled(&ALL, 2);
    replace(&file, &next);
    await_version(&client, 2).await;
    assert_eq!(client.nodes().len(), 3);
    over.store(true, Ordering::Relaxed);
    for rounds in join_all(busy).await {
        assert!(rounds.expect("no panic") > 0);
    }

    let before = forwarded(&fleet, &ALL);
    use_all(&client, &keys, "by ring 2").await;
    assert_eq!(forwarded(&fleet, &ALL), before, "somebody else was asked than the owner");
    let ring = client.ring();
    let of_the_new = keys.iter().filter(|key| ring.owner(key.as_bytes()) == 2).count();
    assert!(of_the_new > 100, "the new node owns {of_the_new} keys of {}", keys.len());

    // An invalid ring, or one that is not newer, changes nothing. A valid newer one after it does.
    for bad in ["version = 3\n[[node", &fleet.ring(1, &[0]), &fleet.weighted(2, &[(0, 5), (1, 1)])]
    {
        replace(&file, bad);
        use_all(&client, &keys[..50], "still by ring 2").await;
        assert_eq!((client.ring().id().version, client.nodes().len()), (2, 3));
    }
    let last = fleet.ring(3, &[1, 2]);
    fleet.write(1, &last);
    fleet.await_settled(&ALL, 3);
    replace(&file, &last);
    await_version(&client, 3).await;
    let before = forwarded(&fleet, &ALL);
    use_all(&client, &keys, "by ring 3").await;
    assert_eq!(forwarded(&fleet, &ALL), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_is_discovered_from_one_seed_and_followed() {
    needs!(Kind::Ringbinder);
    let fleet = two_of_three();
    // The seed node is in no ring, but it knows the ring.
    let seeds = [local(fleet.port(2)).to_string()];
    let builder = Client::with_discovery(seeds).discover_every(Duration::from_millis(20));
    let client = connect(patient(builder)).await;
    assert_eq!((client.ring().id().version, client.nodes().len()), (1, 2));
    let keys = keys("k", 500);
    for (version, members, given_to) in [(2, &ALL[..], 0), (3, &[1, 2], 1), (7, &[0, 2], 2)] {
        fleet.write(given_to, &fleet.ring(version, members));
        fleet.await_settled(&ALL, version);
        await_version(&client, version).await;
        let before = forwarded(&fleet, &ALL);
        use_all(&client, &keys, &format!("by ring {version}")).await;
        assert_eq!(forwarded(&fleet, &ALL), before, "somebody else was asked than the owner");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_left_the_ring_lose_their_connections() {
    needs!(Kind::Ringbinder);
    let servers = [(); 2].map(|()| Server::start(Kind::Ringbinder, &[]));
    let [a, b] = [0, 1].map(|index: usize| servers[index].address().port());
    let dir = ringbinder_tests::server::scratch();
    let file = dir.path().join("ring.toml");
    replace(&file, &ring_file(1, [("a", a, 1), ("b", b, 1)]));
    let client = connect(patient(Client::with_ring_file(&file).connections(3))).await;
    use_all(&client, &keys("k", 200), "v").await;
    let mut conn = servers[0].connect();
    // Excludes the connection that asks.
    let mut connections = || count(&mut conn, "curr_connections") - 1;
    assert!((1..=3).contains(&connections()));
    replace(&file, &ring_file(2, [("b", b, 1)]));
    await_version(&client, 2).await;
    until("the connections to be closed", async || connections() == 0).await;
    use_all(&client, &keys("k", 200), "v").await;
}
