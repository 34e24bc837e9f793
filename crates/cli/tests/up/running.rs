//! Tests of nodes that run, end, join and leave, with output to a pipe.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nix::sys::signal::Signal;
use ringbinder_tests::process;

use crate::session::{Place, Session, port};

#[test]
fn three_nodes_are_one_cache_until_they_are_stopped() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = Place::new();
        let mut session = Session::start(&place, &["--port", &port()]);
        assert_eq!(session.nodes.len(), 3);
        // The other commands find the ring by default.
        place.run(&["set", "greeting", "hello"]).succeeds();
        for node in &session.nodes {
            node.connect().talk("get greeting\r\n", "VALUE greeting 0 5\r\nhello\r\nEND\r\n");
        }
        place.run(&["check"]).succeeds();
        session.signal(signal);
        assert_eq!(session.end().code(), Some(0), "{signal}");
        for node in &session.nodes {
            assert!(!process::alive(node.pid), "{node:?}");
        }
        let stopped: Vec<_> = session.seen("stopped").iter().map(|it| it["node"].clone()).collect();
        assert_eq!(stopped, ["cache-a", "cache-b", "cache-c"]);
        assert!(!place.ring().exists(), "it was written for these nodes");
        assert_eq!(session.seen("done")[0]["removed"], true);
        assert!(place.logs().is_empty());
    }
}

#[test]
fn in_a_pipe_there_are_plain_lines() {
    let place = Place::new();
    let mut command = place.up(&["--nodes", "1", "--port", &port()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let begun: Vec<String> = lines.by_ref().take(3).collect();
    assert!(begun[0].starts_with("ring file ") && begun[0].contains("ring.toml"), "{begun:?}");
    assert!(begun[1].starts_with("cache-a 127.0.0.1:"), "{begun:?}");
    assert!(begun[2].starts_with("the node answers; its log is in "), "{begun:?}");
    process::signal(child.id(), Signal::SIGINT);
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest[0], "stopped cache-a", "{rest:?}");
    assert!(rest[1].starts_with("removed ") && rest.len() == 2, "{rest:?}");
    assert!(begun.iter().chain(&rest).all(|line| !line.contains('\x1b')), "{begun:?} {rest:?}");
}

#[test]
fn no_node_outlives_a_command_that_is_killed() {
    let place = Place::new();
    let mut session = Session::start(&place, &["--port", &port()]);
    session.signal(Signal::SIGKILL);
    session.end();
    for node in &session.nodes {
        node.until_gone();
    }
    // The ring file stays, and the next start uses it like any other.
    assert!(place.ring().exists());
    let session = Session::start(&place, &[]);
    assert_eq!((session.nodes.len(), &session.seen("ring")[0]["written"]), (3, &false.into()));
}

#[test]
fn a_node_that_dies_is_told_with_how_to_start_it_again() {
    let place = Place::new();
    let mut session = Session::start(&place, &["--nodes", "2", "--port", &port()]);
    let dead = session.nodes[1].clone();
    process::signal(dead.pid, Signal::SIGKILL);
    let ended = session.until("ended");
    assert_eq!((&ended["node"], &ended["how"]), (&"cache-b".into(), &"SIGKILL killed it".into()));
    assert!(fs::read_to_string(ended["log"].as_str().unwrap()).unwrap().contains("listens on"));
    assert_eq!(place.run(&["check"]).code, 1);
    // Starts the node by hand, with the command that `up` printed.
    let mut shell = std::process::Command::new("/bin/sh");
    let log = fs::File::create(place.path().join("by-hand.log")).unwrap();
    shell.args(["-c", &format!("exec {}", ended["again"].as_str().unwrap())]);
    let mut by_hand =
        shell.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    let by_hand = by_hand.as_mut().unwrap();
    let up = session.until("up");
    assert_eq!((&up["node"], &up["pid"]), (&"cache-b".into(), &by_hand.id().into()));
    session.signal(Signal::SIGINT);
    assert!(session.end().success());
    // A node that another process started is not stopped, and `up` reports it.
    assert!(process::alive(by_hand.id()));
    process::signal(by_hand.id(), Signal::SIGTERM);
    by_hand.wait().unwrap();
    assert_eq!(session.seen("goes_on")[0]["node"], "cache-b");
    // The logs are kept, because a node ended by itself.
    let logs = session.seen("done")[0]["logs"].as_str().unwrap().to_owned();
    assert!(fs::metadata(logs).unwrap().is_dir());
}

#[test]
fn a_node_that_dies_is_started_again_where_that_is_wanted() {
    let place = Place::new();
    let mut session = Session::start(&place, &["--nodes", "2", "--restart", "--port", &port()]);
    let dead = session.nodes[0].clone();
    process::signal(dead.pid, Signal::SIGKILL);
    assert!(session.until("ended").get("again").is_none());
    let started = session.until("started");
    assert_eq!((&started["node"], &started["address"]), (&"cache-a".into(), &dead.address.into()));
    let up = session.until("up");
    assert_eq!((&up["node"], &up["pid"]), (&"cache-a".into(), &started["pid"]));
}

#[test]
fn a_node_that_hangs_is_away_and_comes_back() {
    let place = Place::new();
    let mut session = Session::start(&place, &["--nodes", "2", "--port", &port()]);
    process::signal(session.nodes[1].pid, Signal::SIGSTOP);
    assert_eq!(session.until("away")["node"], "cache-b");
    process::signal(session.nodes[1].pid, Signal::SIGCONT);
    assert_eq!(session.until("up")["node"], "cache-b");
}

#[test]
fn a_node_that_hangs_is_ended_at_the_second_wish() {
    let place = Place::new();
    let mut session = Session::start(&place, &["--nodes", "2", "--port", &port()]);
    process::signal(session.nodes[1].pid, Signal::SIGSTOP);
    session.signal(Signal::SIGINT);
    let first = session.until("stopped");
    assert_eq!((&first["node"], &first["killed"]), (&"cache-a".into(), &false.into()));
    session.signal(Signal::SIGINT);
    let second = session.until("stopped");
    assert_eq!((&second["node"], &second["killed"]), (&"cache-b".into(), &true.into()));
    assert_eq!(session.end().code(), Some(0));
    assert!(!process::alive(session.nodes[1].pid));
}

#[test]
fn the_ring_file_is_followed() {
    let place = Place::new();
    let first = port();
    let mut session = Session::start(&place, &["--nodes", "2", "--port", &first]);
    let new = format!("cache-x=127.0.0.1:{}", first.parse::<u16>().unwrap() + 2);
    place.run(&["ring", "add", &new]).succeeds();
    assert_eq!(session.until("ring_changed")["version"], 2);
    assert_eq!(session.until("started")["node"], "cache-x");
    assert_eq!(session.until("up")["node"], "cache-x");
    let x = session.nodes[2].clone();
    assert!(x.connect().ask_text("ring version\r\n").starts_with("RING 2 "));

    place.run(&["ring", "remove", "cache-x"]).succeeds();
    assert_eq!(session.until("leaving")["node"], "cache-x");
    assert_eq!(session.until("stopped")["node"], "cache-x");
    x.until_gone();
    ringbinder_tests::wait::until("the rest to agree", || {
        (place.run(&["check"]).code == 0).then_some(())
    });

    fs::write(place.ring(), "nonsense").unwrap();
    session.until("ring_refused");
    session.signal(Signal::SIGINT);
    assert!(session.end().success());
    // The file no longer has the text that `up` wrote.
    assert_eq!(session.seen("done")[0]["removed"], false);
    assert_eq!(fs::read_to_string(place.ring()).unwrap(), "nonsense");
}
