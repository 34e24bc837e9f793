//! Tests of fills for a stale value.

use ringbinder_client::FillError;

use super::*;

#[derive(Debug, PartialEq)]
struct Broken;

async fn broken() -> Result<&'static str, Broken> {
    Err(Broken)
}

async fn stale(client: &Client, key: &str, ttl: impl Into<ringbinder_client::Ttl>) {
    assert!(client.set(key, "old", ttl).await.expect("a node").is_stored());
    client.meta_delete(key, "I").await.expect("a node");
}

#[test]
fn a_failed_refresh_gives_its_error_with_the_old_value_and_the_next_caller_tries() {
    on_each("a_failed_refresh_gives_its_error_with_the_old_value", async |nodes| {
        let client = nodes.client().await;
        stale(&client, "stale", HOUR).await;
        assert!(client.set("near", "old", HOUR).await.expect("a node").is_stored());
        let how = Fill::new(4 * HOUR).refresh_before(2 * HOUR);
        for key in ["stale", "near"] {
            for _ in 0..2 {
                match client.get_or_fill(key, how, broken).await {
                    Err(FillError::Fill { error: Broken, old: Some(old) }) => {
                        assert_eq!(text(&old), "old");
                    }
                    other => panic!("{key}: {other:?}"),
                }
            }
            let item = client.get_or_fill(key, how, broken).await.or_else(FillError::or_old);
            assert_eq!(text(&item.expect("the old value")), "old");
            let fill = Counted::new("new");
            let item = client.get_or_fill(key, how, || fill.fill()).await.expect("a value");
            assert_eq!((text(&item), fill.count()), ("new", 1), "{key}");
        }
    });
}

/// The life of the stale value is shortened to the lease only during the refresh.
#[test]
fn a_stale_value_whose_refresh_fails_has_its_life_back() {
    on_each("a_stale_value_whose_refresh_fails_has_its_life_back", async |nodes| {
        let client = nodes.client().await;
        let how = Fill::new(HOUR).lease(Duration::from_secs(60));
        let left = async |key: &str| {
            let reply = client.meta_get(key, "t u").await.expect("a node").expect("an item");
            reply.number(b't').expect("a time")
        };
        for (key, ttl, expected) in [
            ("endless", ringbinder_client::Ttl::Never, -1..=-1),
            ("hour", HOUR.into(), 3500..=3600),
        ] {
            stale(&client, key, ttl).await;
            let during = async || {
                let left = left(key).await;
                assert!((1..=61).contains(&left), "{key}: {left}");
                broken().await
            };
            assert!(client.get_or_fill(key, how, during).await.is_err());
            let after = left(key).await;
            assert!(expected.contains(&after), "{key}: {after}");
        }
    });
}

/// The process of the winner is gone during its fill, so nothing releases the lease.
#[test]
fn a_stale_value_whose_winner_dies_is_filled_by_another_when_the_lease_ends() {
    on_each("a_stale_value_whose_winner_dies_is_filled_by_another", async |nodes| {
        let client = nodes.client().await;
        stale(&client, "k", ringbinder_client::Ttl::Never).await;
        let how = Fill::new(HOUR).lease(Duration::from_secs(1));
        let (filling, filled) = tokio::sync::oneshot::channel();
        let doomed = runtime();
        let its_nodes = Arc::clone(&nodes);
        doomed.spawn(async move {
            let client = its_nodes.client().await;
            let fill = async || {
                filling.send(()).expect("the test");
                std::future::pending::<Result<&str, Infallible>>().await
            };
            client.get_or_fill("k", how, fill).await
        });
        in_time("the winner", filled).await.expect("it fills");
        doomed.shutdown_background();
        let fill = Counted::new("new");
        until("another to fill", async || {
            let item = client.get_or_fill("k", how, || fill.fill()).await.expect("a value");
            match fill.count() {
                0 => assert_eq!(text(&item), "old"),
                _ => assert_eq!(text(&item), "new"),
            }
            fill.count() == 1
        })
        .await;
    });
}

#[test]
fn what_is_written_during_a_refresh_stays() {
    on_each("what_is_written_during_a_refresh_stays", async |nodes| {
        let (client, other) = (nodes.client().await, nodes.client().await);
        stale(&client, "k", HOUR).await;
        let fill = async || {
            assert!(other.set("k", "written", HOUR).await.expect("a node").is_stored());
            Ok::<_, Infallible>("late")
        };
        let item = client.get_or_fill("k", how(), fill).await.expect("a value");
        assert_eq!(text(&item), "late", "what it filled is its own");
        let item = client.get_or_fill("k", how(), never).await.expect("a value");
        assert_eq!(text(&item), "written");
    });
}

/// A value that is invalidated during its refresh must be filled once more.
#[test]
fn what_is_invalidated_during_a_refresh_is_refreshed_again() {
    on_each("what_is_invalidated_during_a_refresh_is_refreshed_again", async |nodes| {
        let (client, other) = (nodes.client().await, nodes.client().await);
        stale(&client, "k", HOUR).await;
        let fill = async || {
            other.meta_delete("k", "I").await.expect("a node");
            Ok::<_, Infallible>("late")
        };
        client.get_or_fill("k", how(), fill).await.expect("a value");
        let fill = Counted::new("new");
        let item = client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
        assert_eq!((text(&item), fill.count()), ("new", 1));
    });
}
