//! Tests of typed values and their codecs.

use ringbinder_client::{Codec, Error, FillError, Ttl};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u8,
}

fn ada() -> User {
    User { name: "Ada".to_owned(), age: 36 }
}

/// A codec that puts JSON in brackets and uses its own flags.
struct Bracketed;

impl Codec for Bracketed {
    type Error = serde_json::Error;

    fn flags(&self) -> u32 {
        1 << 20
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, Self::Error> {
        serde_json::to_vec(&(value,))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(bytes).map(|(value,)| value)
    }
}

/// A type that JSON cannot represent.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never written"))
    }
}

#[track_caller]
fn assert_codec<T: std::fmt::Debug>(result: Result<T, Error>, parts: &[&str]) {
    match result {
        Err(error @ Error::Codec { .. }) => {
            let says = error.to_string();
            assert!(parts.iter().all(|part| says.contains(part)), "{says}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_json_that_everybody_reads() {
    on_each("values_are_json_that_everybody_reads", async |nodes| {
        let client = nodes.client().await;
        assert!(client.set_typed("a", &ada(), HOUR).await.expect("a node").is_stored());
        assert!(client.set_typed("n", "text", HOUR).await.expect("a node").is_stored());
        let mut conn = nodes.conn();
        let json = r#"{"name":"Ada","age":36}"#;
        let hit =
            |key: &str, json: &str| format!("VALUE {key} 0 {}\r\n{json}\r\nEND\r\n", json.len());
        assert_eq!(conn.ask_text("get a\r\n"), hit("a", json));
        assert_eq!(conn.ask_text("get n\r\n"), hit("n", "\"text\""));
        let spaced = r#"{"age": 7, "name": "Bo"}"#;
        conn.ask_text(&format!("set b 0 0 {}\r\n{spaced}\r\n", spaced.len()));
        assert_eq!(client.get_typed("a").await.expect("a value"), Some(ada()));
        let all: Vec<Option<User>> = client.get_many_typed(&["b", "none", "a"]).await.expect("all");
        let bo = User { name: "Bo".to_owned(), age: 7 };
        assert_eq!(all, [Some(bo), None, Some(ada())]);
        assert_eq!(client.get_typed::<User>("none").await.expect("a miss"), None);
        // Integers also work with incr and decr.
        assert!(client.set_typed("count", &41, Ttl::Never).await.expect("a node").is_stored());
        assert_eq!(client.incr("count", 1).await.expect("a node"), Some(42));
        assert_eq!(client.get_typed("count").await.expect("a value"), Some(42));
    });
}

#[test]
fn what_another_codec_wrote_is_refused_and_the_key_named() {
    on_each("what_another_codec_wrote_is_refused_and_the_key_named", async |nodes| {
        let client = nodes.client().await;
        let bracketed = client.typed(Bracketed);
        assert!(bracketed.set("theirs", &ada(), HOUR).await.expect("a node").is_stored());
        assert_eq!(bracketed.get("theirs").await.expect("a value"), Some(ada()));
        assert_codec(client.get_typed::<User>("theirs").await, &["theirs", "1048576"]);
        assert_codec(client.get_many_typed::<User, _>(&["none", "theirs"]).await, &["theirs"]);
        let result = client.get_or_fill_typed("theirs", HOUR, async || Ok::<_, Infallible>(ada()));
        match result.await {
            Err(FillError::Cache(error)) => assert_codec(Err::<(), _>(error), &["theirs"]),
            other => panic!("{other:?}"),
        }
        assert!(client.set_typed("ours", &ada(), HOUR).await.expect("a node").is_stored());
        assert_codec(bracketed.get::<User>("ours").await, &["ours", "1048576"]);
        // A pickle, as pylibmc or pymemcache stores it.
        assert!(client.set_with_flags("pickle", "1", 1, HOUR).await.expect("a node").is_stored());
        assert_codec(client.get_typed::<u8>("pickle").await, &["pickle"]);
        // The right codec with another type.
        assert_codec(client.get_typed::<Vec<u8>>("ours").await, &["ours"]);
        assert_codec(client.set_typed("ours", &Unwritable, HOUR).await, &["ours", "never written"]);
    });
}

#[test]
fn a_placeholder_is_no_value_of_any_type() {
    on_each("a_placeholder_is_no_value_of_any_type", async |nodes| {
        let client = nodes.client().await;
        assert!(nodes.conn().ask_text("mg k v N3600\r\n").contains('W'));
        assert_eq!(client.get_typed::<User>("k").await.expect("a miss"), None);
        assert_eq!(client.get_many_typed::<User, _>(&["k"]).await.expect("a miss"), [None]);
        assert_eq!(client.typed(Bracketed).get::<User>("k").await.expect("a miss"), None);
    });
}

#[test]
fn typed_values_are_filled_once() {
    on_each("typed_values_are_filled_once", async |nodes| {
        let client = nodes.client().await;
        let fills = AtomicUsize::new(0);
        let fill = async || {
            fills.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(ada())
        };
        for _ in 0..3 {
            assert_eq!(client.get_or_fill_typed("k", how(), fill).await.expect("a value"), ada());
        }
        assert_eq!(fills.load(Ordering::SeqCst), 1);
        assert_eq!(client.get_typed("k").await.expect("a value"), Some(ada()));
        let bracketed = client.typed(Bracketed);
        for _ in 0..3 {
            assert_eq!(bracketed.get_or_fill("b", how(), fill).await.expect("a value"), ada());
        }
        assert_eq!(fills.load(Ordering::SeqCst), 2);
        let item = client.get("b").await.expect("a node").expect("an item");
        assert_eq!(item.flags, Bracketed.flags());
    });
}

#[test]
fn errors_of_typed_fills_keep_their_type_and_the_old_value() {
    #[derive(Debug, PartialEq)]
    struct NoSuchUser;

    on_each("errors_of_typed_fills_keep_their_type", async |nodes| {
        let client = nodes.client().await;
        let fail = async || Err::<User, _>(NoSuchUser);
        match client.get_or_fill_typed("k", how(), fail).await {
            Err(FillError::Fill { error: NoSuchUser, old: None }) => {}
            other => panic!("{other:?}"),
        }
        // A value that cannot be encoded releases the lease, too.
        let unwritable = async || Ok::<_, NoSuchUser>(Unwritable);
        match client.get_or_fill_typed("k", how(), unwritable).await {
            Err(FillError::Cache(error)) => assert_codec(Err::<(), _>(error), &["k", "never"]),
            other => panic!("{other:?}"),
        }
        let fill = async || Ok::<_, NoSuchUser>(ada());
        let filled = in_time("no lease", client.get_or_fill_typed("k", how(), fill)).await;
        assert_eq!(filled.expect("a value"), ada());
        client.meta_delete("k", "I").await.expect("a node");
        match client.get_or_fill_typed("k", how(), fail).await {
            Err(FillError::Fill { error: NoSuchUser, old }) => assert_eq!(old, Some(ada())),
            other => panic!("{other:?}"),
        }
    });
}
