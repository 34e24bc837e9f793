//! Rings reported by nodes, some of which lie.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringbinder_client::ring::{Format, Ring};
use ringbinder_client::{Client, ConnectError};

use crate::PATIENCE;
use crate::fake::{self, Fake};

/// A node's report of its ring: its answers to `ring version` and to `ring get`.
#[derive(Clone, Default)]
struct Told {
    version: String,
    ring: String,
}

impl Told {
    fn truly(ring: &Ring) -> Told {
        Told::with_id(ring, &ring.id().version.to_string(), &digest(ring))
    }

    fn with_id(ring: &Ring, version: &str, digest: &str) -> Told {
        let text = ring.to_toml();
        Told {
            version: format!("RING {version} {digest}\r\n"),
            ring: format!("RING {version} {digest} {}\r\n{text}\r\nEND\r\n", text.len()),
        }
    }
}

fn digest(ring: &Ring) -> String {
    format!("{:016x}", ring.id().digest)
}

/// A node that reports the ring it is given.
struct Teller {
    told: Arc<Mutex<Told>>,
    peer: Fake,
}

impl Teller {
    async fn start() -> Teller {
        let told = Arc::new(Mutex::new(Told::default()));
        let tells = Arc::clone(&told);
        let peer = Fake::start(move |_, mut peer| {
            let tells = Arc::clone(&tells);
            async move {
                while let Some(words) = fake::request(&mut peer).await {
                    let told = tells.lock().expect("no panic").clone();
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let answer = match words[..] {
                        ["ring", "version"] => told.version,
                        ["ring", "get"] => told.ring,
                        _ => "ERROR\r\n".to_owned(),
                    };
                    fake::say(&mut peer, answer).await;
                }
            }
        })
        .await;
        Teller { told, peer }
    }

    fn tells(&self, told: Told) {
        *self.told.lock().expect("no panic") = told;
    }
}

fn ring(version: u64, nodes: &[&Teller]) -> Ring {
    let mut text = format!("version = {version}\n");
    for (index, node) in nodes.iter().enumerate() {
        let address = node.peer.address();
        text += &format!("[[node]]\nname = \"cache-{index}\"\naddress = \"{address}\"\n");
    }
    Ring::parse(&text, Format::Toml, "the test").expect("a ring")
}

async fn discover(seeds: &[&Teller]) -> Result<Client, ConnectError> {
    let seeds = seeds.iter().map(|seed| seed.peer.address());
    let builder = Client::with_discovery(seeds).discover_every(Duration::from_millis(10));
    builder.timeout(PATIENCE).connect().await
}

async fn await_version(client: &Client, version: u64) {
    tokio::time::timeout(PATIENCE, async {
        while client.ring().id().version != version {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the ring stayed {:?}", client.ring().id()));
}

#[tokio::test]
async fn a_ring_is_told_by_the_first_seed_that_has_one_and_followed() {
    let (mute, a, b) = (Teller::start().await, Teller::start().await, Teller::start().await);
    mute.tells(Told { version: "ERROR\r\n".to_owned(), ring: "ERROR\r\n".to_owned() });
    let first = ring(1, &[&a]);
    a.tells(Told::truly(&first));
    let client = discover(&[&mute, &a]).await.expect("a ring");
    assert_eq!(client.ring().id(), first.id());
    let second = ring(2, &[&a, &b]);
    a.tells(Told::truly(&second));
    b.tells(Told::truly(&second));
    await_version(&client, 2).await;
    assert_eq!(client.nodes().len(), 2);
    // The seed is no longer in the ring, and reports an old one.
    let third = ring(3, &[&b]);
    b.tells(Told::truly(&third));
    await_version(&client, 3).await;
    assert_eq!(client.ring().id(), third.id());
}

#[tokio::test]
async fn a_ring_that_is_not_the_announced_one_is_not_believed() {
    let a = Teller::start().await;
    let (honest, other) = (ring(4, &[&a]), ring(5, &[&a]));
    for lie in [
        Told::with_id(&honest, "5", &digest(&honest)),
        Told::with_id(&honest, "4", &digest(&other)),
        Told { ring: "RING 4 x 3\r\nabc\r\nEND\r\n".to_owned(), ..Told::default() },
        Told { ring: "RING 4 00000000000000aa 3\r\nabc\r\nEND\r\n".to_owned(), ..Told::default() },
        Told { ring: "END\r\n".to_owned(), ..Told::default() },
        Told { ring: "HTTP/1.1 200 OK\r\n".to_owned(), ..Told::default() },
    ] {
        a.tells(lie);
        let error = discover(&[&a]).await.expect_err("a lie");
        assert!(matches!(error, ConnectError::NotDiscovered(_)), "{error:?}");
        assert!(error.to_string().contains(&a.peer.address()), "{error}");
    }
}

#[tokio::test]
async fn lies_and_older_rings_do_not_keep_a_newer_one_away() {
    let (liar, stale, honest) =
        (Teller::start().await, Teller::start().await, Teller::start().await);
    let nodes = [&liar, &stale, &honest];
    let (old, first, next) = (ring(4, &nodes), ring(5, &nodes), ring(6, &nodes));
    nodes.iter().for_each(|node| node.tells(Told::truly(&first)));
    let client = discover(&nodes).await.expect("a ring");
    // It announces a newer ring, and sends the present one.
    let mut lie = Told::truly(&first);
    lie.version = format!("RING 99 {}\r\n", digest(&first));
    liar.tells(lie);
    stale.tells(Told::truly(&old));
    honest.tells(Told::truly(&next));
    await_version(&client, 6).await;
    assert_eq!(client.ring().id(), next.id());
}

#[tokio::test]
async fn nobody_to_ask_is_an_error() {
    let error = Client::with_discovery(Vec::<String>::new()).connect().await.expect_err("no seeds");
    assert!(matches!(error, ConnectError::NoSeeds));
    let error = Client::with_servers(["nonsense"]).connect().await.expect_err("no address");
    assert!(matches!(error, ConnectError::Ring(_)), "{error:?}");
    assert!(error.to_string().contains("nonsense"), "{error}");
}
