//! Fake nodes with scripted answers. A test can present a ring in any state, without real nodes.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use ringbinder_ring::{Format, Ring};
use ringbinder_tests::ring::ring_file;
use tempfile::TempDir;

use crate::command::Ran;
use crate::of;

/// Version of the ring in every test.
pub(crate) const VERSION: u64 = 7;

/// Nodes with their answers, before they start.
pub(crate) struct Script {
    directory: TempDir,
    file: String,
    ring: Ring,
    nodes: Vec<Node>,
}

/// The answers of one node.
struct Node {
    listener: Option<TcpListener>,
    ring_version: String,
    /// The lines of `stats ring`, in order.
    stats: Vec<(String, String)>,
    /// The lines of `stats`.
    general: Vec<(String, String)>,
    /// Answers to other requests.
    others: Vec<(String, String)>,
    /// The answer to any other request.
    fallback: String,
}

/// The instance number of a node's process, if there is no problem.
pub(crate) fn instance(node: usize) -> String {
    format!("{:016x}", 0xabc0 + node)
}

impl Script {
    /// Nodes `cache-a`, `cache-b`, ... that hold the same ring and report no problem.
    pub(crate) fn new(count: usize) -> Script {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let names: Vec<String> = ('a'..).take(count).map(|char| format!("cache-{char}")).collect();
        let entries = names.iter().zip(&listeners);
        let text = ring_file(VERSION, entries.map(|(name, it)| (name.as_str(), port(it), 1)));
        let ring = Ring::parse(&text, Format::Toml, "it").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        std::fs::write(&path, text).unwrap();
        let digest = format!("{:016x}", ring.id().digest);
        let node = |(index, listener)| {
            let own: &ringbinder_ring::Node = &ring.nodes()[index];
            let mut stats = vec![
                ("ring_version".to_owned(), VERSION.to_string()),
                ("ring_digest".to_owned(), digest.clone()),
                ("ring_last_error".to_owned(), "-".to_owned()),
                ("ring_node".to_owned(), own.name.clone()),
                ("ring_member".to_owned(), "yes".to_owned()),
                ("ring_instance".to_owned(), instance(index)),
                ("ring_standing".to_owned(), "confirmed".to_owned()),
                ("ring_standing_reason".to_owned(), "-".to_owned()),
                ("ring_address".to_owned(), own.to_string()),
                ("ring_rival".to_owned(), "-".to_owned()),
                ("ring_file_version".to_owned(), VERSION.to_string()),
                ("ring_file_digest".to_owned(), digest.clone()),
                ("ring_drift".to_owned(), "-".to_owned()),
                ("ring_settled".to_owned(), "yes".to_owned()),
                ("ring_awaited".to_owned(), "-".to_owned()),
                ("ring_given_up".to_owned(), "0".to_owned()),
                ("foreign_keys".to_owned(), "forward".to_owned()),
            ];
            for (other, peer) in
                ring.nodes().iter().enumerate().filter(|(other, _)| *other != index)
            {
                let mut stat = |field: &str, value: String| {
                    stats.push((format!("peer:{}:{field}", peer.name), value));
                };
                stat("address", peer.to_string());
                stat("state", "up".to_owned());
                stat("reason", "-".to_owned());
                stat("instance", instance(other));
                stat("rival", "-".to_owned());
                stat("slow", "0".to_owned());
            }
            Node {
                listener: Some(listener),
                ring_version: format!("RING {VERSION} {digest}"),
                stats,
                general: vec![("ringbinder_version".to_owned(), "9.9.9".to_owned())],
                others: Vec::new(),
                fallback: "ERROR\r\n".to_owned(),
            }
        };
        let nodes = listeners.into_iter().enumerate().map(node).collect();
        let file = path.to_str().unwrap().to_owned();
        Script { directory, file, ring, nodes }
    }

    /// Sets a line of a node's `stats ring`.
    pub(crate) fn set(&mut self, node: usize, name: &str, value: &str) -> &mut Script {
        let stats = &mut self.nodes[node].stats;
        match stats.iter_mut().find(|(there, _)| there == name) {
            Some((_, old)) => *old = value.to_owned(),
            None => stats.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Makes a node report another as unreachable.
    pub(crate) fn cut(&mut self, from: usize, to: usize, reason: &str) -> &mut Script {
        let peer = self.name(to).to_owned();
        self.set(from, &format!("peer:{peer}:state"), "away");
        self.set(from, &format!("peer:{peer}:reason"), reason)
    }

    /// Sets a line of a node's `stats`.
    pub(crate) fn general(&mut self, node: usize, name: &str, value: &str) -> &mut Script {
        self.nodes[node].general.insert(0, (name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the answer to a request.
    pub(crate) fn answer(&mut self, node: usize, line: &str, answer: &str) -> &mut Script {
        self.nodes[node].others.push((line.to_owned(), format!("{answer}\r\n")));
        self
    }

    /// Sets the answer to every request without an answer of its own.
    pub(crate) fn otherwise(&mut self, node: usize, answer: &str) -> &mut Script {
        self.nodes[node].fallback = format!("{answer}\r\n");
        self
    }

    /// Calls `change` on every line of a node's `stats ring`.
    pub(crate) fn each_stat(&mut self, node: usize, change: impl FnMut(&mut (String, String))) {
        self.nodes[node].stats.iter_mut().for_each(change);
    }

    /// Removes lines from a node's `stats ring`.
    pub(crate) fn forget(&mut self, node: usize, is_meant: impl Fn(&str) -> bool) -> &mut Script {
        self.nodes[node].stats.retain(|(name, _)| !is_meant(name));
        self
    }

    /// Makes a node hold another ring.
    pub(crate) fn hold(&mut self, node: usize, version: u64, digest: u64) -> &mut Script {
        self.nodes[node].ring_version = format!("RING {version} {digest:016x}");
        self
    }

    /// Closes the port of a node.
    pub(crate) fn stop(&mut self, node: usize) -> &mut Script {
        self.nodes[node].listener = None;
        self
    }

    /// Makes `node` answer like `as_node`, as if one process had both addresses.
    pub(crate) fn same(&mut self, node: usize, as_node: usize) -> &mut Script {
        self.nodes[node].stats = self.nodes[as_node].stats.clone();
        self
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.ring.nodes()[node].name
    }

    pub(crate) fn address(&self, node: usize) -> String {
        self.ring.nodes()[node].to_string()
    }

    /// Starts the nodes. Their threads end with the test.
    pub(crate) fn start(&mut self) -> Running {
        for node in &mut self.nodes {
            let Some(listener) = node.listener.take() else { continue };
            let lines = |stats: &[(String, String)]| {
                let lines = stats.iter().map(|(name, value)| format!("STAT {name} {value}\r\n"));
                lines.collect::<String>() + "END\r\n"
            };
            let mut answers = HashMap::from([
                ("ring version".to_owned(), format!("{}\r\n", node.ring_version)),
                ("stats".to_owned(), lines(&node.general)),
                ("stats ring".to_owned(), lines(&node.stats)),
                ("version".to_owned(), "VERSION 1.6.45\r\n".to_owned()),
            ]);
            answers.extend(std::mem::take(&mut node.others));
            let answers = Arc::new((answers, std::mem::take(&mut node.fallback)));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let answers = Arc::clone(&answers);
                    std::thread::spawn(move || talk(&stream, &answers.0, &answers.1));
                }
            });
        }
        Running { file: self.file.clone() }
    }

    /// Starts the nodes and runs a command with their ring.
    pub(crate) fn run(&mut self, words: &[&str]) -> Ran {
        let running = self.start();
        assert!(self.directory.path().exists());
        running.run(words)
    }
}

/// Nodes that are running.
pub(crate) struct Running {
    file: String,
}

impl Running {
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut of(&self.file, words))
    }
}

fn talk(stream: &TcpStream, answers: &HashMap<String, String>, fallback: &str) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return Some(());
        }
        let answer = answers.get(line.trim_end()).map_or(fallback, String::as_str);
        { stream }.write_all(answer.as_bytes()).ok()?;
    }
}
