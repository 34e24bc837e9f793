//! Tests of the near cache: reads without a request, and reads that need one.

use std::time::{Duration, Instant};

use ringbinder_client::{Client, NearCache, Ttl};
use ringbinder_tests::{Kind, Server, needs};

use crate::{connect, count, patient, text};

const FOREVER: Duration = Duration::from_secs(3600);

async fn client_of(server: &Server, near: Option<Duration>) -> Client {
    let mut builder = patient(Client::with_servers([server.address().to_string()]));
    if let Some(ttl) = near {
        builder = builder.near_cache(NearCache { bytes: 1 << 20, ttl });
    }
    connect(builder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_read_again_without_asking() {
    needs!(Kind::Ringbinder);
    let server = Server::start(Kind::Ringbinder, &[]);
    let mut conn = server.connect();
    let mut asked = || count(&mut conn, "cmd_get");
    let other = client_of(&server, None).await;
    let client = client_of(&server, Some(FOREVER)).await;
    let keys = ["a", "b", "c"];
    for key in keys {
        assert!(other.set(key, format!("of {key}"), Ttl::Never).await.unwrap().is_stored());
    }
    assert_eq!(text(client.get("a").await).as_deref(), Some("of a"));
    let before = asked();
    for _ in 0..10 {
        assert_eq!(text(client.get("a").await).as_deref(), Some("of a"));
    }
    assert_eq!(asked(), before);
    // Only the keys that are not in the near cache are requested.
    let expected = keys.map(|key| Some(format!("of {key}")));
    let found: Vec<_> =
        client.get_many(&keys).await.unwrap().into_iter().map(|item| text(Ok(item))).collect();
    assert_eq!(found, expected);
    assert_eq!(asked(), before + 2);
    assert_eq!(client.get_many(&keys).await.unwrap().len(), 3);
    assert_eq!(asked(), before + 2);
    // A read that needs the CAS unique asks the node.
    assert!(client.gets("a").await.unwrap().is_some_and(|item| item.cas.is_some()));
    assert!(client.gets_many(&["a"]).await.unwrap()[0].is_some());
    assert!(client.meta_get("a", "v").await.unwrap().is_some());
    assert!(asked() >= before + 5);
    // A miss is not cached.
    assert_eq!(client.get("later").await.unwrap(), None);
    assert!(other.set("later", "here", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(text(client.get("later").await).as_deref(), Some("here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_writes_are_seen_at_once() {
    needs!(Kind::Ringbinder);
    let server = Server::start(Kind::Ringbinder, &[]);
    let client = client_of(&server, Some(FOREVER)).await;
    let get = async || text(client.get("k").await);
    assert!(client.set("k", "1", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("1"));
    assert!(client.set("k", "2", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("2"));
    assert_eq!(client.incr("k", 1).await.unwrap(), Some(3));
    assert_eq!(get().await.as_deref(), Some("3"));
    assert_eq!(client.decr("k", 2).await.unwrap(), Some(1));
    assert_eq!(get().await.as_deref(), Some("1"));
    assert!(client.append("k", "0").await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("10"));
    assert!(client.prepend("k", "4").await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("410"));
    assert!(client.replace("k", "5", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("5"));
    let cas = client.gets("k").await.unwrap().unwrap().cas.unwrap();
    assert!(client.cas("k", "6", 0, Ttl::Never, cas).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("6"));
    assert!(client.meta_set("k", "7", "").await.unwrap().is_some());
    assert_eq!(get().await.as_deref(), Some("7"));
    assert!(client.meta_arithmetic("k", "").await.unwrap().is_some());
    assert_eq!(get().await.as_deref(), Some("8"));
    assert!(client.meta_delete("k", "").await.unwrap().is_some());
    assert_eq!(get().await, None);
    assert!(client.add("k", "9", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("9"));
    assert!(client.touch("k", Duration::ZERO).await.unwrap());
    assert_eq!(get().await, None);
    assert!(client.add("k", "10", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("10"));
    assert!(client.delete("k").await.unwrap());
    assert_eq!(get().await, None);
    assert!(client.set("k", "11", Ttl::Never).await.unwrap().is_stored());
    assert_eq!(get().await.as_deref(), Some("11"));
    assert!(client.flush_all().await.is_empty());
    assert_eq!(get().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_to_live_bounds_how_stale_a_value_is() {
    needs!(Kind::Ringbinder);
    const TTL: Duration = Duration::from_millis(200);

    let server = Server::start(Kind::Ringbinder, &[]);
    let other = client_of(&server, None).await;
    let client = client_of(&server, Some(TTL)).await;
    let (mut stale, mut rounds) = (0, 0u32);
    // On a machine that is paused now and then, a round may see no stale value.
    while stale == 0 {
        rounds += 1;
        assert!(rounds < 50, "nothing is ever read from the near cache");
        let (old, new) = (format!("{rounds}"), format!("{rounds} new"));
        assert!(client.set("k", &old, Ttl::Never).await.unwrap().is_stored());
        assert_eq!(text(client.get("k").await), Some(old.clone()));
        assert!(other.set("k", &new, Ttl::Never).await.unwrap().is_stored());
        let written = Instant::now();
        loop {
            let asked = Instant::now();
            let found = text(client.get("k").await);
            if found.as_ref() == Some(&new) {
                break;
            }
            assert_eq!(found, Some(old.clone()));
            assert!(asked < written + TTL, "{:?} after the write", asked - written);
            stale += 1;
            tokio::time::sleep(TTL / 50).await;
        }
    }
}
