//! Tests of the Rust client with a ring whose nodes require TLS and a password.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringbinder_client::{
    Absence, Builder, Client, Error, Item, Login, OnAway, Stored, Tls, TlsFault, Ttl,
};
use ringbinder_tests::{process, wait};

use super::await_log;
use super::certs::Authority;
use super::client::login;
use super::fleet::{Fleet, keys};

/// Makes a node require a certificate from every client.
const MUTUAL: &[&str] = &["-o", "ssl_verify_mode=2"];

fn web(password: &str) -> Login {
    Login::new("web", password).unwrap()
}

/// The TLS settings of a client of this ring.
fn tls(fleet: &Fleet) -> Tls {
    let own = &fleet.certificate;
    Tls::new().ca_file(&fleet.authority.file).certificate_files(&own.chain, &own.key)
}

/// Connects a client with long time-outs that returns an error if a node is unreachable.
async fn connect(builder: Builder) -> Client {
    let builder = builder.timeout(wait::PATIENCE).on_away(OnAway::Error);
    builder.connect().await.unwrap_or_else(|error| panic!("no client: {error}"))
}

/// A client that knows only one node and relies on its forwarding.
fn through(fleet: &Fleet, node: usize) -> Builder {
    Client::with_servers([fleet.address(node).to_string()])
}

#[track_caller]
fn text(found: Result<Option<Item>, Error>) -> Option<String> {
    let item = found.unwrap_or_else(|error| panic!("no answer: {error}"))?;
    Some(String::from_utf8(item.value.to_vec()).expect("text"))
}

async fn set(client: &Client, key: &str, value: &str) -> Result<(), Error> {
    client.set(key, value, Ttl::Never).await.map(|stored| assert_eq!(stored, Stored::Stored))
}

/// Waits until a key can be written.
async fn await_set(client: &Client, key: &str, value: &str) {
    let waited = tokio::time::timeout(wait::PATIENCE, async {
        while let Err(error) = set(client, key, value).await {
            assert!(error.is_away(), "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{key} cannot be written"));
}

/// Number of requests that a node has forwarded, read over an operator's connection.
fn forwarded(fleet: &Fleet, node: usize) -> u64 {
    let stats = fleet.connect(node).ask_text("stats ring\r\n");
    let value = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{stats}"))
    };
    value("foreign_gets") + value("foreign_requests")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_asked_and_any_node_passes_on() {
    let fleet = Fleet::running(3, MUTUAL);
    let keys = keys(&mut fleet.connect(0), 3);
    let secure = |builder: Builder| connect(builder.tls(tls(&fleet)).login(web("two")));
    let client = secure(Client::with_ring_file(fleet.ring())).await;
    let large = "v".repeat(700_000);
    for key in &keys {
        set(&client, key, &large).await.unwrap();
        assert_eq!(text(client.get(key).await).as_ref(), Some(&large));
        let number = format!("number-{key}");
        set(&client, &number, "41").await.unwrap();
        assert_eq!(client.incr(&number, 1).await.unwrap(), Some(42));
    }
    for item in client.get_many(&keys).await.unwrap() {
        assert_eq!(text(Ok(item)).as_ref(), Some(&large));
    }
    for node in client.nodes() {
        assert!(node.stats("").await.unwrap().iter().any(|(name, _)| name == "curr_items"));
    }
    assert_eq!((0..3).map(|node| forwarded(&fleet, node)).sum::<u64>(), 0);

    // The ring is read from a node.
    let seed = fleet.address(2).to_string();
    let found = secure(Client::with_discovery([seed])).await;
    assert_eq!(found.ring().id(), client.ring().id());
    assert_eq!(text(found.get(&keys[0]).await).as_ref(), Some(&large));

    for node in 0..3 {
        let narrow = secure(through(&fleet, node)).await;
        for key in &keys {
            assert_eq!(text(narrow.get(key).await).as_ref(), Some(&large));
            set(&narrow, &format!("from-{node}-{key}"), &large).await.unwrap();
            assert!(narrow.delete(format!("from-{node}-{key}")).await.unwrap());
            set(&narrow, key, &format!("by {node}")).await.unwrap();
            assert_eq!(text(client.get(key).await), Some(format!("by {node}")));
            set(&client, key, &large).await.unwrap();
        }
        let many = narrow.get_many(&keys).await.unwrap();
        assert!(many.into_iter().all(|item| item.is_some_and(|item| item.value == large)));
        assert!(forwarded(&fleet, node) >= 6, "node {node} passed on nothing");
    }
}

/// The error of a client's requests. Asserts that they all fail with the same text.
async fn failure(builder: Builder) -> Error {
    let client = connect(builder).await;
    let error = client.get("k").await.expect_err("the node should have refused");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

#[track_caller]
fn assert_fault(error: &Error, expected: &TlsFault) {
    let Error::Away { why: Absence::Tls(fault), .. } = error else { panic!("{error}") };
    assert_eq!(fault, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_fit_is_told_why() {
    let fleet = Fleet::running(3, MUTUAL);
    let ring = || Client::with_ring_file(fleet.ring());
    let stranger = Authority::new(fleet.dir(), "stranger");
    let strange = stranger.issue(fleet.dir(), "strange", &["client"]);

    assert_fault(&failure(ring()).await, &TlsFault::OnlyTls);
    assert_fault(&failure(ring().login(web("two"))).await, &TlsFault::OnlyTls);
    let trusting = |file| ring().tls(Tls::new().ca_file(file)).login(web("two"));
    assert_fault(&failure(trusting(&stranger.file)).await, &TlsFault::UnknownIssuer);
    assert_fault(&failure(trusting(&fleet.authority.file)).await, &TlsFault::CertificateRequired);
    let shown = tls(&fleet).certificate_files(&strange.chain, &strange.key);
    let untrusted = "it is from a CA that is not trusted there".to_owned();
    let error = failure(ring().tls(shown).login(web("two"))).await;
    assert_fault(&error, &TlsFault::ClientCertificate(untrusted));
    let named = tls(&fleet).server_name("cache.example");
    let error = failure(ring().tls(named).login(web("two"))).await;
    assert!(error.to_string().ends_with("is not for cache.example but for 127.0.0.1"), "{error}");

    // A request returns the error. So does a first write, which a node could take for a login.
    let client = connect(ring().tls(tls(&fleet))).await;
    for error in [client.get("k").await.unwrap_err(), set(&client, "k", "v").await.unwrap_err()] {
        assert!(error.to_string().ends_with("requires a login, and this client has none"));
    }
    for login in [web("tr0ub4dor"), Login::new("nobody", "two").unwrap()] {
        let (user, client) = (login.user().to_owned(), ring().tls(tls(&fleet)).login(login));
        let error = failure(client).await;
        let Error::Unauthenticated { user: Some(named), .. } = &error else { panic!("{error}") };
        assert_eq!(**named, user);
    }
    for node in 0..3 {
        let log = fleet.server(node).log();
        assert!(!log.contains("web two") && !log.contains("tr0ub4dor"), "{log}");
    }

    // The reverse: nodes without TLS and without a password.
    let mut plain = Fleet::new(1);
    let mut setup = plain.secure(0);
    (setup.files, setup.users) = (None, None);
    plain.start(0, &setup);
    assert_fault(&failure(through(&plain, 0).tls(tls(&plain))).await, &TlsFault::NotTls);
    let client = connect(through(&plain, 0).login(web("two"))).await;
    set(&client, "k", "v").await.unwrap();
    assert_eq!(text(client.get("auth").await), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_while_the_authority_is_replaced() {
    let mut fleet = Fleet::running(3, &["-o", "ssl_verify_mode=1"]);
    let keys = keys(&mut fleet.connect(0), 3);
    let file = fleet.dir().join("trusted.pem");
    fs::copy(&fleet.authority.file, &file).unwrap();
    let secure = |builder: Builder| {
        connect(builder.tls(Tls::new().ca_file(&file)).login(web("two")).connections(1))
    };
    let client = secure(Client::with_ring_file(fleet.ring())).await;
    let stale = secure(Client::with_ring_file(fleet.ring())).await;
    for key in &keys {
        set(&client, key, "1").await.unwrap();
        assert_eq!(text(stale.get(key).await).as_deref(), Some("1"));
    }

    // Another authority with the same name, like a renewed one, for nodes and clients.
    let place = fleet.dir().join("renewed");
    fs::create_dir(&place).unwrap();
    let renewed = Authority::new(&place, "authority");
    let setups: Vec<_> = (0..3).map(|node| fleet.secure(node)).collect();
    for (node, setup) in setups.iter().enumerate() {
        let files = setup.files.as_ref().unwrap();
        files.replace_by(&renewed.issue(&place, &format!("node-{node}"), &["127.0.0.1"]));
    }
    fs::copy(&renewed.file, &fleet.authority.file).unwrap();
    for node in 0..3 {
        process::signal(fleet.server(node).pid(), Signal::SIGHUP);
        await_log(fleet.server(node), "certificates reloaded");
    }
    for key in &keys {
        set(&client, key, "2").await.unwrap();
        assert_eq!(text(stale.get(key).await).as_deref(), Some("2"));
    }

    // A client that has to dial gets an error until it rereads its file.
    fleet.servers[0] = None;
    fleet.start(0, &setups[0]);
    for client in [&client, &stale] {
        assert_unknown(client, &keys[0]).await;
        assert_eq!(text(client.get(&keys[1]).await).as_deref(), Some("2"));
    }
    fs::copy(&renewed.file, &file).unwrap();
    client.reload_certificates().unwrap();
    await_set(&client, &keys[0], "3").await;
    assert_unknown(&stale, &keys[0]).await;
    // The nodes also connect to each other.
    let narrow = secure(through(&fleet, 1)).await;
    await_set(&narrow, &keys[0], "4").await;
    assert_eq!(text(client.get(&keys[0]).await).as_deref(), Some("4"));
    fleet.connect(0).tell(login("web", "two"), "STORED\r\n");
}

/// Waits until a client reports that a key's node has a certificate from an unknown authority.
async fn assert_unknown(client: &Client, key: &str) {
    let waited = tokio::time::timeout(wait::PATIENCE, async {
        loop {
            match client.get(key).await.expect_err("the node should not be trusted") {
                Error::Away { why: Absence::Tls(TlsFault::UnknownIssuer), .. } => break,
                // The old connection was closed, or the client pauses after a failed attempt.
                Error::Away { why: Absence::Closed | Absence::Resting, .. } => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                error => panic!("{error}"),
            }
        }
    });
    waited.await.expect("a word on the certificate");
}
