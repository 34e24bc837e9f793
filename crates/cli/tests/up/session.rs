//! Runs `ringbinder up` in its own directory, with one JSON object per line.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringbinder_tests::ring::{local, reserve_port};
use ringbinder_tests::{Conn, Kind, process, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{self, Ran};

/// A directory without a ring file.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: ringbinder_tests::server::scratch() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path at which `up` writes a ring.
    pub(crate) fn ring(&self) -> PathBuf {
        self.path().join("ring.toml")
    }

    /// The command in this directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = command::command();
        command.current_dir(self.path()).args(words);
        // Files that it writes beside the ring are removed with the test.
        command.env("TMPDIR", self.path());
        command
    }

    /// `up` with the tested server.
    pub(crate) fn up(&self, words: &[&str]) -> Command {
        let mut command = self.command(&["up", "--program"]);
        command.arg(Kind::Ringbinder.program()).args(words);
        command
    }

    /// Runs another command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut self.command(words))
    }

    /// Directories of logs that are still there.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        let entries = self.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

/// The first of several ports that are free.
pub(crate) fn port() -> String {
    loop {
        let port = reserve_port();
        if (port..port + 6).all(|port| TcpListener::bind(local(port)).is_ok()) {
            return port.to_string();
        }
    }
}

/// A node that `up` has started.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) pid: u32,
}

impl Started {
    pub(crate) fn of(event: &Value) -> Started {
        Started {
            name: event["node"].as_str().unwrap().to_owned(),
            address: event["address"].as_str().unwrap().to_owned(),
            pid: event["pid"].as_u64().unwrap().try_into().unwrap(),
        }
    }

    pub(crate) fn connect(&self) -> Conn {
        Conn::tcp(self.address.parse().unwrap()).unwrap()
    }

    pub(crate) fn until_gone(&self) {
        wait::until("the node to end", || (!process::alive(self.pid)).then_some(()));
    }
}

/// A running `up --json`. It is stopped when this is dropped.
pub(crate) struct Session {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
    /// The nodes, in the order of their start.
    pub(crate) nodes: Vec<Started>,
}

impl Session {
    /// Starts `up` and waits until all nodes answer.
    pub(crate) fn start(place: &Place, words: &[&str]) -> Session {
        let mut command = place.up(words);
        let pipes = command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let mut session = Session { child, events, seen: Vec::new(), nodes: Vec::new() };
        session.until("ready");
        session
    }

    /// Waits for an event of this kind and returns it.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        let deadline = Instant::now() + wait::PATIENCE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if event["event"] == "started" {
                        self.nodes.push(Started::of(&event));
                    }
                    if event["event"] == kind {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {kind}: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("over, no {kind}: {:#?}", self.seen),
            }
        }
    }

    /// The events of this kind so far.
    pub(crate) fn seen(&self, kind: &str) -> Vec<&Value> {
        self.seen.iter().filter(|event| event["event"] == kind).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }

    /// Waits for the end of `up`.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let status = wait::until("the command to end", || self.child.try_wait().unwrap());
        while let Ok(event) = self.events.recv_timeout(Duration::from_secs(10)) {
            self.seen.push(event);
        }
        status
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
