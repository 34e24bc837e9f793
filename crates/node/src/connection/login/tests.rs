//! Tests of connections beyond `-c` with a late worker: time passes while their data lies in the
//! sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::time::Instant;

use super::*;
use crate::connection;
use crate::net::connections::{Origin, Remote, Ticket};
use crate::net::socket::Accepted;
use crate::security::guards::Guards;
use crate::server;
use crate::settings::{PeerTls, of_flags};
use crate::worker::shared::Shared;
use crate::worker::state::Local;

const FULL: &str = "ERROR Too many open connections\r\n";
const GREETING: &[u8] = b"ring greet b 1.0000000000000000\r\n";

/// A node of a ring whose only client slot is taken.
struct FullNode {
    runtime: LocalRuntime,
    shared: Arc<Shared>,
    listener: TcpListener,
    _client: Ticket,
}

impl FullNode {
    fn new(flags: &[&str]) -> FullNode {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring.toml");
        let node = |name: &str, port: u16| {
            format!("[[node]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\n")
        };
        let ring = format!("version = 1\n{}{}", node("a", 1), node("b", 2));
        std::fs::write(&path, ring).unwrap();
        let ring = ["-c", "1", "--node", "a", "--ring", path.to_str().unwrap()];
        let settings = of_flags(&[&ring, flags].concat());
        let guards = Guards::default();
        let dialer = crate::ring::Dialer::new(&guards, PeerTls::Off, Vec::new());
        let started = crate::ring::start(settings.ring.as_ref().unwrap(), dialer).unwrap();
        let shared = server::prepare(settings, guards, Some(started.node), 1000);
        let client = shared.connections.open(Remote::Unix, 0, || Origin::Client).unwrap();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        FullNode { runtime, shared, listener, _client: client }
    }

    /// A connection from an address of the ring, which the worker has not read yet.
    fn accept(&self) -> (TcpStream, Accepted, Ticket) {
        let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (ours, from) = self.listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let peer = Remote::Tcp { from, to: ours.local_addr().unwrap() };
        let origin = || Origin::Neighbour(from.ip());
        let ticket = self.shared.connections.open(peer, 0, origin).unwrap();
        (theirs, Accepted::Tcp(ours), ticket)
    }

    /// Lets the time limit for proofs pass.
    fn let_time_pass(&self) {
        self.shared.connections.expire(Instant::now() + Duration::from_secs(60));
    }

    /// Serves a connection until `theirs` has read a line. `nap` runs unseen by the worker, after
    /// it has answered a question.
    fn serve(
        &self,
        (mut theirs, ours, ticket): (TcpStream, Accepted, Ticket),
        nap: Option<&dyn Fn(&mut TcpStream)>,
    ) -> String {
        self.runtime.block_on(async {
            let local = Rc::new(Local::new(Arc::clone(&self.shared), 0));
            let served = tokio::task::spawn_local(connection::run(local, ours, ticket));
            if let Some(nap) = nap {
                theirs.write_all(b"ring nonce\r\n").unwrap();
                theirs = line(theirs).await.0;
                nap(&mut theirs);
            }
            let (theirs, line) = line(theirs).await;
            drop(theirs);
            served.await.unwrap();
            line
        })
    }
}

/// Reads a line on a thread of its own, so that the worker has its turns.
async fn line(mut stream: TcpStream) -> (TcpStream, String) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") && stream.read(&mut byte).unwrap() > 0 {
            line.extend_from_slice(&byte);
        }
        (stream, String::from_utf8(line).unwrap())
    });
    reading.await.unwrap()
}

fn both() -> [FullNode; 2] {
    [FullNode::new(&[]), FullNode::new(&["-o", "no_maxconns_fast"])]
}

#[test]
fn a_node_that_nobody_has_read_has_its_time_before_it() {
    for node in both() {
        let mut accepted = node.accept();
        accepted.0.write_all(GREETING).unwrap();
        node.let_time_pass();
        assert_eq!(accepted.2.slot_state(), SlotState::Unproved);
        let line = node.serve(accepted, None);
        assert!(line.starts_with("PEER a "), "{line}");
    }
}

#[test]
fn what_has_arrived_by_the_end_of_its_time_counts() {
    for node in both() {
        let line = node.serve(
            node.accept(),
            Some(&|theirs| {
                theirs.write_all(GREETING).unwrap();
                node.let_time_pass();
            }),
        );
        assert!(line.starts_with("PEER a "), "{line}");
    }
}

#[test]
fn the_end_of_its_time_is_the_end_of_one_that_has_proved_nothing() {
    for sent in ["", "ring nonce\r\n", "ring greet nobody 1.0000000000000000\r\n", "get a\r\n"] {
        let node = FullNode::new(&[]);
        let line = node.serve(
            node.accept(),
            Some(&|theirs| {
                theirs.write_all(sent.as_bytes()).unwrap();
                node.let_time_pass();
            }),
        );
        assert_eq!(line, FULL, "{sent:?}");
    }
}

#[test]
fn one_that_waits_for_a_place_of_the_clients_may_prove_that_it_is_a_node() {
    let node = FullNode::new(&["-o", "no_maxconns_fast"]);
    let line = node.serve(
        node.accept(),
        Some(&|theirs| {
            node.let_time_pass();
            theirs.write_all(GREETING).unwrap();
        }),
    );
    assert!(line.starts_with("PEER a "), "{line}");
    assert_eq!(node.shared.connections.suspended(), 1, "it waited");
}
