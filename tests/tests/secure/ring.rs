//! Tests of rings whose nodes use TLS and authenticate to each other.

use rcgen::ExtendedKeyUsagePurpose;
use ringbinder_tests::wait;

use super::await_log;
use super::certs::Authority;
use super::client::{Client, Dial};
use super::fleet::{Fleet, Setup, keys};

#[test]
fn a_ring_that_is_encrypted_and_authenticated_forwards() {
    let fleet = Fleet::running(3, &["-o", "ssl_verify_mode=1"]);
    let mut clients: Vec<Client> = (0..3).map(|node| fleet.connect(node)).collect();
    let keys = keys(&mut clients[0], 3);
    let large = "v".repeat(300_000);
    for (node, client) in clients.iter_mut().enumerate() {
        for key in &keys {
            client.talk(format!("set {key} {node} 0 1\r\nx\r\n"), "STORED\r\n");
            client.talk(format!("set large-{key} 0 0 300000\r\n{large}\r\n"), "STORED\r\n");
        }
        client.talk(
            format!("mg {} v\r\nincr {} 1\r\n", keys[1], keys[2]),
            "VA 1\r\nx\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        );
    }
    for client in &mut clients {
        let all: String = keys.iter().map(|key| format!("VALUE {key} 2 1\r\nx\r\n")).collect();
        client.talk(format!("get {}\r\n", keys.join(" ")), all + "END\r\n");
        for key in &keys {
            client.talk(
                format!("get large-{key}\r\n"),
                format!("VALUE large-{key} 0 300000\r\n{large}\r\nEND\r\n"),
            );
        }
    }
    // No node accepts a plain-text connection.
    let mut plain = Client::plain(fleet.address(0));
    plain.send("get a\r\n");
    let (answer, _) = plain.try_rest();
    assert!(answer.starts_with(b"CLIENT_ERROR this port speaks TLS only"));
    for node in 0..3 {
        let log = fleet.server(node).log();
        assert!(!log.contains("secret"), "{log}");
    }
}

/// Starts a good node and one with different settings, and waits until the good node logs `line` about it.
#[track_caller]
pub(crate) fn misfit(adjust: impl FnOnce(&Fleet, &mut Setup), line: &str) -> Fleet {
    let mut fleet = Fleet::new(2);
    let (good, mut other) = (fleet.secure(0), fleet.secure(1));
    adjust(&fleet, &mut other);
    fleet.start(0, &good);
    fleet.start(1, &other);
    let whole = format!("WARN the node cache-1 (127.0.0.1:{}) is away: {line}", fleet.ports[1]);
    await_log(fleet.server(0), &whole);
    let mut client = fleet.connect(0);
    let keys = keys(&mut client, 2);
    client.talk(format!("get {}\r\n", keys[1]), "END\r\n");
    let away = "SERVER_ERROR the node that owns this key does not answer\r\n";
    client.talk(format!("set {} 0 0 1\r\nx\r\n", keys[1]), away);
    let log = fleet.server(0).log();
    assert_eq!(log.matches(line).count(), 1, "the line comes once:\n{log}");
    fleet
}

#[test]
fn a_wrong_password_is_named() {
    let fleet = misfit(
        |fleet, other| other.users = fleet.users("others", "ring:another\n"),
        "it refuses the first user of this node's -Y file: give all nodes the same file; its keys miss",
    );
    await_log(fleet.server(1), "did not authenticate: its user or its password is not in");
}

#[test]
fn an_expired_certificate_is_named() {
    misfit(
        |fleet, other| {
            let files = fleet.authority.issue_expired(fleet.dir(), "ended", &["127.0.0.1"]);
            other.files = Some(files);
        },
        "TLS with it failed: its certificate, or one above it, expired on 2021-01-01; its keys miss",
    );
}

#[test]
fn an_unknown_authority_is_named_on_both_sides() {
    let fleet = misfit(
        |fleet, other| {
            let stranger = Authority::new(fleet.dir(), "stranger");
            other.files = Some(stranger.issue(fleet.dir(), "strange", &["127.0.0.1"]));
        },
        "TLS with it failed: its certificate is from an authority that is not trusted here (ssl_ca_cert)",
    );
    await_log(fleet.server(1), "it refuses the certificate that it was shown, which is of an");
}

#[test]
fn another_name_is_named() {
    misfit(
        |fleet, other| {
            let files = fleet.authority.issue(fleet.dir(), "named", &["10.9.8.7", "elsewhere"]);
            other.files = Some(files);
        },
        "TLS with it failed: its certificate is not for 127.0.0.1 but for",
    );
}

#[test]
fn a_certificate_for_servers_only_is_named_where_nodes_ask_for_one() {
    let mut fleet = Fleet::new(2);
    let purpose = ExtendedKeyUsagePurpose::ServerAuth;
    let mut asks = fleet.secure(1);
    asks.more = vec!["-o".into(), "ssl_verify_mode=2".into()];
    let mut shows = fleet.secure(0);
    shows.files = Some(fleet.authority.issue_for(fleet.dir(), "half", &["127.0.0.1"], purpose));
    fleet.start(0, &shows);
    fleet.start(1, &asks);
    await_log(
        fleet.server(0),
        "TLS with it failed: it refuses the certificate that it was shown, which is not made for",
    );
    await_log(fleet.server(1), "its certificate is not valid for this use");
}

#[test]
fn a_peer_without_tls_is_named_and_one_with_nothing_else() {
    misfit(
        |_, other| {
            other.files = None;
            other.users = None;
        },
        "it speaks no TLS: start it with -Z, or this node with --peer-tls off; its keys miss",
    );
    let mut fleet = Fleet::new(2);
    let (mut plain, secure) = (fleet.secure(0), fleet.secure(1));
    (plain.files, plain.users) = (None, None);
    fleet.start(0, &plain);
    fleet.start(1, &secure);
    await_log(
        fleet.server(0),
        "it speaks TLS only: start it without -Z, or this node with --peer-tls on",
    );
}

#[test]
fn a_peer_that_asks_for_a_password_is_named() {
    let mut fleet = Fleet::new(2);
    let (mut open, closed) = (fleet.secure(0), fleet.secure(1));
    open.users = None;
    fleet.start(0, &open);
    fleet.start(1, &closed);
    await_log(fleet.server(0), "it asks for a password: start this node with the same -Y file");
}

#[test]
fn a_ring_goes_over_to_tls_node_by_node() {
    let mut fleet = Fleet::new(2);
    let setup = |fleet: &Fleet, node: usize, prefix: Option<&'static str>| {
        let mut setup = fleet.secure(node);
        setup.users = None;
        match prefix {
            Some(prefix) => setup.prefix = prefix,
            None => setup.files = None,
        }
        setup
    };
    let connect = |fleet: &Fleet, node: usize, tls: bool| {
        if tls {
            Dial::trusting(&fleet.authority.file).connect(fleet.address(node)).unwrap()
        } else {
            Client::plain(fleet.address(node))
        }
    };
    // Plain, then both, then TLS. At each step the nodes reach each other, and the clients that may exist at
    // that time are served.
    let steps: [[Option<&'static str>; 2]; 5] = [
        [None, None],
        [Some("opttls:"), None],
        [Some("opttls:"), Some("opttls:")],
        [Some(""), Some("opttls:")],
        [Some(""), Some("")],
    ];
    let mut before: [Option<Option<&'static str>>; 2] = [None, None];
    for step in steps {
        for node in 0..2 {
            if before[node] != Some(step[node]) {
                fleet.servers[node] = None;
                let setup = setup(&fleet, node, step[node]);
                fleet.start(node, &setup);
                before[node] = Some(step[node]);
            }
        }
        for (node, tls) in step.iter().enumerate() {
            let mut client = connect(&fleet, node, tls.is_some());
            fleet.await_up(&mut client, 1 - node);
            let keys = keys(&mut client, 2);
            for key in &keys {
                wait::until("both keys to be served", || {
                    let answer = client.ask_text(&format!("set {key} 0 0 1\r\nx\r\n"));
                    (answer == "STORED\r\n").then_some(())
                });
                client.talk(format!("get {key}\r\n"), format!("VALUE {key} 0 1\r\nx\r\nEND\r\n"));
            }
        }
    }
}
