//! Tests of fills that fail, are abandoned, or end too late, and of unreachable nodes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use ringbinder_client::{Error, FillError, OnAway};
use tokio::sync::oneshot;

use super::*;

#[derive(Debug, PartialEq)]
struct Broken;

/// Holds the winner's fill until another client has asked too; both want the same missing key.
async fn with_a_waiter<T>(
    nodes: &Nodes,
    win: impl AsyncFnOnce(Client, oneshot::Sender<()>, oneshot::Receiver<()>) -> T,
) -> T {
    let (client, other) = (nodes.client().await, nodes.client().await);
    let (filling, filled) = oneshot::channel();
    let (waiting, waited) = oneshot::channel();
    let waiter = async {
        filled.await.expect("the winner");
        let before = gets(&other).await;
        let fill = Counted::new("second");
        let second = other.get_or_fill("k", how(), || fill.fill());
        let told = async {
            until("the waiter to ask", async || gets(&other).await > before).await;
            assert_eq!(fill.count(), 0, "the winner has not given up yet");
            waiting.send(()).expect("the winner");
        };
        let (item, ()) = tokio::join!(second, told);
        assert_eq!((text(&item.expect("a value")), fill.count()), ("second", 1));
    };
    let both = async { tokio::join!(win(client, filling, waited), waiter).0 };
    in_time("the waiter to fill", both).await
}

#[test]
fn after_a_fill_that_failed_the_next_fills_at_once() {
    on_each("after_a_fill_that_failed_the_next_fills_at_once", async |nodes| {
        let result = with_a_waiter(&nodes, async |client, filling, waited| {
            let fill = async || {
                filling.send(()).expect("the waiter");
                waited.await.expect("the waiter");
                Err::<&str, _>(Broken)
            };
            client.get_or_fill("k", how(), fill).await
        })
        .await;
        assert!(matches!(result, Err(FillError::Fill { error: Broken, old: None })), "{result:?}");
    });
}

#[test]
fn after_a_caller_that_went_away_the_next_fills_at_once() {
    on_each("after_a_caller_that_went_away_the_next_fills_at_once", async |nodes| {
        with_a_waiter(&nodes, async |client, filling, waited| {
            let fill = async || {
                filling.send(()).expect("the waiter");
                std::future::pending::<Result<&str, Infallible>>().await
            };
            tokio::select! {
                _ = client.get_or_fill("k", how(), fill) => unreachable!("it fills for ever"),
                waited = waited => waited.expect("the waiter"),
            }
        })
        .await;
    });
}

#[test]
fn after_a_fill_that_panicked_the_next_fills_at_once() {
    on_each("after_a_fill_that_panicked_the_next_fills_at_once", async |nodes| {
        with_a_waiter(&nodes, async |client, filling, waited| {
            let filling = tokio::spawn(async move {
                let fill = async || {
                    filling.send(()).expect("the waiter");
                    waited.await.expect("the waiter");
                    std::panic::resume_unwind(Box::new("a fill that panics"))
                };
                client.get_or_fill::<&str, Infallible, _, _>("k", how(), fill).await
            });
            assert!(filling.await.is_err_and(|error| error.is_panic()));
        })
        .await;
    });
}

/// Several callers of one client. The fill of each but the last fails.
#[test]
fn each_gets_the_error_of_its_own_fill() {
    on_each("each_gets_the_error_of_its_own_fill", async |nodes| {
        let client = nodes.client().await;
        let fails = AtomicUsize::new(0);
        let failing = || async {
            let fill = async || Err::<&str, _>(fails.fetch_add(1, Ordering::SeqCst));
            match client.get_or_fill("k", how(), fill).await {
                Err(FillError::Fill { error, old: None }) => error,
                other => panic!("{other:?}"),
            }
        };
        let all = async { tokio::join!(failing(), failing(), failing(), failing()) };
        let (a, b, c, d) = in_time("all to fail", all).await;
        let mut errors = [a, b, c, d];
        errors.sort_unstable();
        assert_eq!(errors, [0, 1, 2, 3]);
        let fill = Counted::new("v");
        let last = client.get_or_fill("k", how(), || fill.fill());
        assert_eq!(text(&in_time("the last", last).await.expect("a value")), "v");
    });
}

/// A client wins and never returns.
#[test]
fn after_a_winner_that_died_another_fills_when_the_lease_ends() {
    on_each("after_a_winner_that_died_another_fills_when_the_lease_ends", async |nodes| {
        let client = nodes.client().await;
        assert!(nodes.conn().ask_text("mg k v N2\r\n").contains('W'));
        let fill = Counted::new("v");
        let item = client.get_or_fill("k", how(), || fill.fill());
        let item = in_time("the lease to end", item).await.expect("a value");
        assert_eq!((text(&item), fill.count()), ("v", 1));
        let item = nodes.client().await.get_or_fill("k", how(), never).await.expect("a value");
        assert_eq!(text(&item), "v", "it is stored");
    });
}

#[test]
fn after_its_patience_a_caller_fills_for_itself_and_stores_nothing() {
    on_each("after_its_patience_a_caller_fills_for_itself", async |nodes| {
        let client = nodes.client().await;
        assert!(nodes.conn().ask_text("mg k v N3600\r\n").contains('W'));
        for patience in [Duration::ZERO, Duration::from_millis(50)] {
            let fill = Counted::new("mine");
            let how = how().patience(patience);
            // One of them asks, and the other waits for its result.
            let both = async {
                tokio::join!(
                    client.get_or_fill("k", how, || fill.fill()),
                    client.get_or_fill("k", how, || fill.fill())
                )
            };
            let (one, two) = in_time("their patience to end", both).await;
            assert_eq!(text(&one.expect("a value")), "mine");
            assert_eq!(text(&two.expect("a value")), "mine");
            assert_eq!(fill.count(), 2);
        }
        let answer = nodes.conn().ask_text("mg k v\r\n");
        assert_eq!(answer, "VA 0 Z\r\n\r\n", "the placeholder is still there");
    });
}

#[test]
fn what_is_written_while_a_key_is_filled_stays() {
    on_each("what_is_written_while_a_key_is_filled_stays", async |nodes| {
        let (client, other) = (nodes.client().await, nodes.client().await);
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

#[test]
fn what_is_deleted_while_it_is_filled_stays_deleted() {
    on_each("what_is_deleted_while_it_is_filled_stays_deleted", async |nodes| {
        let (client, other) = (nodes.client().await, nodes.client().await);
        let deleting = async || {
            assert!(other.delete("k").await.expect("a node"));
            Ok::<_, Infallible>("late")
        };
        client.get_or_fill("k", how(), deleting).await.expect("a value");
        assert_eq!(other.get("k").await.expect("a node"), None);
        // Nor does it overwrite a fill that comes after the delete.
        let overtaken = async || {
            assert!(other.delete("k").await.expect("a node"));
            let fill = async || Ok::<_, Infallible>("fresh");
            other.get_or_fill("k", how(), fill).await.expect("a value");
            Ok::<_, Infallible>("late")
        };
        client.get_or_fill("k", how(), overtaken).await.expect("a value");
        assert_eq!(text(&other.get("k").await.expect("a node").expect("an item")), "fresh");
    });
}

#[test]
fn a_fill_that_fails_leaves_what_was_written_meanwhile() {
    on_each("a_fill_that_fails_leaves_what_was_written_meanwhile", async |nodes| {
        let (client, other) = (nodes.client().await, nodes.client().await);
        let fill = async || {
            assert!(other.set("k", "written", HOUR).await.expect("a node").is_stored());
            Err::<&str, _>(Broken)
        };
        assert!(client.get_or_fill("k", how(), fill).await.is_err());
        assert_eq!(text(&other.get("k").await.expect("a node").expect("an item")), "written");
    });
}

/// A caller that has just written a key does not get an older value from a shared fill.
#[test]
fn a_client_sees_what_it_has_written_while_it_fills() {
    on_each("a_client_sees_what_it_has_written_while_it_fills", async |nodes| {
        let client = nodes.client().await;
        let (filling, filled) = oneshot::channel();
        let (written, joined) = oneshot::channel();
        let fill = async || {
            filling.send(()).expect("the writer");
            joined.await.expect("the writer");
            Ok::<_, Infallible>("late")
        };
        let writer = async {
            filled.await.expect("the winner");
            assert!(client.set("k", "written", HOUR).await.expect("a node").is_stored());
            let mut reading = std::pin::pin!(client.get_or_fill("k", how(), never));
            // It waits for its turn.
            let none = tokio::time::timeout(Duration::ZERO, &mut reading).await;
            assert!(none.is_err(), "{none:?}");
            written.send(()).expect("the winner");
            reading.await.expect("a value")
        };
        let both = async { tokio::join!(client.get_or_fill("k", how(), fill), writer) };
        let (late, read) = in_time("both", both).await;
        assert_eq!(text(&late.expect("a value")), "late");
        assert_eq!(text(&read), "written");
    });
}

#[test]
fn what_is_too_large_to_store_is_returned_and_the_next_fills_at_once() {
    on_each("what_is_too_large_to_store_is_returned", async |nodes| {
        let client = nodes.client().await;
        for _ in 0..2 {
            let fill = async || Ok::<_, Infallible>(vec![b'x'; 3 << 20]);
            let item = in_time("no lease", client.get_or_fill("k", how(), fill)).await;
            assert_eq!(item.expect("a value").value.len(), 3 << 20);
        }
    });
}

#[test]
fn without_its_owner_a_key_is_filled_for_the_caller_alone() {
    runtime().block_on(async {
        let builder = || Client::with_servers([nobody().to_string()]);
        let client = builder().connect().await.expect("a ring");
        let fill = Counted::new("v");
        for _ in 0..2 {
            let item = client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
            assert_eq!(text(&item), "v");
        }
        assert_eq!(fill.count(), 2);
        let result = client.get_or_fill("k", how(), async || Err::<&str, _>(Broken)).await;
        assert!(matches!(result, Err(FillError::Fill { error: Broken, old: None })), "{result:?}");

        let strict = builder().on_away(OnAway::Error).connect().await.expect("a ring");
        let result = strict.get_or_fill("k", how(), never).await;
        assert!(matches!(result, Err(FillError::Cache(Error::Away { .. }))), "{result:?}");
    });
}

/// The owner dies while one caller fills and others wait: all of them get a value.
#[test]
fn callers_of_a_node_that_dies_fill_for_themselves() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("callers_of_a_node_that_dies", "no ringbinderd");
    }
    runtime().block_on(async {
        let mut fleet = Fleet::running(3, &[]);
        let key = fleet.keys_of(0, 1, "doomed-", 1).remove(0);
        let ring = fleet.file("clients.toml", &fleet.ring(1, &[0, 1, 2]));
        let client =
            async || patient(Client::with_ring_file(&ring)).connect().await.expect("a ring");
        let (winner, waiter) = (client().await, client().await);
        let before = gets(&waiter).await;
        let (filling, filled) = oneshot::channel();
        let (waiting, waited) = oneshot::channel();
        let fill = async || {
            filling.send(()).expect("the waiter");
            waited.await.expect("the waiter");
            fleet.kill(1);
            Ok::<_, Infallible>("won")
        };
        let second = async {
            filled.await.expect("the winner");
            let mine = Counted::new("mine");
            let told = async {
                until("the waiter to ask", async || gets(&waiter).await > before + 1).await;
                waiting.send(()).expect("the winner");
            };
            let (item, ()) = tokio::join!(waiter.get_or_fill(&key, how(), || mine.fill()), told);
            (item, mine.count())
        };
        let both = async { tokio::join!(winner.get_or_fill(&key, how(), fill), second) };
        let (first, (second, fills)) = in_time("both to have a value", both).await;
        assert_eq!(text(&first.expect("a value")), "won");
        assert_eq!((text(&second.expect("a value")), fills), ("mine", 1));
        // The keys of the other nodes are filled as usual.
        for key in fleet.keys_of(0, 2, "living-", 3) {
            let fill = Counted::new("v");
            for _ in 0..2 {
                winner.get_or_fill(&key, how(), || fill.fill()).await.expect("a value");
            }
            assert_eq!(fill.count(), 1);
        }
    });
}

/// A server for one connection. For each step of the script it reads this number of lines and sends this
/// answer. The thread returns all lines that it has read.
fn scripted(script: &'static [(usize, &str)]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client");
        let reader = BufReader::new(stream.try_clone().expect("a handle"));
        let mut lines = reader.lines();
        let mut read = Vec::new();
        for &(count, answer) in script {
            read.extend(lines.by_ref().take(count).map(|line| line.expect("a line")));
            stream.write_all(answer.as_bytes()).expect("the client");
        }
        read
    });
    (address, server)
}

async fn with_one_connection(address: String) -> Client {
    let builder = patient(Client::with_servers([address])).connections(1);
    builder.connect().await.expect("a ring")
}

/// Servers older than the meta commands are rejected.
#[test]
fn a_server_without_meta_commands_is_refused() {
    let (address, server) = scripted(&[(1, "ERROR\r\n")]);
    runtime().block_on(async {
        let client = with_one_connection(address).await;
        match client.get_or_fill("k", how(), never).await {
            Err(FillError::Cache(Error::Refused { says, .. })) => assert_eq!(says, "ERROR"),
            other => panic!("{other:?}"),
        }
    });
    assert!(server.join().expect("it ends")[0].starts_with("mg k "));
}

#[test]
fn after_a_store_that_failed_the_lease_is_given_back() {
    let (address, server) = scripted(&[
        (1, "VA 0 c7 f0 t-1 W\r\n\r\n"),
        (2, "SERVER_ERROR out of memory storing object\r\n"),
        (1, "HD\r\n"),
    ]);
    runtime().block_on(async {
        let client = with_one_connection(address).await;
        let fill = Counted::new("v");
        let item = client.get_or_fill("k", how(), || fill.fill());
        let item = in_time("the lease to be given back", item).await.expect("a value");
        assert_eq!((text(&item), fill.count()), ("v", 1));
        drop(client);
    });
    let read = server.join().expect("it ends");
    assert_eq!(read[1..], ["ms k 1 T3600 F0 C7", "v", "md k C7"]);
}
