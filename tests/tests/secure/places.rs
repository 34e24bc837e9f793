//! Tests of the slots for nodes that are recognised by their certificates. The ring lists the nodes on
//! 127.0.0.2, and they connect from 127.0.0.1.

use std::fs;

use ringbinder_tests::wait;

use super::certs::write;
use super::client::{Client, Dial, login};
use super::fleet::{Fleet, Setup, keys};

const FULL: &str = "ERROR Too many open connections\r\n";

/// Settings of a node with two client slots and a certificate for both addresses. It requires certificates.
fn setup(fleet: &Fleet, node: usize) -> Setup {
    let name = format!("both-{node}");
    let files = fleet.authority.issue(fleet.dir(), &name, &["127.0.0.1", "127.0.0.2"]);
    let more = ["-l", "mtls:127.0.0.2", "-c", "2"].map(String::from).to_vec();
    Setup { files: Some(files), prefix: "mtls:", more, ..fleet.secure(node) }
}

/// A client that has logged in. `None` if it gets no slot.
fn client(fleet: &Fleet, node: usize) -> Option<Client> {
    let mut client = fleet.connect(node);
    client.send("version\r\n");
    let answer = client.take(8);
    if answer != b"VERSION " {
        return None;
    }
    client.ask("");
    Some(client)
}

fn count(client: &mut Client, name: &str) -> usize {
    let stats = client.ask_text("stats\r\n");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {stats}"))
}

#[test]
fn a_node_is_known_by_its_certificate_and_no_client_is() {
    let mut fleet = Fleet::new(2);
    let file = fleet.dir().join("ring.toml");
    let ring = fs::read_to_string(&file).expect("a ring file");
    write(&file, &ring.replace("127.0.0.1:", "127.0.0.2:"));
    for node in [0, 1] {
        let setup = setup(&fleet, node);
        fleet.start(node, &setup);
    }
    let mut held = Vec::new();
    wait::until("both places of node 1 to be taken", || {
        while held.len() < 2 {
            held.push(client(&fleet, 1)?);
        }
        Some(())
    });
    fleet.servers[0] = None;
    let again = setup(&fleet, 0);
    fleet.start(0, &again);
    let mut other = wait::until("a place at node 0", || client(&fleet, 0));
    fleet.await_up(&mut other, 1);
    let keys = keys(&mut other, 2);
    for key in &keys {
        other.talk(format!("set {key} 0 0 1\r\nx\r\n"), "STORED\r\n");
    }
    assert!(count(&mut held[0], "peer_connections") >= 1);
    assert_eq!(count(&mut held[0], "curr_connections"), 2);
    // A client certificate is valid, but it is not for the host of a node.
    let greeting = "ring greet cache-0 1.0000000000000000\r\n";
    let mut posing = fleet.connect(1);
    posing.send(greeting);
    let (answer, _) = posing.try_rest();
    assert_eq!(String::from_utf8_lossy(&answer), FULL);
    let before = count(&mut held[0], "peer_connections");
    held[1].send(greeting);
    assert!(held[1].take(12).starts_with(b"PEER cache-1"));
    assert_eq!(count(&mut held[0], "peer_connections"), before);
    // Any holder of a node's certificate counts as that node.
    let files = setup(&fleet, 0).files.expect("a certificate");
    let mut node = Dial::trusting(&fleet.authority.file)
        .showing(&files)
        .connect(fleet.address(1))
        .expect("a handshake beyond -c");
    node.tell(login("web", "two"), "STORED\r\n");
    node.send(greeting);
    assert!(node.take(12).starts_with(b"PEER cache-1"));
    assert_eq!(count(&mut held[0], "peer_connections"), before + 1);
}
