//! Nodes that cannot be reached, or do not answer. The test controls the time: it is paused while
//! anything happens, and moves on to the next timer when nothing does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringbinder_client::{Absence, Client, OnAway, Stored, Ttl};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, pause};

use crate::fake::{self, Fake, Peer};
use crate::{PATIENCE, absence, client_of, connect, value};

const TIMEOUT: Duration = Duration::from_secs(300);

/// Answers the first request on a connection, and no other.
async fn falls_silent(mut peer: Peer) {
    if let Some(words) = fake::request(&mut peer).await {
        fake::say(&mut peer, fake::answer(&words)).await;
        fake::stay(peer).await;
    }
}

#[tokio::test]
async fn all_who_wait_on_a_silent_node_wait_for_one_timeout() {
    let peer = Fake::at_first(falls_silent).await;
    let client = connect(client_of(&[&peer]).timeout(TIMEOUT)).await;
    assert_eq!(value(client.get("k").await), "of k");
    pause();
    let start = Instant::now();
    let calls = join_all((0..100).map(|number| client.get(format!("k{number}"))));
    for answer in calls.await {
        assert_eq!(absence(answer), Absence::Silent(TIMEOUT));
    }
    let waited = start.elapsed();
    assert!(waited >= TIMEOUT && waited <= TIMEOUT * 9 / 8, "{waited:?}");
    // Meanwhile the node is not asked, and no caller waits.
    let before = Instant::now();
    for number in 0..100 {
        assert_eq!(absence(client.get(format!("k{number}")).await), Absence::Resting);
    }
    assert_eq!(absence(client.set("k", "v", Ttl::Never).await), Absence::Resting);
    assert_eq!(before.elapsed(), Duration::ZERO);
    // However many callers waited, it rests for as long as after one failure.
    advance(Duration::from_millis(50)).await;
    tokio::time::resume();
    assert_eq!(value(client.get("k").await), "of k");
    assert_eq!(value(client.get("j").await), "of j");
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn a_request_behind_others_has_its_own_time() {
    let answers = Arc::new(Semaphore::new(1));
    let allowed = Arc::clone(&answers);
    let peer = Fake::start(move |_, mut peer| {
        let allowed = Arc::clone(&allowed);
        async move {
            while let Some(words) = fake::request(&mut peer).await {
                allowed.acquire().await.expect("never closed").forget();
                fake::say(&mut peer, fake::answer(&words)).await;
            }
        }
    })
    .await;
    let client = connect(client_of(&[&peer]).timeout(TIMEOUT)).await;
    let get = |key: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.get(key).await })
    };
    assert_eq!(value(client.get("warm").await), "of warm");
    pause();
    let first = get("first");
    tokio::time::sleep(TIMEOUT / 2).await;
    let (second, since) = (get("second"), Instant::now());
    tokio::time::sleep(TIMEOUT / 3).await;
    // Answers need the sockets, which do not follow the test's time.
    tokio::time::resume();
    answers.add_permits(1);
    assert_eq!(value(first.await.expect("no panic")), "of first");
    pause();
    assert_eq!(absence(second.await.expect("no panic")), Absence::Silent(TIMEOUT));
    assert!(since.elapsed() >= TIMEOUT, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_drip_of_bytes_is_no_answer_in_time() {
    let peer = Fake::at_first(|mut peer| async move {
        fake::request(&mut peer).await;
        fake::say(&mut peer, "VALUE k 0 1000000\r\n").await;
        while fake::say(&mut peer, "x").await {
            tokio::time::sleep(TIMEOUT / 10).await;
        }
    })
    .await;
    let client = connect(client_of(&[&peer]).timeout(TIMEOUT)).await;
    // Connected before time is paused.
    let error = {
        let call = client.get("k");
        let fast = async {
            while peer.accepted() == 0 {
                tokio::task::yield_now().await;
            }
            pause();
        };
        tokio::join!(call, fast).0
    };
    assert_eq!(absence(error), Absence::Silent(TIMEOUT));
}

#[tokio::test]
async fn a_peer_that_never_reads_ends_the_wait_in_time() {
    let peer = Fake::at_first(|peer| async move {
        // Open, and never read.
        std::future::pending::<()>().await;
        drop(peer);
    })
    .await;
    let client = connect(client_of(&[&peer]).timeout(Duration::from_millis(300))).await;
    let value = vec![0; 64 << 20];
    let stored = client.set("k", &value, Ttl::Never).await;
    assert_eq!(absence(stored), Absence::Silent(Duration::from_millis(300)));
}

#[tokio::test(start_paused = true)]
async fn all_who_need_a_connection_wait_for_one_attempt() {
    // A full queue of connections: further ones are neither accepted nor refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await
    {
        queue.push(stream);
        assert!(queue.len() < 100, "its queue never fills");
    }
    let builder = Client::with_servers([address.to_string()]).on_away(OnAway::Error);
    let client = connect(builder.connections(1).timeout(TIMEOUT)).await;
    let start = Instant::now();
    for answer in join_all((0..100).map(|number| client.get(format!("k{number}")))).await {
        assert_eq!(absence(answer), Absence::Silent(TIMEOUT));
    }
    let waited = start.elapsed();
    assert!(waited < TIMEOUT + Duration::from_secs(1), "{waited:?}");
    drop(queue);
}

#[tokio::test]
async fn a_refused_connection_is_told_and_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let builder = Client::with_servers([address.to_string()]).connections(1);
    let client = connect(builder.clone().on_away(OnAway::Error)).await;
    let error = client.get("k").await.expect_err("nobody listens");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(absence::<()>(Err(error)), Absence::Unreachable(_)));
    // By default an unreachable cache is an empty one.
    let client = connect(builder).await;
    assert_eq!(client.get("k").await.expect("a miss"), None);
    assert_eq!(client.get_many(&["k", "j"]).await.expect("misses"), [None, None]);
    assert_eq!(client.set("k", "v", Ttl::Never).await.expect("no error"), Stored::Away);
    assert_eq!(client.incr("k", 1).await.expect("no error"), None);
    assert!(!client.delete("k").await.expect("no error"));
    assert!(!client.touch("k", Ttl::Never).await.expect("no error"));
    assert_eq!(client.meta_get("k", "v").await.expect("no error"), None);
    assert_eq!(client.flush_all().await.len(), 1);
}

#[tokio::test]
async fn one_absent_node_is_a_miss_for_its_own_keys_only() {
    let good = Fake::well().await;
    let bad = Fake::start(|_, peer| async move { drop(peer) }).await;
    let keys: Vec<String> = (0..1000).map(|number| format!("k{number}")).collect();
    let client = connect(client_of(&[&good, &bad]).on_away(OnAway::Miss)).await;
    let ring = client.ring();
    let items = client.get_many(&keys).await.expect("misses are no errors");
    let mut hits = 0;
    for (key, item) in keys.iter().zip(items) {
        let owner = &ring.nodes()[ring.owner(key.as_bytes()) as usize];
        if format!("{owner}") == good.address() {
            assert_eq!(value(Ok::<_, ringbinder_client::Error>(item)), format!("of {key}"));
            hits += 1;
        } else {
            assert_eq!(item, None, "{key}");
        }
    }
    assert!((100..900).contains(&hits), "{hits} hits");
    let client = connect(client_of(&[&good, &bad])).await;
    let error = client.get_many(&keys).await.expect_err("a node is away");
    assert!(error.is_away() && error.to_string().contains(&bad.address()), "{error}");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_others_alone() {
    let peer = Fake::start(|_, mut peer| async move {
        while let Some(words) = fake::request(&mut peer).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
            fake::say(&mut peer, fake::answer(&words)).await;
        }
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    let calls = (0..50).map(|number| {
        let client = client.clone();
        async move {
            let call = client.get(format!("k{number}"));
            if number % 3 == 0 {
                // Dropped before it has begun, while it is sent, or while it waits.
                let soon = tokio::time::sleep(Duration::from_millis(number));
                tokio::select! { biased; () = soon => return, _ = call => return }
            }
            assert_eq!(value(call.await), format!("of k{number}"));
        }
    });
    join_all(calls).await;
    assert_eq!(peer.accepted(), 1);
}
