//! Tests of fills with the near cache.

use ringbinder_client::NearCache;

use super::*;

async fn with_near(nodes: &Nodes) -> Client {
    let near = NearCache { bytes: 1 << 20, ttl: HOUR };
    nodes.builder().near_cache(near).connect().await.expect("a ring")
}

#[test]
fn values_are_kept_when_they_are_read() {
    on_each("values_are_kept_when_they_are_read", async |nodes| {
        let (client, other) = (with_near(&nodes).await, nodes.client().await);
        let fill = Counted::new("kept");
        for _ in 0..2 {
            client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
        }
        assert!(other.set("k", "unseen", HOUR).await.expect("a node").is_stored());
        let item = client.get_or_fill("k", how(), never).await.expect("a value");
        assert_eq!(text(&item), "kept");
        assert_eq!(text(&client.get("k").await.expect("a node").expect("an item")), "kept");
        // The client sees its own writes at once.
        assert!(client.set("k", "written", HOUR).await.expect("a node").is_stored());
        let item = client.get_or_fill("k", how(), never).await.expect("a value");
        assert_eq!((text(&item), fill.count()), ("written", 1));
    });
}

#[test]
fn what_is_about_to_be_replaced_is_not_kept() {
    on_each("what_is_about_to_be_replaced_is_not_kept", async |nodes| {
        let (client, other) = (with_near(&nodes).await, nodes.client().await);
        assert!(other.set("k", "old", HOUR).await.expect("a node").is_stored());
        other.meta_delete("k", "I").await.expect("a node");
        let fill = async || {
            let item = client.get_or_fill("k", how(), never).await.expect("a value");
            assert_eq!(text(&item), "old");
            Ok::<_, Infallible>("new")
        };
        other.get_or_fill("k", how(), fill).await.expect("a value");
        let item = client.get_or_fill("k", how(), never).await.expect("a value");
        assert_eq!(text(&item), "new");
    });
}

/// A fill replaces a stale value that a plain get has cached.
#[test]
fn a_fill_is_a_write() {
    on_each("a_fill_is_a_write", async |nodes| {
        let (client, other) = (with_near(&nodes).await, nodes.client().await);
        assert!(other.set("k", "old", HOUR).await.expect("a node").is_stored());
        other.meta_delete("k", "I").await.expect("a node");
        let fill = async || {
            let item = client.get("k").await.expect("a node").expect("an item");
            assert_eq!(text(&item), "old");
            Ok::<_, Infallible>("new")
        };
        client.get_or_fill("k", how(), fill).await.expect("a value");
        assert_eq!(text(&client.get("k").await.expect("a node").expect("an item")), "new");
    });
}

#[test]
fn a_placeholder_that_was_kept_is_no_value() {
    on_each("a_placeholder_that_was_kept_is_no_value", async |nodes| {
        let client = with_near(&nodes).await;
        let mut conn = nodes.conn();
        assert!(conn.ask_text("mg k v N3600\r\n").contains('W'));
        assert_eq!(text(&client.get("k").await.expect("a node").expect("an item")), "");
        assert_eq!(conn.ask_text("delete k\r\n"), "DELETED\r\n");
        let fill = Counted::new("v");
        let item = client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
        assert_eq!((text(&item), fill.count()), ("v", 1));
    });
}

#[test]
fn a_meta_get_that_only_reads_leaves_what_is_kept() {
    on_each("a_meta_get_that_only_reads_leaves_what_is_kept", async |nodes| {
        let (client, other) = (with_near(&nodes).await, nodes.client().await);
        assert!(client.set("k", "kept", HOUR).await.expect("a node").is_stored());
        let get = async || client.get("k").await.expect("a node").expect("an item");
        assert_eq!(text(&get().await), "kept");
        assert!(other.set("k", "unseen", HOUR).await.expect("a node").is_stored());
        for flags in ["v f t", "v R30", ""] {
            client.meta_get("k", flags).await.expect("a node");
            assert_eq!(text(&get().await), "kept", "{flags:?}");
        }
        client.meta_get("k", "v T60").await.expect("a node");
        assert_eq!(text(&get().await), "unseen");
    });
}
