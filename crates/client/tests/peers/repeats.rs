//! Requests that are sent again after a connection ended, and those that never are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringbinder_client::{Absence, Stored, Ttl};

use crate::fake::{self, Fake};
use crate::{absence, client_of, connect, value};

/// A peer that closes the connection on every request, and the number of requests.
async fn hangs_up() -> (Fake, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let peer = Fake::start(move |_, mut peer| {
        let count = Arc::clone(&count);
        async move {
            if fake::request(&mut peer).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (peer, seen)
}

#[tokio::test]
async fn reads_are_sent_again_as_often_as_was_said() {
    for retries in [0, 1, 3] {
        let (peer, seen) = hangs_up().await;
        let client = connect(client_of(&[&peer]).retries(retries)).await;
        assert_eq!(absence(client.get("k").await), Absence::Closed);
        assert_eq!(seen.load(Ordering::SeqCst), retries as usize + 1);
    }
}

#[tokio::test]
async fn a_write_that_was_sent_is_never_sent_again() {
    let (peer, seen) = hangs_up().await;
    let client = connect(client_of(&[&peer]).retries(3)).await;
    assert_eq!(absence(client.set("k", "v", Ttl::Never).await), Absence::Closed);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    for writes in [
        absence(connect(client_of(&[&peer]).retries(3)).await.incr("k", 1).await),
        absence(connect(client_of(&[&peer]).retries(3)).await.delete("k").await),
        absence(connect(client_of(&[&peer]).retries(3)).await.touch("k", Ttl::Never).await),
        absence(connect(client_of(&[&peer]).retries(3)).await.meta_set("k", "v", "").await),
        absence(connect(client_of(&[&peer]).retries(3)).await.append("k", "v").await),
    ] {
        assert_eq!(writes, Absence::Closed);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let peer = Fake::start(|before, mut peer| async move {
        if before < 20 {
            if let Some(words) = fake::request(&mut peer).await {
                fake::say(&mut peer, fake::answer(&words)).await;
            }
        } else {
            fake::well(peer).await;
        }
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    for number in 0..20 {
        assert_eq!(value(client.get("k").await), "of k");
        // The client has seen the close once it would make another connection.
        tokio::time::timeout(crate::PATIENCE, async {
            while peer.accepted() == number + 1 {
                let stored = client.set("k", "v", Ttl::Never).await;
                assert!(matches!(stored, Ok(Stored::Stored)) || absence(stored) == Absence::Closed);
            }
        })
        .await
        .expect("another connection");
        if peer.accepted() > 20 {
            break;
        }
    }
    assert_eq!(client.set("k", "v", Ttl::Never).await.expect("stored"), Stored::Stored);
}
