//! A real etcd with its own data directory, which holds the ring.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::ring::reserve_port;
use crate::server::{Kind, scratch};
use crate::{process, wait};

/// The key that holds the ring.
pub const KEY: &str = "fleet/ring.toml";

/// A running etcd with its own data directory. It is killed when this is dropped.
pub struct Etcd {
    child: Child,
    port: u16,
    peer_port: u16,
    dir: TempDir,
}

impl Etcd {
    /// Starts etcd and waits until it is healthy.
    ///
    /// # Panics
    /// If it exits.
    pub fn start() -> Etcd {
        let (port, peer_port, dir) = (reserve_port(), reserve_port(), scratch());
        let child = run(port, peer_port, dir.path());
        let mut etcd = Etcd { child, port, peer_port, dir };
        etcd.await_health();
        etcd
    }

    fn await_health(&mut self) {
        wait::until("etcd to be healthy", || {
            let status = self.child.try_wait().expect("waiting for a child");
            assert!(status.is_none(), "etcd ended at once: {status:?}");
            self.ctl(&["endpoint", "health"], "").then_some(())
        });
    }

    /// Runs etcdctl. Returns whether it succeeded.
    fn ctl(&self, arguments: &[&str], input: &str) -> bool {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints=127.0.0.1:{}", self.port))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcdctl");
        let mut stdin = child.stdin.take().expect("a pipe");
        // Commands that read no input may close it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait().expect("waiting for a child").success()
    }

    /// Stores a ring under [`KEY`].
    ///
    /// # Panics
    /// If etcd rejects it.
    pub fn put(&self, ring: &str) {
        assert!(self.ctl(&["put", KEY], ring), "etcdctl put");
    }

    /// Kills etcd.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts etcd with its old data.
    pub fn start_again(&mut self) {
        self.child = run(self.port, self.peer_port, self.dir.path());
        self.await_health();
    }

    /// Kills etcd and starts another one without data.
    ///
    /// # Panics
    /// If it exits.
    pub fn start_empty(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("its data");
        self.start_again();
    }

    /// Sends etcd a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }

    /// The URL of the ring for a node's `--ring`.
    pub fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}/{KEY}", self.port)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(port: u16, peer_port: u16, dir: &Path) -> Child {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let log = File::create(dir.join("log")).expect("a temp file");
    Command::new("etcd")
        .args(["--name", "test", "--data-dir"])
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("etcd")
}

/// The requirement that is missing on this machine or in the tested node, if any.
pub fn missing() -> Option<&'static str> {
    let there = |program: &str| Command::new(program).arg("--help").output().is_ok();
    if !there("etcd") || !there("etcdctl") {
        return Some("etcd and etcdctl are not installed");
    }
    let dir = scratch();
    let probe = Kind::Ringbinder
        .command()
        .args(["-p", "-1", "--ring", "etcd://127.0.0.1:1/x"])
        .current_dir(dir.path())
        .output()
        .expect("a node that ends at once");
    let message = String::from_utf8_lossy(&probe.stderr).into_owned();
    message.contains("built without etcd").then_some("this ringbinderd was built without etcd")
}
