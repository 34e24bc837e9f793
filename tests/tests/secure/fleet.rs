//! A ring whose nodes require TLS and a password.

use std::net::SocketAddr;
use std::path::Path;

use ringbinder_tests::ring::{PEER_TIMEOUT, local, reserve_port, ring_file};
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Kind, Server, wait};
use tempfile::TempDir;

use super::certs::{Authority, Files, write};
use super::client::{Client, Dial, login};

/// The nodes of a ring, named `cache-0` and so on.
pub(crate) struct Fleet {
    dir: TempDir,
    pub(crate) authority: Authority,
    /// A client certificate from the same authority.
    pub(crate) certificate: Files,
    pub(crate) ports: Vec<u16>,
    pub(crate) servers: Vec<Option<Server>>,
}

/// The settings of one node.
pub(crate) struct Setup {
    pub(crate) files: Option<Files>,
    pub(crate) users: Option<String>,
    pub(crate) prefix: &'static str,
    pub(crate) more: Vec<String>,
}

impl Fleet {
    pub(crate) fn new(count: usize) -> Fleet {
        let dir = scratch();
        let authority = Authority::new(dir.path(), "authority");
        let ports: Vec<u16> = (0..count).map(|_| reserve_port()).collect();
        let names: Vec<String> = (0..count).map(|node| format!("cache-{node}")).collect();
        let nodes = names.iter().zip(&ports).map(|(name, port)| (name.as_str(), *port, 1));
        write(&dir.path().join("ring.toml"), &ring_file(1, nodes));
        let certificate = authority.issue(dir.path(), "client", &["client"]);
        let servers = (0..count).map(|_| None).collect();
        Fleet { dir, authority, certificate, ports, servers }
    }

    /// Starts `count` secure nodes with these additional arguments, and waits until they are connected.
    pub(crate) fn running(count: usize, more: &[&str]) -> Fleet {
        let mut fleet = Fleet::new(count);
        for node in 0..count {
            let more = more.iter().map(ToString::to_string).collect();
            let setup = Setup { more, ..fleet.secure(node) };
            fleet.start(node, &setup);
        }
        for node in 0..count {
            let mut client = fleet.connect(node);
            for peer in (0..count).filter(|peer| *peer != node) {
                fleet.await_up(&mut client, peer);
            }
        }
        fleet
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ring file of all nodes.
    pub(crate) fn ring(&self) -> String {
        self.dir().join("ring.toml").display().to_string()
    }

    /// Writes a file of users.
    pub(crate) fn users(&self, name: &str, text: &str) -> Option<String> {
        Some(write(&self.dir().join(name), text).display().to_string())
    }

    /// Settings of a node with a certificate and the common users.
    pub(crate) fn secure(&self, node: usize) -> Setup {
        let name = format!("node-{node}");
        Setup {
            files: Some(self.authority.issue(self.dir(), &name, &["127.0.0.1"])),
            users: self.users("users", "ring:secret one\nweb:two\n"),
            prefix: "",
            more: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, node: usize, setup: &Setup) {
        let port = self.ports[node].to_string();
        let ring = self.ring();
        let listen = format!("{}127.0.0.1", setup.prefix);
        let mut all = vec!["-t", "2", "-p", &port, "--ring", &ring, "-l", &listen];
        let options = setup.files.as_ref().map(Files::options);
        if let Some(options) = &options {
            all.extend(["-Z", "-o", options]);
        }
        if let Some(users) = &setup.users {
            all.extend(["-Y", users]);
        }
        all.extend(setup.more.iter().map(String::as_str));
        if !all.contains(&"--peer-timeout") {
            all.extend(["--peer-timeout", PEER_TIMEOUT]);
        }
        self.servers[node] = Some(Server::start_on(Kind::Ringbinder, &all, |_| {}));
    }

    pub(crate) fn server(&self, node: usize) -> &Server {
        self.servers[node].as_ref().expect("a running node")
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        local(self.ports[node])
    }

    /// A client with TLS that has logged in. It sends its certificate if the node asks for one.
    pub(crate) fn connect(&self, node: usize) -> Client {
        let dial = Dial::trusting(&self.authority.file).showing(&self.certificate);
        let mut client = dial.connect(self.address(node)).unwrap();
        client.tell(login("web", "two"), "STORED\r\n");
        client
    }

    /// Waits until a node reports the other one as up.
    pub(crate) fn await_up(&self, client: &mut Client, node: usize) {
        wait::until("the nodes to know each other", || {
            let stats = client.ask_text("stats ring\r\n");
            let up = format!("STAT peer:cache-{node}:state up\r\n");
            let known = !stats.contains(&format!("STAT peer:cache-{node}:ring -"));
            (stats.contains(&up) && known && stats.contains("STAT ring_settled yes")).then_some(())
        });
    }
}

/// A key of each node.
pub(crate) fn keys(client: &mut Client, count: usize) -> Vec<String> {
    let mut keys = vec![None; count];
    for key in (0..1000).map(|number| format!("key-{number}")) {
        let answer = client.ask_text(&format!("ring owner {key}\r\n"));
        let owner = answer.strip_prefix("OWNER cache-").and_then(|rest| rest.split(' ').next());
        let owner: usize = owner.and_then(|owner| owner.parse().ok()).expect("an owner");
        keys[owner].get_or_insert(key);
    }
    keys.into_iter().map(|key| key.expect("a key of each node")).collect()
}
