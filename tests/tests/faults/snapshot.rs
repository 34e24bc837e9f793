//! Fault: the disk fills up while a snapshot is written. The previous contents are unharmed, the node reports
//! the error and continues.
//!
//! The disk is a small tmpfs in a mount namespace of the node, so that it affects nothing else and disappears
//! with the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::wait;

use crate::{NODES, Row, back_to, briefly, checked, figure, goes_on, knows, levels, plan, stat};

/// The node with the small disk.
const NODE: usize = 2;

/// Size of the disk.
const DISK: &str = "2m";

/// Number of values that exceed the disk.
const MUCH: usize = 60;
const VALUE: usize = 100_000;

/// The exit code of a node that could not write its final snapshot (sysexits' EX_CANTCREAT).
const CANNOT_CREATE: i32 = 73;

#[test]
fn the_disk_under_the_snapshot_is_full() {
    briefly("the_disk_under_the_snapshot_is_full");
}

/// Wraps a command in a shell that mounts the disk in a namespace of the command.
fn with_a_small_disk(command: &mut Command, at: &Path) {
    let script = format!(r#"mount -t tmpfs -o size={DISK},mode=777 none "$0" && exec "$@""#);
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(at);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    *command = wrapped;
}

fn mounts_are_allowed(at: &Path) -> bool {
    let mut command = Command::new("true");
    with_a_small_disk(&mut command, at);
    let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

/// The path of the disk from outside the node's namespace.
fn disk(fleet: &Fleet, at: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", fleet.server(NODE).pid()));
    root.join(at.strip_prefix("/").expect("an absolute path"))
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    if !knows("--snapshot") {
        return Err("this ringbinderd writes no snapshots");
    }
    let mut fleet = Fleet::new(3);
    let at = fleet.dir().join("disk");
    fs::create_dir(&at).expect("a directory");
    if !mounts_are_allowed(&at) {
        return Err("no mount namespace can be made here (unshare, as root)");
    }
    let snapshot = at.join("items").to_str().expect("a plain path").to_owned();
    for node in NODES {
        fleet.write(node, &fleet.ring(1, &NODES));
        let ring = fleet.ring_path(node).to_str().expect("a plain path").to_owned();
        if node == NODE {
            let arguments = ["--snapshot", &snapshot];
            fleet.start_with(node, &ring, &arguments, |command| with_a_small_disk(command, &at));
        } else {
            fleet.start(node, &[]);
        }
    }
    fleet.await_settled(&NODES, 1);
    let keys = fleet.keys_of(0, NODE, "much-", MUCH);
    let value = vec![b'v'; VALUE];
    let before = levels(&mut fleet);
    let (tries, summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let disk = disk(fleet, &at);
        let mut conn = fleet.connect(NODE);
        fleet.signal(NODE, Signal::SIGUSR2);
        wait::until("the snapshot that fits", || {
            let written = figure(&mut conn, "snapshot_last_success_time") > 0;
            (written && stat(&mut conn, "snapshot_state") == "idle").then_some(())
        });
        let good = fs::read(disk.join("items")).expect("a snapshot");
        assert!(!good.is_empty());
        for key in &keys {
            let head = format!("set {key} 0 0 {VALUE}\r\n");
            conn.talk([head.as_bytes(), &value, b"\r\n"].concat(), "STORED\r\n");
        }
        let (start, mut tries) = (Instant::now(), 0);
        while tries < 2 || goes_on(start, duration) {
            fleet.signal(NODE, Signal::SIGUSR2);
            tries += 1;
            wait::until("the snapshot that does not fit", || {
                (figure(&mut conn, "snapshot_failures") >= tries).then_some(())
            });
            assert!(fs::read(disk.join("items")).expect("the old snapshot") == good, "it changed");
            let entries = fs::read_dir(&disk).expect("our disk");
            let names: Vec<_> = entries.map(|entry| entry.expect("a file").file_name()).collect();
            assert_eq!(names, ["items"], "something is left beside it");
            gauge.await_more(300);
        }
        let log = fleet.server(NODE).log();
        assert!(log.contains("No space left on device"), "{log}");
        tries
    });
    assert_eq!((summary.errors, summary.broken), (0, 0), "{summary:?}");
    let held = back_to(&fleet, &before, 24);
    let (status, log) = fleet.end(NODE, Signal::SIGTERM);
    assert_eq!(status.code(), Some(CANNOT_CREATE), "{log}");
    Ok(Row {
        fault: "a full disk under the snapshot",
        done: format!(
            "{tries} snapshots on demand and one at the end that did not fit on a disk of {DISK}"
        ),
        summary,
        held: format!(
            "the snapshot from before unharmed and nothing beside it, served on, ended with code \
             {CANNOT_CREATE}; {held}"
        ),
    })
}
