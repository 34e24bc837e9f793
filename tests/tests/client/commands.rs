//! Tests of every command, with ringbinderd and with memcached.

use std::time::{Duration, SystemTime};

use ringbinder_client::{Client, Error, Item, KeyError, MetaReply, Stored, Ttl};
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::{Kind, Server, needs};

use crate::{connect, kinds, patient, text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts each kind of server in turn, and calls `check` with a client of it.
async fn with_each(test: &str, check: impl AsyncFn(&Client)) {
    for kind in kinds() {
        println!("{test}: {kind:?}");
        let server = Server::start(kind, &[]);
        check(&connect(patient(Client::with_servers([server.address().to_string()]))).await).await;
    }
}

#[tokio::test]
async fn values_are_stored_and_read() {
    with_each("values_are_stored_and_read", async |client| {
        assert_eq!(client.get("k").await.unwrap(), None);
        assert_eq!(client.set("k", "v", Ttl::Never).await.unwrap(), Stored::Stored);
        assert_eq!(text(client.get("k").await).as_deref(), Some("v"));
        let stored = client.set_with_flags("k", b"\r\nEND\r\n\0", u32::MAX, Ttl::Never).await;
        assert_eq!(stored.unwrap(), Stored::Stored);
        let Item { value, flags, cas } = client.get("k").await.unwrap().unwrap();
        assert_eq!((&value[..], flags, cas), (&b"\r\nEND\r\n\0"[..], u32::MAX, None));
        let cas = client.gets("k").await.unwrap().unwrap().cas;
        assert!(cas.is_some_and(|cas| cas > 0));
        for len in [0, 1, 32_767, 32_768, 32_769, 1_000_000] {
            let value: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            assert!(client.set("sized", &value, Ttl::Never).await.unwrap().is_stored());
            assert_eq!(client.get("sized").await.unwrap().unwrap().value, value, "{len} bytes");
        }
        let error = client.set("k", vec![0; 2 << 20], Ttl::Never).await.unwrap_err();
        assert!(
            matches!(&error, Error::Failed { says, .. } if says.contains("too large")),
            "{error}"
        );
        // The connection is still in step.
        assert_eq!(client.get("sized").await.unwrap().unwrap().value.len(), 1_000_000);
    })
    .await;
}

#[tokio::test]
async fn stores_with_conditions() {
    with_each("stores_with_conditions", async |client| {
        assert_eq!(client.replace("k", "0", Ttl::Never).await.unwrap(), Stored::NotStored);
        assert_eq!(client.append("k", "0").await.unwrap(), Stored::NotStored);
        assert_eq!(client.prepend("k", "0").await.unwrap(), Stored::NotStored);
        assert_eq!(client.cas("k", "0", 0, Ttl::Never, 1).await.unwrap(), Stored::NotFound);
        assert_eq!(client.add("k", "1", Ttl::Never).await.unwrap(), Stored::Stored);
        assert_eq!(client.add("k", "2", Ttl::Never).await.unwrap(), Stored::NotStored);
        assert_eq!(client.replace("k", "b", Ttl::Never).await.unwrap(), Stored::Stored);
        assert_eq!(client.append("k", "c").await.unwrap(), Stored::Stored);
        assert_eq!(client.prepend("k", "a").await.unwrap(), Stored::Stored);
        let item = client.gets("k").await.unwrap().unwrap();
        assert_eq!(&item.value[..], b"abc");
        let cas = item.cas.unwrap();
        assert_eq!(client.cas("k", "d", 7, Ttl::Never, cas).await.unwrap(), Stored::Stored);
        assert_eq!(client.cas("k", "e", 7, Ttl::Never, cas).await.unwrap(), Stored::Exists);
        let item = client.get("k").await.unwrap().unwrap();
        assert_eq!((&item.value[..], item.flags), (&b"d"[..], 7));
    })
    .await;
}

#[tokio::test]
async fn numbers_deletions_and_times_to_live() {
    with_each("numbers_deletions_and_times_to_live", async |client| {
        assert_eq!(client.incr("n", 1).await.unwrap(), None);
        assert!(client.set("n", "10", Ttl::Never).await.unwrap().is_stored());
        assert_eq!(client.incr("n", 5).await.unwrap(), Some(15));
        assert_eq!(client.decr("n", 6).await.unwrap(), Some(9));
        assert_eq!(client.decr("n", 10).await.unwrap(), Some(0));
        assert_eq!(client.incr("n", u64::MAX).await.unwrap(), Some(u64::MAX));
        assert_eq!(client.incr("n", 2).await.unwrap(), Some(1));
        assert!(client.set("n", "word", Ttl::Never).await.unwrap().is_stored());
        let error = client.incr("n", 1).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { says, .. } if says.contains("non-numeric")),
            "{error}"
        );

        assert!(client.delete("n").await.unwrap());
        assert!(!client.delete("n").await.unwrap());
        assert!(!client.touch("n", DAY).await.unwrap());
        assert_eq!(client.get_and_touch("n", DAY).await.unwrap(), None);

        let left =
            async || client.meta_get("t", "t").await.unwrap().and_then(|reply| reply.number(b't'));
        let about = |left: Option<i64>, wanted: Duration| {
            let wanted = i64::try_from(wanted.as_secs()).unwrap();
            // Servers count in seconds, and some seconds pass.
            let near = left.is_some_and(|left| (wanted - 60..=wanted + 1).contains(&left));
            assert!(near, "{left:?} and not {wanted}");
        };
        assert!(client.set("t", "v", DAY).await.unwrap().is_stored());
        about(left().await, DAY);
        assert!(client.touch("t", 60 * DAY).await.unwrap());
        about(left().await, 60 * DAY);
        let item = client.get_and_touch("t", 2 * DAY).await.unwrap().unwrap();
        assert!(&item.value[..] == b"v" && item.cas.is_some());
        about(left().await, 2 * DAY);
        assert!(client.touch("t", Ttl::At(SystemTime::now() + 3 * DAY)).await.unwrap());
        about(left().await, 3 * DAY);
        assert!(client.touch("t", Ttl::Never).await.unwrap());
        assert_eq!(left().await, Some(-1));
        for gone in [Ttl::In(Duration::ZERO), Ttl::At(SystemTime::UNIX_EPOCH + DAY)] {
            assert!(client.set("t", "v", gone).await.unwrap().is_stored());
            assert_eq!(client.get("t").await.unwrap(), None, "{gone:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn meta_commands() {
    with_each("meta_commands", async |client| {
        let code = |reply: &Option<MetaReply>| {
            String::from_utf8(reply.as_ref().unwrap().code().to_vec()).unwrap()
        };
        assert_eq!(code(&client.meta_get("k", "v").await.unwrap()), "EN");
        assert_eq!(code(&client.meta_set("k", "abc", "T100 F7 c").await.unwrap()), "HD");
        let got = client.meta_get("k", "v f c t k s").await.unwrap();
        assert_eq!(code(&got), "VA");
        let got = got.unwrap();
        assert_eq!(got.value.as_deref(), Some(&b"abc"[..]));
        assert_eq!((got.number(b'f'), got.number(b's')), (Some(7), Some(3)));
        assert_eq!(got.flag(b'k'), Some(&b"k"[..]));
        let cas = got.cas().unwrap();
        assert_eq!(code(&client.meta_set("k", "x", &format!("C{}", cas + 1)).await.unwrap()), "EX");
        assert_eq!(code(&client.meta_set("k", "x", "ME").await.unwrap()), "NS");
        assert_eq!(code(&client.meta_delete("k", "I T30").await.unwrap()), "HD");
        let stale = client.meta_get("k", "v").await.unwrap().unwrap();
        assert!(stale.flag(b'X').is_some() && stale.flag(b'W').is_some());
        assert_eq!(code(&client.meta_delete("k", "").await.unwrap()), "HD");
        assert_eq!(code(&client.meta_delete("k", "").await.unwrap()), "NF");
        let sum = client.meta_arithmetic("n", "N0 J41 v").await.unwrap();
        assert_eq!(sum.unwrap().value.as_deref(), Some(&b"41"[..]));
        let sum = client.meta_arithmetic("n", "v").await.unwrap();
        assert_eq!(sum.unwrap().value.as_deref(), Some(&b"42"[..]));
        for flags in ["q", "v q", "b", "Oabc"] {
            let error = client.meta_get("k", flags).await.unwrap_err();
            assert!(matches!(error, Error::Flags(_)), "{error}");
        }
        let error = client.meta_get("k", "v\r\nflush_all").await.unwrap_err();
        assert!(matches!(error, Error::Line(_)), "{error}");
        let error = client.meta_set("k", "v", "Tx").await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert_eq!(code(&client.meta_get("k", "v").await.unwrap()), "EN");
    })
    .await;
}

#[tokio::test]
async fn many_keys_at_once() {
    with_each("many_keys_at_once", async |client| {
        let keys: Vec<String> = (0..1000).map(|number| format!("k{number}")).collect();
        for key in keys.iter().step_by(2) {
            assert!(client.set(key, format!("of {key}"), Ttl::Never).await.unwrap().is_stored());
        }
        // Each key twice, and long keys among them.
        let long = "l".repeat(250);
        assert!(client.set(&long, "of the long one", Ttl::Never).await.unwrap().is_stored());
        let asked: Vec<&str> =
            keys.iter().chain(&keys).map(String::as_str).chain([&long[..]]).collect();
        for items in
            [client.get_many(&asked).await.unwrap(), client.gets_many(&asked).await.unwrap()]
        {
            assert_eq!(items.len(), asked.len());
            for (index, item) in items[..2000].iter().enumerate() {
                let expected = (index % 2 == 0).then(|| format!("of {}", asked[index]));
                assert_eq!(text(Ok(item.clone())), expected);
            }
            assert_eq!(text(Ok(items[2000].clone())).as_deref(), Some("of the long one"));
        }
        assert!(client.gets_many(&keys[..1]).await.unwrap()[0].as_ref().unwrap().cas.is_some());
        assert_eq!(client.get_many::<&str>(&[]).await.unwrap(), []);
        let long_lines = vec![&long[..]; 1000];
        assert!(client.get_many(&long_lines).await.unwrap().iter().all(Option::is_some));
    })
    .await;
}

#[tokio::test]
async fn keys_that_no_server_takes_are_not_sent() {
    with_each("keys_that_no_server_takes_are_not_sent", async |client| {
        let too_long = "k".repeat(251);
        for (key, expected) in [
            ("", KeyError::Empty),
            (&too_long, KeyError::TooLong(251)),
            ("a b", KeyError::Character),
            ("a\r\nflush_all", KeyError::Character),
            ("a\u{7f}", KeyError::Character),
        ] {
            let is_expected = |error: Error| matches!(error, Error::Key(why) if why == expected);
            assert!(is_expected(client.get(key).await.unwrap_err()));
            assert!(is_expected(client.set(key, "v", Ttl::Never).await.unwrap_err()));
            assert!(is_expected(client.get_many(&["k", key]).await.unwrap_err()));
            assert!(is_expected(client.meta_get(key, "v").await.unwrap_err()));
        }
        assert!(client.set("schlüssel", "v", Ttl::Never).await.unwrap().is_stored());
        assert_eq!(text(client.get("schlüssel").await).as_deref(), Some("v"));
    })
    .await;
}

#[tokio::test]
async fn commands_to_nodes() {
    with_each("commands_to_nodes", async |client| {
        let node = &client.nodes()[0];
        let stats = node.stats("").await.unwrap();
        assert!(stats.iter().any(|(name, value)| name == "pid" && value.parse::<u32>().is_ok()));
        assert!(!node.stats("settings").await.unwrap().is_empty());
        assert_eq!(node.stats("reset").await.unwrap(), []);
        assert!(node.version().await.unwrap().starts_with("1."));
        assert_eq!(node.command("verbosity 0").await.unwrap(), "OK");
        let error = node.command("no such command").await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        for line in ["version\r\nflush_all", "version\n"] {
            assert!(matches!(node.command(line).await.unwrap_err(), Error::Line(_)));
        }
        assert!(client.set("k", "v", Ttl::Never).await.unwrap().is_stored());
        assert!(client.flush_all().await.is_empty());
        assert_eq!(client.get("k").await.unwrap(), None);
        assert!(client.set("k", "v", Ttl::Never).await.unwrap().is_stored());
        // The protocol reads a Unix time above 30 days.
        node.flush_after(60 * DAY).await.unwrap();
        assert_eq!(text(client.get("k").await).as_deref(), Some("v"));
        // A server without a ring does not support `ring flush`.
        node.flush().await.unwrap();
        assert_eq!(client.get("k").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn nodes_tell_their_ring_and_servers_without_one_refuse() {
    let test = "nodes_tell_their_ring_and_servers_without_one_refuse";
    with_each(test, async |client| {
        let error = client.nodes()[0].ring().await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. } | Error::Failed { .. }), "{error}");
    })
    .await;
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let client = connect(patient(Client::with_discovery([local(fleet.port(1)).to_string()]))).await;
    for node in client.nodes() {
        assert_eq!(node.ring_id().await.unwrap(), client.ring().id());
        assert_eq!(node.ring().await.unwrap().id(), client.ring().id());
        assert!(node.stats("ring").await.unwrap().iter().any(|(name, _)| name == "ring_version"));
    }
}
