//! Tests of many callers on few connections: each gets its own answers, even if other callers give up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ringbinder_client::{Client, Ttl};
use ringbinder_tests::{Conn, Kind, Server, needs};

use crate::{connect, count, keys, kinds, patient, text};

const CALLERS: u64 = 200;
const ROUNDS: u64 = 250;
const CONNECTIONS: usize = 2;

fn servers(kind: Kind) -> Vec<Server> {
    (0..3).map(|_| Server::start(kind, &[])).collect()
}

fn client_of(servers: &[Server]) -> ringbinder_client::Builder {
    let addresses = servers.iter().map(|server| server.address().to_string());
    patient(Client::with_servers(addresses)).connections(CONNECTIONS)
}

/// The last value that one caller is known to have written, and the values that may have been written since.
struct Writer {
    key: String,
    certain: u64,
    newest: u64,
    /// Writes that the caller abandoned. Each may take effect at any later time, for example on the other
    /// connection.
    given_up: HashSet<u64>,
}

impl Writer {
    /// Writes the next number. If the caller abandons the write, it may or may not take effect.
    async fn write(&mut self, client: &Client, patience: Option<Duration>) {
        self.newest += 1;
        // Values of all lengths, so that answers arrive in pieces.
        let padding = "x".repeat(usize::try_from(self.newest * 37 % 3000).expect("a short one"));
        let value = format!("{}:{}:{padding}", self.key, self.newest);
        let set = client.set(&self.key, value, Ttl::Never);
        let done = match patience {
            Some(patience) => tokio::time::timeout(patience, set).await.ok(),
            None => Some(set.await),
        };
        match done {
            Some(stored) => {
                assert!(stored.expect("an answer").is_stored());
                self.certain = self.newest;
            }
            None => _ = self.given_up.insert(self.newest),
        }
    }

    async fn read(&mut self, client: &Client, patience: Option<Duration>) {
        let get = client.get(&self.key);
        let found = match patience {
            Some(patience) => tokio::time::timeout(patience, get).await.ok(),
            None => Some(get.await),
        };
        let Some(found) = found.map(text) else { return };
        let Some(value) = found else {
            assert_eq!(self.certain, 0, "{} is gone", self.key);
            return;
        };
        let words: Vec<&str> = value.split(':').collect();
        assert_eq!(words[0], self.key, "another caller's answer");
        let number: u64 = words[1].parse().expect("a number");
        let may_be = number == self.certain || self.given_up.contains(&number);
        assert!(may_be, "{number} after {} was written", self.certain);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_to_those_who_asked() {
    for kind in kinds() {
        let servers = servers(kind);
        let mut conns: Vec<Conn> = servers.iter().map(Server::connect).collect();
        let before: Vec<u64> =
            conns.iter_mut().map(|conn| count(conn, "total_connections")).collect();
        let client = connect(client_of(&servers)).await;
        let callers = (0..CALLERS).map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(caller);
                let mut writer = Writer {
                    key: format!("caller-{caller}"),
                    certain: 0,
                    newest: 0,
                    given_up: HashSet::new(),
                };
                for _ in 0..ROUNDS {
                    let patience = |rng: &mut StdRng| {
                        rng.random_bool(0.2)
                            .then(|| Duration::from_micros(rng.random_range(0..3000)))
                    };
                    let given_up = patience(&mut rng);
                    writer.write(&client, given_up).await;
                    let given_up = patience(&mut rng);
                    writer.read(&client, given_up).await;
                }
            })
        });
        for caller in join_all(callers.collect::<Vec<_>>()).await {
            caller.expect("no panic");
        }
        for (conn, before) in conns.iter_mut().zip(before) {
            let made = count(conn, "total_connections") - before;
            assert!((1..=CONNECTIONS as u64).contains(&made), "{made} connections were made");
            let open = count(conn, "curr_connections");
            assert!(open <= CONNECTIONS as u64 + 1, "{open} connections are open");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_gets_of_many_keys_on_the_same_connections() {
    needs!(Kind::Ringbinder);
    let servers = servers(Kind::Ringbinder);
    let client = connect(client_of(&servers)).await;
    let keys = Arc::new(keys("k", 1000));
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        let value = format!("{key} {}", "y".repeat(number));
        assert!(client.set(key, value, Ttl::Never).await.expect("an answer").is_stored());
    }
    let callers = (0..20).map(|caller| {
        let (client, keys) = (client.clone(), Arc::clone(&keys));
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(caller);
            for _ in 0..5 {
                if rng.random_bool(0.5) {
                    let soon = Duration::from_micros(rng.random_range(0..5000));
                    let _ = tokio::time::timeout(soon, client.get_many(&keys)).await;
                }
                let items = client.get_many(&keys).await.expect("an answer");
                for (number, (key, item)) in keys.iter().zip(items).enumerate() {
                    let expected =
                        (number % 3 != 0).then(|| format!("{key} {}", "y".repeat(number)));
                    assert_eq!(text(Ok(item)), expected);
                }
            }
        })
    });
    for caller in join_all(callers.collect::<Vec<_>>()).await {
        caller.expect("no panic");
    }
    for server in &servers {
        let open = count(&mut server.connect(), "curr_connections");
        assert!(open <= CONNECTIONS as u64 + 1, "{open} connections are open");
    }
}
