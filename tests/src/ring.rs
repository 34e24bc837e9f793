//! Several nodes with a ring. Each has its own ring file, and a port that is known before it starts.
//!
//! Ring files are changed as an operator's tool does: the new text goes to another file, which is then
//! renamed. Tests wait for the effect in the node's own `stats ring`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;

use nix::sys::signal::Signal;
use rand::Rng as _;
use tempfile::TempDir;

use crate::conn::Conn;
use crate::process;
use crate::relay::{self, Relay};
use crate::server::{Kind, Server, scratch};
use crate::wait;

/// Time for which nodes wait for their peers' answers, in milliseconds. It is long, so that a peer on a
/// loaded machine does not seem unreachable.
pub const PEER_TIMEOUT: &str = "5000";

/// The ports that this process has reserved.
static RESERVED: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// Reserves a free port of 127.0.0.1.
///
/// The port is below the system's range for outgoing connections, so it stays free until a node takes it, and
/// while a node is restarted.
///
/// # Panics
/// If there is no free port.
pub fn reserve_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let low = range.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let low = low.filter(|&low: &u16| low > 20_000).unwrap_or(32_768);
    let mut rng = rand::rng();
    for _ in 0..1000 {
        let port = rng.random_range(12_000..low);
        let mut reserved = RESERVED.lock().expect("no test fails in here");
        if TcpListener::bind(local(port)).is_ok() && reserved.get_or_insert_default().insert(port) {
            return port;
        }
    }
    panic!("no free port below {low}");
}

/// An address on 127.0.0.1.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A ring file with a version, and the name, port and weight of each node.
pub fn ring_file<'a>(version: u64, nodes: impl IntoIterator<Item = (&'a str, u16, u32)>) -> String {
    let mut text = format!("version = {version}\nhash = \"ketama\"\n");
    for (name, port, weight) in nodes {
        text.push_str(&format!(
            "\n[[node]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nweight = {weight}\n"
        ));
    }
    text
}

/// One node of a [`Fleet`].
struct Place {
    name: String,
    /// The port in the ring.
    port: u16,
    /// The relay on that port, and the port on which the node itself listens.
    relay: Option<(Relay, u16)>,
    file: PathBuf,
    server: Option<Server>,
}

/// Nodes with ring files. A node is identified by its index, and called `cache-<index>` in rings.
pub struct Fleet {
    places: Vec<Place>,
    dir: TempDir,
}

impl Fleet {
    /// Creates `count` nodes with ports. None of them runs.
    pub fn new(count: usize) -> Fleet {
        let dir = scratch();
        let place = |index| Place {
            name: format!("cache-{index}"),
            port: reserve_port(),
            relay: None,
            file: dir.path().join(format!("ring-{index}.toml")),
            server: None,
        };
        Fleet { places: (0..count).map(place).collect(), dir }
    }

    /// Starts `count` nodes in a ring of version 1, and waits until they have settled.
    pub fn running(count: usize, arguments: &[&str]) -> Fleet {
        let mut fleet = Fleet::new(count);
        let all: Vec<usize> = (0..count).collect();
        fleet.launch(&all, &fleet.ring(1, &all), arguments);
        fleet.await_settled(&all, 1);
        fleet
    }

    /// Writes the ring to the files of these nodes and starts them.
    pub fn launch(&mut self, nodes: &[usize], ring: &str, arguments: &[&str]) {
        for &node in nodes {
            self.write(node, ring);
            self.start(node, arguments);
        }
    }

    /// A ring of these nodes, each with weight 1.
    pub fn ring(&self, version: u64, nodes: &[usize]) -> String {
        let weighted: Vec<_> = nodes.iter().map(|&node| (node, 1)).collect();
        self.weighted(version, &weighted)
    }

    /// A ring of these nodes with these weights.
    pub fn weighted(&self, version: u64, nodes: &[(usize, u32)]) -> String {
        let entry = |&(node, weight): &(usize, u32)| {
            let place = &self.places[node];
            (place.name.as_str(), place.port, weight)
        };
        ring_file(version, nodes.iter().map(entry))
    }

    /// Replaces a node's ring file atomically.
    pub fn write(&self, node: usize, ring: &str) {
        let file = &self.places[node].file;
        let temporary = file.with_extension("new");
        fs::write(&temporary, ring).expect("a temp file");
        fs::rename(&temporary, file).expect("a rename");
    }

    /// Removes a node's ring file.
    pub fn remove_file(&self, node: usize) {
        fs::remove_file(&self.places[node].file).expect("a file");
    }

    /// Writes a file beside the ring files.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a temp file");
        path.to_str().expect("a plain path").to_owned()
    }

    /// The path of a file beside the ring files, which may not exist.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// Starts a node. It waits for its peers for [`PEER_TIMEOUT`], unless the arguments override that.
    pub fn start(&mut self, node: usize, arguments: &[&str]) {
        let file = self.places[node].file.to_str().expect("a plain path").to_owned();
        self.start_with(node, &file, arguments, |_| {});
    }

    /// Like [`Fleet::start`], with another source of the ring. `adjust` may change the command.
    pub fn start_with(
        &mut self,
        node: usize,
        ring: &str,
        arguments: &[&str],
        adjust: impl FnOnce(&mut Command),
    ) {
        let place = &mut self.places[node];
        let port = place.relay.as_ref().map_or(place.port, |(_, port)| *port).to_string();
        let mut all = vec!["-l", "127.0.0.1", "-p", &port, "-t", "2", "--ring", ring];
        if place.relay.is_some() {
            all.extend_from_slice(&["--node", &place.name]);
        }
        if !arguments.contains(&"--peer-timeout") {
            all.extend_from_slice(&["--peer-timeout", PEER_TIMEOUT]);
        }
        all.extend_from_slice(arguments);
        place.server = Some(Server::start_on(Kind::Ringbinder, &all, adjust));
    }

    /// Puts a relay in front of every node, before any of them runs. Test clients connect to the nodes
    /// directly, and nodes connect to each other through the relays.
    pub fn put_relays(&mut self) {
        for place in &mut self.places {
            let port = reserve_port();
            place.relay = Some((Relay::start(place.port, port), port));
        }
    }

    /// The relay in front of a node.
    pub fn relay(&self, node: usize) -> &Relay {
        &self.places[node].relay.as_ref().expect("a relay").0
    }

    /// Holds or releases all traffic between a node and the others, in both directions.
    pub fn cut_off(&self, node: usize, cut: bool) {
        for (place, other) in self.places.iter().zip(0..) {
            let (relay, _) = place.relay.as_ref().expect("a relay");
            let from = if other == node { relay::ALL } else { self.name(node) };
            relay.hold(from, cut);
        }
    }

    /// Sends a node a signal and waits for its end. Returns its exit status and its log.
    pub fn end(&mut self, node: usize, signal: Signal) -> (ExitStatus, String) {
        let mut server = self.places[node].server.take().expect("a running node");
        (server.stop(signal), server.log())
    }

    /// Starts another process in place of a running node, and waits for the end of the old one, which the new
    /// one must cause.
    pub fn replace(&mut self, node: usize, arguments: &[&str]) -> ExitStatus {
        let mut old = self.places[node].server.take().expect("a running node");
        self.start(node, arguments);
        old.wait()
    }

    /// The directory of the ring files, which every node may write to.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A node's ring file.
    pub fn ring_path(&self, node: usize) -> &Path {
        &self.places[node].file
    }

    /// Kills a node and waits for its end.
    pub fn kill(&mut self, node: usize) {
        let mut server = self.places[node].server.take().expect("a running node");
        server.stop(Signal::SIGKILL);
    }

    /// Stops a node like an operator and waits for its end.
    pub fn stop(&mut self, node: usize) {
        let mut server = self.places[node].server.take().expect("a running node");
        let status = server.stop(Signal::SIGTERM);
        assert!(status.success(), "{status}: {}", server.log());
    }

    /// Sends a signal to a node.
    pub fn signal(&self, node: usize, signal: Signal) {
        process::signal(self.server(node).pid(), signal);
    }

    /// Pauses a node's threads, as on a machine that hangs. Its connections stay open.
    pub fn pause(&self, node: usize) -> Paused {
        let pid = self.server(node).pid();
        process::signal(pid, Signal::SIGSTOP);
        wait::until("the node to stand still", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.trim_start().starts_with('T').then_some(())
        });
        Paused { pid }
    }

    /// The logs of all running nodes since their start, for a failing test.
    pub fn logs(&self) -> String {
        let running = self.places.iter().filter_map(|place| Some((place, place.server.as_ref()?)));
        running.map(|(place, server)| format!("--- {}\n{}", place.name, server.log())).collect()
    }

    /// A running node.
    pub fn server(&self, node: usize) -> &Server {
        self.places[node].server.as_ref().expect("a running node")
    }

    /// A node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.places[node].name
    }

    /// A node's port.
    pub fn port(&self, node: usize) -> u16 {
        self.places[node].port
    }

    /// A new connection to a node.
    pub fn connect(&self, node: usize) -> Conn {
        self.server(node).connect()
    }

    /// A node's `stats ring`.
    pub fn stats(&self, node: usize) -> HashMap<String, String> {
        let text = self.connect(node).ask_text("stats ring\r\n");
        let entry = |line: &str| {
            let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        };
        text.lines().filter_map(entry).collect()
    }

    /// One line of a node's `stats ring`.
    pub fn stat(&self, node: usize, name: &str) -> String {
        let mut stats = self.stats(node);
        stats.remove(name).unwrap_or_else(|| panic!("no {name} in stats ring: {stats:?}"))
    }

    /// One line of a node's `stats ring`, as a number.
    pub fn count(&self, node: usize, name: &str) -> u64 {
        let value = self.stat(node, name);
        value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}"))
    }

    /// Waits until a line of `stats ring` satisfies `wanted`, and returns it.
    pub fn await_stat(&self, node: usize, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let what = format!("{name} of node {node}");
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(&what, || {
                last = self.stat(node, name);
                wanted(&last).then(|| last.clone())
            })
        }));
        waited.unwrap_or_else(|_| {
            panic!("{what} stayed {last}: {:?}\n{}", self.stats(node), self.server(node).log())
        })
    }

    /// Waits until these nodes hold a ring of this version.
    pub fn await_version(&self, nodes: &[usize], version: u64) {
        for &node in nodes {
            self.await_stat(node, "ring_version", |value| value == version.to_string());
        }
    }

    /// Waits until these nodes hold a ring of this version, wait for no other node, and know that the others
    /// of them are up.
    pub fn await_settled(&self, nodes: &[usize], version: u64) {
        self.await_version(nodes, version);
        for &node in nodes {
            self.await_stat(node, "ring_settled", |value| value == "yes");
            let stats = self.stats(node);
            for peer in nodes {
                let state = format!("peer:{}:state", self.name(*peer));
                if stats.contains_key(&state) {
                    self.await_stat(node, &state, |state| state == "up");
                }
            }
        }
    }

    /// The owner of a key, as reported by `node`.
    pub fn owner(&self, node: usize, key: &str) -> usize {
        owner(&mut self.connect(node), key)
    }

    /// `count` keys that begin with `prefix` and belong to `owned_by`, as reported by `node`.
    pub fn keys_of(&self, node: usize, owned_by: usize, prefix: &str, count: usize) -> Vec<String> {
        let mut conn = self.connect(node);
        let keys = (0..10_000).map(|number| format!("{prefix}{number}"));
        let keys: Vec<_> =
            keys.filter(|key| owner(&mut conn, key) == owned_by).take(count).collect();
        assert_eq!(keys.len(), count, "node {owned_by} owns too few keys");
        keys
    }
}

/// The owner of a key, as reported by the connected node.
///
/// # Panics
/// If the answer is not the name of a node of a [`Fleet`].
pub fn owner(conn: &mut Conn, key: &str) -> usize {
    let answer = conn.ask_text(&format!("ring owner {key}\r\n"));
    let name = answer.strip_prefix("OWNER cache-").and_then(|rest| rest.split(' ').next());
    name.and_then(|index| index.parse().ok()).unwrap_or_else(|| panic!("{key}: {answer}"))
}

/// A node whose threads are paused until this is dropped.
pub struct Paused {
    pid: u32,
}

impl Drop for Paused {
    fn drop(&mut self) {
        process::signal(self.pid, Signal::SIGCONT);
    }
}
