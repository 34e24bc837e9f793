//! Answers that are malformed, end too early, or never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringbinder_client::{Absence, Client, Error, Stored, Ttl};
use tokio::io::AsyncReadExt as _;

use crate::fake::{self, Fake, Peer};
use crate::{absence, client_of, connect, value};

/// A peer whose first connection answers the first request with these bytes, and whose others
/// behave correctly.
async fn once_saying(bytes: impl Into<Vec<u8>>, then: Then) -> Fake {
    let bytes: Arc<[u8]> = bytes.into().into();
    Fake::at_first(move |mut peer| {
        let bytes = Arc::clone(&bytes);
        async move {
            fake::request(&mut peer).await;
            fake::say(&mut peer, &bytes).await;
            if then == Then::Stays {
                fake::stay(peer).await;
            }
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Stays,
    Closes,
}

/// Asserts that the first get reports the node's answer, and that the second one is answered.
async fn expect_nonsense(peer: &Fake, client: &Client, says: &str) {
    let error = client.get("k").await.expect_err("no answer");
    assert!(matches!(error, Error::Nonsense { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&peer.address()), "{message}");
    assert!(message.contains(says), "{message}");
    assert_eq!(value(client.get("k").await), "of k");
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn nonsense_is_told_and_the_next_call_is_answered() {
    for (says, shown) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], "HTTP/1.1 400 Bad Request"),
        (b"\x07\x1b[31mboo\r\n", "\\u{7}"),
        (b"SSH-2.0-OpenSSH\n", "SSH-2.0"),
        (b"VALUE other 0 1\r\nx\r\nEND\r\n", "VALUE other 0 1"),
        (b"VALUE k 0 1\r\ntoo long\r\nEND\r\n", "oo long"),
        (b"VALUE k 0 2147483648\r\n", "VALUE k 0 2147483648"),
        (b"VALUE k 0 1000001\r\n", "VALUE k 0 1000001"),
        (b"VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n", "VALUE k 0 1"),
        (b"STORED\r\n", "STORED"),
    ] {
        for then in [Then::Stays, Then::Closes] {
            let peer = once_saying(says, then).await;
            let client = connect(client_of(&[&peer]).max_value(1_000_000)).await;
            expect_nonsense(&peer, &client, shown).await;
        }
    }
}

#[tokio::test]
async fn a_write_is_not_done_where_something_else_is_answered() {
    let peer = once_saying("HTTP/1.1 400 Bad Request\r\n", Then::Stays).await;
    let client = connect(client_of(&[&peer])).await;
    let error = client.set("k", "v", Ttl::Never).await.expect_err("no answer").to_string();
    assert!(error.contains("HTTP/1.1 400") && error.contains(&peer.address()), "{error}");
    assert_eq!(client.set("k", "v", Ttl::Never).await.expect("stored"), Stored::Stored);
}

#[tokio::test]
async fn more_than_was_asked_ends_the_connection_before_anybody_reads_it() {
    let peer =
        once_saying("VALUE k 0 4\r\nof k\r\nEND\r\nVALUE j 0 3\r\nbad\r\nEND\r\n", Then::Stays)
            .await;
    let client = connect(client_of(&[&peer])).await;
    assert_eq!(value(client.get("k").await), "of k");
    // It came with the answer, unrequested.
    assert_eq!(value(client.get("j").await), "of j");
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn a_banner_before_any_question_is_told() {
    let peer = Fake::start(|_, mut peer| async move {
        fake::say(&mut peer, "220 mail.example ESMTP\r\n").await;
        fake::stay(peer).await;
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    let error = client.get("k").await.expect_err("no answer").to_string();
    assert!(error.contains("220 mail.example ESMTP"), "{error}");
}

#[tokio::test]
async fn a_node_without_room_for_connections_is_away() {
    let peer = Fake::start(|_, mut peer| async move {
        fake::say(&mut peer, "ERROR Too many open connections\r\n").await;
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    let error = client.set("k", "v", Ttl::Never).await.expect_err("no answer");
    // The close may arrive before the answer.
    assert!(matches!(absence::<()>(Err(error)), Absence::Full | Absence::Closed));
}

#[tokio::test]
async fn an_answer_cut_short_is_none() {
    for says in
        ["", "VAL", "VALUE k 0 10\r\nabc", "VALUE k 0 1\r\nx\r\n", "VALUE k 0 1\r\nx\r\nEND\r"]
    {
        let peer = once_saying(says, Then::Closes).await;
        let client = connect(client_of(&[&peer]).retries(0)).await;
        let error = client.get("k").await.expect_err("no answer");
        assert!(error.to_string().contains(&peer.address()), "{error}");
        assert_eq!(absence::<()>(Err(error)), Absence::Closed);
        assert_eq!(value(client.get("k").await), "of k");
        // With a retry no caller notices.
        let peer = once_saying(says, Then::Closes).await;
        let client = connect(client_of(&[&peer])).await;
        assert_eq!(value(client.get("k").await), "of k");
    }
}

#[tokio::test]
async fn only_the_one_whose_answer_is_bad_is_told_and_others_ask_again() {
    let peer = Fake::at_first(|mut peer| async move {
        // All requests have arrived before the first answer.
        for _ in 0..20 {
            fake::request(&mut peer).await;
        }
        fake::say(&mut peer, "VALUE k0 0 99999999\r\n").await;
        fake::stay(peer).await;
    })
    .await;
    let client = connect(client_of(&[&peer]).max_value(1000)).await;
    let calls = (0..20).map(|number| {
        let client = client.clone();
        async move { client.get(format!("k{number}")).await }
    });
    let mut answers = futures_util::future::join_all(calls).await.into_iter();
    let first = answers.next().expect("twenty").expect_err("too long");
    assert!(matches!(first, Error::Nonsense { .. }), "{first:?}");
    for (number, answer) in answers.enumerate() {
        assert_eq!(value(answer), format!("of k{}", number + 1));
    }
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_an_answer() {
    let peer = Fake::start(|_, mut peer| async move {
        while let Some(words) = fake::request(&mut peer).await {
            for byte in fake::answer(&words).into_bytes() {
                fake::say(&mut peer, [byte]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    assert_eq!(value(client.get("k").await), "of k");
    let many = client.get_many(&["a", "b", "a"]).await.expect("an answer");
    let values: Vec<_> = many.into_iter().map(|item| value(Ok::<_, Error>(item))).collect();
    assert_eq!(values, ["of a", "of b", "of a"]);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_connection_for_each_answer_does_for_reading() {
    let peer = Fake::start(|_, mut peer| async move {
        if let Some(words) = fake::request(&mut peer).await {
            fake::say(&mut peer, fake::answer(&words)).await;
        }
    })
    .await;
    let client = connect(client_of(&[&peer])).await;
    for number in 0..100 {
        assert_eq!(value(client.get(format!("k{number}")).await), format!("of k{number}"));
    }
}

/// A peer that never ends its answer, and the number of its bytes that were taken.
async fn endless(start: &'static str, again: &'static str) -> (Fake, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let peer = Fake::at_first(move |mut peer| {
        let count = Arc::clone(&count);
        async move {
            fake::request(&mut peer).await;
            let block = again.repeat(1 + 4096 / again.len());
            let mut go_on = fake::say(&mut peer, start).await;
            while go_on {
                count.fetch_add(block.len(), Ordering::SeqCst);
                go_on = fake::say(&mut peer, &block).await;
            }
        }
    })
    .await;
    (peer, taken)
}

/// More bytes than all buffers of a socket hold, on both sides.
const SOCKET_BUFFERS: usize = 16 << 20;

#[tokio::test]
async fn what_never_ends_is_not_read_to_its_end() {
    let (peer, taken) = endless("", "x").await;
    let client = connect(client_of(&[&peer])).await;
    expect_nonsense(&peer, &client, "xxxx").await;
    assert!(taken.load(Ordering::SeqCst) < SOCKET_BUFFERS);

    let (peer, taken) = endless("VALUE k 0 1\r\nx\r\n", "STAT a b\r\n").await;
    let client = connect(client_of(&[&peer])).await;
    expect_nonsense(&peer, &client, "STAT a b").await;
    assert!(taken.load(Ordering::SeqCst) < SOCKET_BUFFERS);

    for line in
        ["STAT \r\n", "STAT a b\r\n", "STAT long 0123456789012345678901234567890123456789\r\n"]
    {
        let (peer, taken) = endless("", line).await;
        let client = connect(client_of(&[&peer])).await;
        let error = client.nodes()[0].stats("").await.expect_err("no end");
        assert!(
            matches!(&error, Error::Nonsense { got, .. } if got.starts_with("STAT ")),
            "{error}"
        );
        assert!(taken.load(Ordering::SeqCst) < 2 * SOCKET_BUFFERS);
        assert_eq!(client.nodes()[0].stats("").await.expect("stats").len(), 1);
    }
}

/// A server that reads its socket slowly, but completely.
async fn slow_reader(mut peer: Peer) {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(peer.read_u8().await.expect("a line"));
    }
    let line = String::from_utf8(line).expect("text");
    let mut left = line.trim_end().rsplit(' ').next().expect("a length").parse().unwrap_or(0) + 2;
    let mut room = vec![0; 256 << 10];
    while left > 0 {
        let len = peer.read(&mut room[..left.min(256 << 10)]).await.expect("a value");
        assert!(room[..len].iter().all(|&byte| byte == b'v' || b"\r\n".contains(&byte)));
        left -= len;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fake::say(&mut peer, "STORED\r\n").await;
    fake::well(peer).await;
}

#[tokio::test]
async fn a_peer_that_reads_slowly_gets_all_of_it() {
    let peer = Fake::at_first(slow_reader).await;
    let client = connect(client_of(&[&peer])).await;
    let value_sent = vec![b'v'; 20 << 20];
    let others = (0..50).map(|number| {
        let client = client.clone();
        async move {
            // After the value has begun.
            tokio::task::yield_now().await;
            value(client.get(format!("k{number}")).await)
        }
    });
    let (stored, values) = tokio::join!(
        client.set("k", &value_sent, Ttl::Never),
        futures_util::future::join_all(others),
    );
    assert_eq!(stored.expect("an answer"), Stored::Stored);
    let expected: Vec<_> = (0..50).map(|number| format!("of k{number}")).collect();
    assert_eq!(values, expected);
    assert_eq!(peer.accepted(), 1);
}
