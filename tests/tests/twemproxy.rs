//! Tests of twemproxy (nutcracker) in front of nodes: every key that it forwards reaches the node that owns
//! it by the ring.
//!
//! That requires `distribution: ketama` with `hash: md5`. For a server with a name, twemproxy hashes the
//! name. For one without, it hashes `host:port`, or `host` if the port is 11211. So servers without names
//! need the addresses of the ring file. With names, as here, servers at any address can represent any ring.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ringbinder_ring::{Format, Node, NodeIndex, Ring};
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Conn, Kind, Server, wait};
use tempfile::TempDir;

/// The paths of the program: Debian's, and the PATH.
const PROGRAMS: [&str; 2] = ["/usr/sbin/nutcracker", "nutcracker"];

/// Number of keys of each kind.
const KEYS: usize = 1000;

/// Keys in one request.
const BATCH: usize = 50;

/// A running nutcracker that listens on a socket in its own directory.
struct Proxy {
    child: Child,
    dir: TempDir,
}

impl Proxy {
    /// Starts nutcracker in front of these servers, each in the format of its configuration.
    fn start(program: &Path, hash: &str, servers: &[String]) -> Proxy {
        // It cannot choose a free port for its statistics, so another program may take the port first.
        (0..10)
            .find_map(|_| Proxy::try_start(program, hash, servers))
            .expect("a port for nutcracker's figures")
    }

    fn try_start(program: &Path, hash: &str, servers: &[String]) -> Option<Proxy> {
        let dir = TempDir::with_prefix("ringbinder-test-").expect("a temp directory");
        let socket = dir.path().join("proxy");
        let servers: String = servers.iter().map(|server| format!("   - {server}\n")).collect();
        let config = format!(
            "pool:\n  listen: {}\n  hash: {hash}\n  distribution: ketama\n  servers:\n{servers}",
            socket.display()
        );
        fs::write(dir.path().join("config"), config).expect("a file of ours");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-s", &port.to_string(), "-c", "config"])
            .args(["-o", "log", "-p", "pid"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nutcracker can be started");
        let mut proxy = Proxy { child, dir };
        wait::until("nutcracker to listen", || {
            if proxy.child.try_wait().expect("waiting for a child").is_some() {
                let log = proxy.log();
                assert!(log.contains("Address already in use"), "nutcracker ended:\n{log}");
                return Some(false);
            }
            Conn::unix(&socket).is_ok().then_some(true)
        })
        .then_some(proxy)
    }

    fn connect(&self) -> Conn {
        Conn::unix(&self.dir.path().join("proxy")).expect("a proxy that listens")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nutcracker's path. `None` if it is not installed.
fn nutcracker(test: &str) -> Option<PathBuf> {
    let works = |program: &&&str| {
        let mut command = Command::new(program);
        command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let found = PROGRAMS.iter().find(works).map(PathBuf::from);
    if found.is_none() {
        skip(test, "nutcracker (twemproxy) is not installed");
    }
    found
}

/// Starts nodes without a ring, which store any key.
fn start_nodes(count: usize) -> Vec<Server> {
    (0..count).map(|_| Server::start(Kind::Ringbinder, &[])).collect()
}

/// Short keys, long keys, and keys that are not text.
fn keys() -> Vec<Vec<u8>> {
    let numbered = (0..KEYS).map(|n| format!("key:{n}").into_bytes());
    let named = (0..KEYS).map(|n| format!("schlüssel/{n}/鍵").into_bytes());
    let long = (1..=250).map(|len| b"0123456789".repeat(25)[..len].to_vec());
    let bytes = (0x80..=0xff).map(|byte| vec![byte; 3]);
    numbered.chain(named).chain(long).chain(bytes).collect()
}

/// Sets every key through the proxy. Returns the node that received each.
fn owners(proxy: &Proxy, nodes: &[Server], keys: &[Vec<u8>]) -> Vec<NodeIndex> {
    let mut conns: Vec<Conn> = nodes.iter().map(Server::connect).collect();
    for conn in &mut conns {
        conn.talk("flush_all\r\n", "OK\r\n");
    }
    let mut through = proxy.connect();
    for keys in keys.chunks(BATCH) {
        let sets = keys.iter().map(|key| [b"set ", &key[..], b" 0 0 1\r\nx\r\n"].concat());
        through.send(sets.collect::<Vec<_>>().concat());
        let answers = through.take(keys.len() * "STORED\r\n".len());
        assert_eq!(answers, b"STORED\r\n".repeat(keys.len()), "{}", proxy.log());
    }
    keys.iter()
        .map(|key| {
            let get = [b"get ", &key[..], b"\r\n"].concat();
            let mut holders = (0..).zip(&mut conns).filter_map(|(index, conn)| {
                conn.send(&get);
                let answer = conn.take_until(b"END\r\n");
                (answer != b"END\r\n").then_some(index)
            });
            let holder = holders.next().expect("a node that has the key");
            assert_eq!(holders.next(), None, "one key on two nodes");
            holder
        })
        .collect()
}

/// A ring of these addresses and weights.
fn ring<A: AsRef<str>>(nodes: impl IntoIterator<Item = (A, u32)>) -> Ring {
    let nodes = nodes.into_iter().enumerate().map(|(number, (address, weight))| {
        let address = address.as_ref();
        format!("[[node]]\nname = \"n{number}\"\naddress = \"{address}\"\nweight = {weight}\n")
    });
    let text = format!("version = 1\n{}", nodes.collect::<String>());
    Ring::parse(&text, Format::Toml, "this test").expect("a ring")
}

fn differences(ring: &Ring, keys: &[Vec<u8>], found: &[NodeIndex]) -> usize {
    ring.owners(keys).zip(found).filter(|(ours, theirs)| ours != *theirs).count()
}

/// The text that ketama hashes for a node.
fn hashed(node: &Node) -> String {
    if node.port == 11211 { node.host.clone() } else { format!("{}:{}", node.host, node.port) }
}

#[test]
fn servers_without_names_are_the_rings_nodes() {
    let Some(program) = nutcracker("servers_without_names_are_the_rings_nodes") else { return };
    let nodes = start_nodes(5);
    let keys = keys();
    for weights in [[1; 5], [1, 2, 3, 5, 8], [100, 1, 65_535, 7, 30_000]] {
        let servers: Vec<(String, u32)> =
            nodes.iter().map(|node| node.address().to_string()).zip(weights).collect();
        let lines: Vec<String> =
            servers.iter().map(|(address, weight)| format!("{address}:{weight}")).collect();
        let proxy = Proxy::start(&program, "md5", &lines);
        let found = owners(&proxy, &nodes, &keys);
        assert_eq!(differences(&ring(servers), &keys, &found), 0, "weights {weights:?}");
    }
}

#[test]
fn ipv6_servers_are_written_without_brackets() {
    let test = "ipv6_servers_are_written_without_brackets";
    let Some(program) = nutcracker(test) else { return };
    if TcpListener::bind("[::1]:0").is_err() {
        return skip(test, "this machine has no IPv6");
    }
    let start = || Server::start_on(Kind::Ringbinder, &["-p", "-1", "-l", "::1"], |_| {});
    let nodes: Vec<Server> = (0..3).map(|_| start()).collect();
    let keys = keys();
    let lines = nodes.iter().map(|node| format!("::1:{}:1", node.address().port()));
    let proxy = Proxy::start(&program, "md5", &lines.collect::<Vec<_>>());
    let found = owners(&proxy, &nodes, &keys);
    let ring = ring(nodes.iter().map(|node| (node.address().to_string(), 1)));
    assert!(ring.nodes().iter().all(|node| node.host == "::1"));
    assert_eq!(differences(&ring, &keys, &found), 0);
}

#[test]
fn named_servers_stand_for_any_ring() {
    let Some(program) = nutcracker("named_servers_stand_for_any_ring") else { return };
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ring/tests/vectors");
    let rings = [
        "default-port",
        "mixed-ports",
        "weights",
        "heavy-weights",
        "ipv6",
        "names",
        "long-names",
        "twenty-five",
    ];
    let keys = keys();
    let mut nodes = Vec::new();
    for name in rings {
        let ring = Ring::load(vectors.join(format!("{name}.toml"))).expect("a ring file");
        let count = ring.nodes().len();
        nodes.extend(start_nodes(count.saturating_sub(nodes.len())));
        let lines = nodes
            .iter()
            .zip(ring.nodes())
            .map(|(server, node)| format!("{}:{} {}", server.address(), node.weight, hashed(node)));
        let proxy = Proxy::start(&program, "md5", &lines.collect::<Vec<_>>());
        let found = owners(&proxy, &nodes[..count], &keys);
        assert_eq!(differences(&ring, &keys, &found), 0, "{name}");
    }
}

#[test]
fn a_name_replaces_the_address_in_what_is_hashed() {
    let Some(program) = nutcracker("a_name_replaces_the_address_in_what_is_hashed") else { return };
    let nodes = start_nodes(4);
    let keys = keys();
    let names = ["cache-a", "cache-b", "cache-c", "cache-d"];
    let lines = nodes.iter().zip(names).map(|(node, name)| format!("{}:1 {name}", node.address()));
    let proxy = Proxy::start(&program, "md5", &lines.collect::<Vec<_>>());
    let found = owners(&proxy, &nodes, &keys);
    // If the port is 11211, ketama hashes the host alone.
    let by_name = ring(names.map(|name| (format!("{name}:11211"), 1)));
    assert_eq!(differences(&by_name, &keys, &found), 0);
    // So with arbitrary names, most keys go to other nodes than by the ring file.
    let by_address = ring(nodes.iter().map(|node| (node.address().to_string(), 1)));
    assert!(differences(&by_address, &keys, &found) > keys.len() / 3);
}

#[test]
fn another_hash_is_another_ring() {
    let Some(program) = nutcracker("another_hash_is_another_ring") else { return };
    let nodes = start_nodes(4);
    let keys = keys();
    let servers: Vec<String> = nodes.iter().map(|node| format!("{}:1", node.address())).collect();
    // The default of twemproxy.
    let proxy = Proxy::start(&program, "fnv1a_64", &servers);
    let found = owners(&proxy, &nodes, &keys);
    let ring = ring(nodes.iter().map(|node| (node.address().to_string(), 1)));
    assert!(differences(&ring, &keys, &found) > keys.len() / 3);
}
