//! Tests of the conditions at the start: ports, programs, ring files.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;
use ringbinder_tests::ring::{local, reserve_port, ring_file};
use ringbinder_tests::{Kind, process};

use crate::command::Ran;
use crate::session::{Place, Session, port};

/// Copies a program. This process never has the copy open for writing: a child started at that moment would
/// inherit the open file, and the copy could not be run.
fn install(from: &Path, to: &Path) {
    let copied =
        std::process::Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(copied.unwrap().success(), "{} to {}", from.display(), to.display());
}

#[test]
fn a_port_in_use_is_left_out_and_said() {
    let place = Place::new();
    let port = port();
    let taken = TcpListener::bind(local(port.parse().unwrap())).unwrap();
    let session = Session::start(&place, &["--nodes", "2", "--port", &port]);
    assert_eq!(session.seen("ports_skipped")[0]["ports"][0], taken.local_addr().unwrap().port());
    assert_eq!(session.nodes.len(), 2);
    assert!(session.nodes.iter().all(|node| !node.address.ends_with(&format!(":{port}"))));
}

#[test]
fn a_program_that_is_not_there_is_told_with_what_to_do() {
    let place = Place::new();
    let ran = place.run(&["up", "--program", "no/ringbinderd"]);
    ran.fails(69, &["cannot find ringbinderd at no/ringbinderd", "cargo build", "--program FILE"]);
    // There is no server beside the program, and none on the PATH.
    let copy = place.path().join("ringbinder");
    install(env!("CARGO_BIN_EXE_ringbinder").as_ref(), &copy);
    let mut command = std::process::Command::new(&copy);
    command.env_remove("CARGO").env_remove("RINGBINDER_RING").env("PATH", "/nonexistent");
    Ran::of(command.arg("up").current_dir(place.path())).fails(69, &["on the PATH"]);
    assert!(!place.ring().exists());
}

#[test]
fn cargo_builds_the_server_for_the_one_that_it_runs() {
    let place = Place::new();
    let target = place.path().join("target");
    let built = target.join("release");
    fs::create_dir_all(&built).unwrap();
    install(env!("CARGO_BIN_EXE_ringbinder").as_ref(), &built.join("ringbinder"));
    // A stand-in for cargo: it prints its arguments and "builds" an existing server.
    let cargo = place.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nprintf '%s ' \"$@\" > '{}'\ncp '{}' '{}'\n",
        place.path().join("asked").display(),
        Kind::Ringbinder.program().display(),
        built.join("ringbinderd").display()
    );
    let text = place.path().join("script");
    fs::write(&text, script).unwrap();
    install(&text, &cargo);
    let mut command = std::process::Command::new(built.join("ringbinder"));
    command
        .current_dir(place.path())
        .env_remove("RINGBINDER_RING")
        .env("TMPDIR", place.path())
        .env("CARGO", &cargo)
        .env("CARGO_PKG_NAME", "ringbinder-cli")
        .env("CARGO_MANIFEST_DIR", "/checkout/crates/cli")
        .args(["up", "--nodes", "1", "--port", &port(), "--", "--no-such-flag"]);
    // The node rejects its flag, which shows that it was found.
    let ran = Ran::of(&mut command);
    assert!(ran.code == 69 && ran.err.contains("cannot start cache-a"), "{ran:?}");
    let asked = fs::read_to_string(place.path().join("asked")).unwrap();
    assert_eq!(
        asked.trim(),
        format!(
            "build --bin ringbinderd --profile release --package ringbinder-node --package \
             ringbinder-cli --manifest-path /checkout/crates/cli/Cargo.toml --target-dir {}",
            target.display()
        )
    );
    fs::write(&text, "#!/bin/sh\nexit 101\n").unwrap();
    install(&text, &cargo);
    Ran::of(&mut command).fails(69, &["cannot build ringbinderd: cargo failed", "101"]);
}

#[test]
fn a_node_that_does_not_start_stops_everything_and_shows_its_log() {
    let place = Place::new();
    let ran = Ran::of(&mut place.up(&["--port", &port(), "--", "--no-such-flag"]));
    assert_eq!(ran.code, 69, "{ran:?}");
    // Either node may be the first to end.
    let last = ran.err.lines().last().unwrap();
    assert!(last.starts_with("ringbinder: cannot start cache-"), "{ran:?}");
    assert!(last.contains(": it exited with code 64"), "{ran:?}");
    assert!(
        ran.err
            .lines()
            .any(|line| { line.starts_with("cache-") && line.contains("--no-such-flag") }),
        "the log: {ran:?}"
    );
    assert!(!place.ring().exists());
    for line in ran.out.lines().filter(|line| line.contains(" pid ")) {
        let pid = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(!process::alive(pid), "{line}");
    }
}

#[test]
fn a_ring_file_that_is_there_is_used_and_never_written() {
    let place = Place::new();
    let (first, second) = (reserve_port(), reserve_port());
    let text = format!(
        "# Mine.\n{}",
        ring_file(7, [("left", first, 1), ("right", second, 3)])
            + "\n[[node]]\nname = \"far\"\naddress = \"192.0.2.1:11211\"\n"
    );
    fs::write(place.ring(), &text).unwrap();
    let mut session = Session::start(&place, &[]);
    assert_eq!(session.seen("ring")[0]["written"], false);
    assert_eq!(session.seen("elsewhere")[0]["node"], "far");
    let names: Vec<&str> = session.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["left", "right"]);
    assert_eq!(session.nodes[1].address, format!("127.0.0.1:{second}"));
    session.signal(Signal::SIGINT);
    assert!(session.end().success());
    assert_eq!(session.seen("done")[0]["removed"], false);
    assert_eq!(fs::read_to_string(place.ring()).unwrap(), text);
}

#[test]
fn a_ring_file_that_cannot_be_used_is_told() {
    let place = Place::new();
    let taken = TcpListener::bind(local(0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    fs::write(place.ring(), ring_file(1, [("a", port, 1)])).unwrap();
    Ran::of(&mut place.up(&[])).fails(71, &[&format!("127.0.0.1:{port} is in use")]);
    Ran::of(&mut place.up(&["--nodes", "2"])).fails(64, &["ring.toml exists", "--nodes"]);
    fs::write(place.ring(), "version = 1\n[[node]]\nname = \"a\"\naddress = \"192.0.2.1:1\"\n")
        .unwrap();
    Ran::of(&mut place.up(&[])).fails(65, &["none is on this machine", "--ring FILE"]);
    fs::write(place.ring(), "nonsense").unwrap();
    assert_eq!(Ran::of(&mut place.up(&[])).code, 65);
    assert_eq!(fs::read_to_string(place.ring()).unwrap(), "nonsense");
    Ran::of(&mut place.up(&["--ring", "new.yaml"])).fails(64, &["a new ring is TOML"]);
    let ran = Ran::of(&mut place.up(&["--ring", "no/such/directory/ring.toml"]));
    ran.fails(73, &["cannot write no/such/directory/ring.toml"]);
    Ran::of(&mut place.up(&["--host", "0.0.0.0", "--ring", "x.toml"])).fails(64, &["0.0.0.0"]);
    Ran::of(&mut place.up(&["--host", "192.0.2.1", "--ring", "x.toml"])).fails(71, &["192.0.2.1"]);
    Ran::of(&mut place.up(&["--ring", "etcd://127.0.0.1:1/x"])).fails(64, &["etcd://"]);
    assert!(!place.path().join("x.toml").exists() && !place.path().join("new.yaml").exists());
}
