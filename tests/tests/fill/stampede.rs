//! Tests of many callers that want the same missing key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::task::JoinSet;

use super::*;

const CLIENTS: usize = 5;
const CALLERS: usize = 40;

/// Runs five clients, each with its own thread and runtime and forty callers that start together. Returns all
/// their results.
fn stampede(nodes: &Arc<Nodes>, key: &str, how: Fill, fill: &Arc<Slow>) -> Vec<Item> {
    let ready = Arc::new(AtomicUsize::new(0));
    let client = || {
        let (nodes, ready, fill) = (Arc::clone(nodes), Arc::clone(&ready), Arc::clone(fill));
        let key = key.to_owned();
        move || {
            runtime().block_on(async {
                let client = nodes.client().await;
                let mut callers = JoinSet::new();
                ready.fetch_add(1, Ordering::SeqCst);
                until("all clients", async || ready.load(Ordering::SeqCst) == CLIENTS).await;
                for _ in 0..CALLERS {
                    let (client, key, fill) = (client.clone(), key.clone(), Arc::clone(&fill));
                    callers.spawn(async move {
                        fill.begun.fetch_add(1, Ordering::SeqCst);
                        let got = client.get_or_fill(key, how, || fill.fill(&client)).await;
                        fill.ended.fetch_add(1, Ordering::SeqCst);
                        got.expect("a value")
                    });
                }
                in_time("all callers", callers.join_all()).await
            })
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(client())).collect();
    clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
}

/// A fill that waits until every caller has started, and for the further conditions below.
struct Slow {
    value: &'static str,
    begun: AtomicUsize,
    ended: AtomicUsize,
    fills: AtomicUsize,
    /// Number of gets that the nodes must have received.
    gets: u64,
    /// Number of callers that must already have their value.
    served: usize,
}

impl Slow {
    fn new(value: &'static str) -> Slow {
        let zero = || AtomicUsize::new(0);
        Slow { value, begun: zero(), ended: zero(), fills: zero(), gets: 0, served: 0 }
    }

    async fn fill(&self, client: &Client) -> Result<&'static str, Infallible> {
        self.fills.fetch_add(1, Ordering::SeqCst);
        until("all callers to be there", async || {
            self.begun.load(Ordering::SeqCst) == CLIENTS * CALLERS
                && self.ended.load(Ordering::SeqCst) >= self.served
                && gets(client).await >= self.gets
        })
        .await;
        Ok(self.value)
    }
}

#[test]
fn two_hundred_callers_on_five_clients_fill_once() {
    on_each("two_hundred_callers_on_five_clients_fill_once", async |nodes| {
        let client = nodes.client().await;
        for round in 0..8 {
            // Every client has asked the nodes, and all but one have been told to wait.
            let gets = gets(&client).await + CLIENTS as u64;
            let fill = Arc::new(Slow { gets, ..Slow::new("filled") });
            let all = tokio::task::block_in_place(|| {
                stampede(&nodes, &format!("stampede-{round}"), how(), &fill)
            });
            assert_eq!(all.len(), CLIENTS * CALLERS);
            assert!(all.iter().all(|item| text(item) == "filled"));
            assert_eq!(fill.fills.load(Ordering::SeqCst), 1, "round {round}");
        }
    });
}

/// The fill of a stale value does not end before all other callers have received the old value.
#[test]
fn two_hundred_callers_get_the_stale_value_while_one_refreshes_it() {
    on_each("two_hundred_callers_get_the_stale_value_while_one_refreshes_it", async |nodes| {
        let client = nodes.client().await;
        for round in 0..4 {
            let key = format!("stale-{round}");
            assert!(client.set(&key, "old", HOUR).await.expect("a node").is_stored());
            client.meta_delete(&key, "I").await.expect("a node");
            refreshed_once(&nodes, &client, &key, how()).await;
        }
    });
}

#[test]
fn two_hundred_callers_get_the_value_that_nears_its_end_while_one_refreshes_it() {
    on_each("two_hundred_callers_get_the_value_that_nears_its_end", async |nodes| {
        let client = nodes.client().await;
        for round in 0..4 {
            let key = format!("near-{round}");
            assert!(client.set(&key, "old", HOUR).await.expect("a node").is_stored());
            refreshed_once(&nodes, &client, &key, Fill::new(4 * HOUR).refresh_before(2 * HOUR))
                .await;
        }
    });
}

async fn refreshed_once(nodes: &Arc<Nodes>, client: &Client, key: &str, how: Fill) {
    let others = CLIENTS * CALLERS - 1;
    let fill = Arc::new(Slow { served: others, ..Slow::new("new") });
    let all = tokio::task::block_in_place(|| stampede(nodes, key, how, &fill));
    assert_eq!(fill.fills.load(Ordering::SeqCst), 1, "{key}");
    assert_eq!(all.iter().filter(|item| text(item) == "old").count(), others, "{key}");
    assert_eq!(all.iter().filter(|item| text(item) == "new").count(), 1, "{key}");
    let after = client.get_or_fill(key, how, never).await.expect("a value");
    assert_eq!(text(&after), "new");
}

#[test]
fn callers_of_one_client_share_one_request() {
    on_each("callers_of_one_client_share_one_request", async |nodes| {
        let client = nodes.client().await;
        let before = gets(&client).await;
        let (begun, fills) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, begun, fills) = (client.clone(), Arc::clone(&begun), Arc::clone(&fills));
            callers.spawn(async move {
                // Counted at its first poll, when it joins the other callers.
                let counted = async {
                    begun.fetch_add(1, Ordering::SeqCst);
                };
                let fill = async || {
                    fills.fetch_add(1, Ordering::SeqCst);
                    until("all to have joined", async || begun.load(Ordering::SeqCst) == CALLERS)
                        .await;
                    // The last callers may have been counted but not have joined yet.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, Infallible>("shared")
                };
                let (_, item) = tokio::join!(counted, client.get_or_fill("k", how(), fill));
                item.expect("a value")
            });
        }
        let all = in_time("all callers", callers.join_all()).await;
        assert!(all.iter().all(|item| text(item) == "shared"));
        assert_eq!(fills.load(Ordering::SeqCst), 1);
        let asked = gets(&client).await - before;
        assert!(asked < CALLERS as u64 / 4, "{CALLERS} callers asked {asked} times");
    });
}

/// The fill works through any node: two clients know one node each, which does not own the key.
#[test]
fn a_key_of_another_node_is_filled_once_through_any_node() {
    on_fleet("a_key_of_another_node_is_filled_once_through_any_node", async |nodes| {
        let Nodes::Fleet(fleet, _) = &*nodes else { unreachable!("as asked for") };
        let through = async |node| {
            let address = fleet.server(node).address().to_string();
            patient(Client::with_servers([address])).connect().await.expect("a ring")
        };
        let (first, second, watch) = (through(0).await, through(1).await, nodes.client().await);
        for key in fleet.keys_of(0, 2, "foreign-", 20) {
            // The owner counts them.
            let before = gets(&watch).await;
            let fill = Counted::new("v");
            let slow = async || {
                until("the other to ask", async || gets(&watch).await > before + 1).await;
                fill.fill().await
            };
            let (one, two) = tokio::join!(
                first.get_or_fill(&key, how(), slow),
                second.get_or_fill(&key, how(), slow)
            );
            assert_eq!(text(&one.expect("a value")), "v");
            assert_eq!(text(&two.expect("a value")), "v");
            assert_eq!(fill.count(), 1, "{key}");
        }
    });
}

#[test]
fn what_was_filled_is_stored_with_its_ttl_and_flags() {
    on_each("what_was_filled_is_stored_with_its_ttl_and_flags", async |nodes| {
        let client = nodes.client().await;
        let how = Fill::new(Duration::from_secs(5000)).flags(77);
        let item = client.get_or_fill("k", how, async || Ok::<_, Infallible>("v")).await;
        let item = item.expect("a value");
        assert_eq!((text(&item), item.flags, item.cas), ("v", 77, None));
        let reply = client.meta_get("k", "v f t").await.expect("a node").expect("an item");
        assert_eq!(reply.value.as_deref(), Some(&b"v"[..]));
        assert_eq!(reply.number(b'f'), Some(77));
        let left = reply.number(b't').expect("a time");
        assert!((4900..=5000).contains(&left), "{left}");
        assert_eq!((reply.flag(b'Z'), reply.flag(b'W')), (None, None));
        let item = client.get_or_fill("k", how, never).await.expect("a value");
        assert_eq!((text(&item), item.flags, item.cas), ("v", 77, None));
    });
}

/// An empty value is a value, unless it is a placeholder.
#[test]
fn an_empty_value_is_filled_once_too() {
    on_each("an_empty_value_is_filled_once_too", async |nodes| {
        let client = nodes.client().await;
        let fill = Counted::new("");
        for _ in 0..3 {
            let item = client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
            assert_eq!(text(&item), "");
        }
        assert_eq!(fill.count(), 1);
        // During a refresh other callers get the empty value if its flags show that it is not a placeholder.
        let flagged = Fill::new(HOUR).flags(1).refresh_before(2 * HOUR);
        let fill = async || Ok::<_, Infallible>("");
        client.get_or_fill("flagged", flagged, fill).await.expect("a value");
        assert!(nodes.conn().ask_text("mg flagged R7200\r\n").contains('W'));
        let item = client.get_or_fill("flagged", flagged, never).await.expect("a value");
        assert_eq!((text(&item), item.flags), ("", 1));
    });
}

#[test]
fn servers_without_cas_uniques_are_filled() {
    for kind in [Kind::Ringbinder, Kind::Memcached] {
        if !kind.available() {
            ringbinder_tests::skip::skip("servers_without_cas_uniques_are_filled", "no server");
            continue;
        }
        let server = Server::start(kind, &["-C"]);
        runtime().block_on(async {
            let client = patient(Client::with_servers([server.address().to_string()]));
            let client = client.connect().await.expect("a ring");
            let fill = Counted::new("v");
            for _ in 0..3 {
                let item = client.get_or_fill("k", how(), || fill.fill()).await.expect("a value");
                assert_eq!(text(&item), "v");
            }
            assert_eq!(fill.count(), 1, "{kind:?}");
        });
    }
}
