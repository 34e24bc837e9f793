//! Tests of signals: the server stops gracefully and truncates no answer.

use nix::sys::signal::Signal;

use super::{Target, ours_only};
use ringbinder_tests::{process, wait};

#[test]
fn sigterm_and_sigint_end_it_well() {
    for how in [Signal::SIGTERM, Signal::SIGINT] {
        let mut t = Target::start();
        t.set("a", "1");
        let status = t.server.stop(how);
        assert!(status.success(), "{how}: {status}");
    }
}

#[test]
fn sigusr1_ends_it_well() {
    // memcached's graceful stop.
    let mut t = Target::start();
    t.set("a", "1");
    let status = t.server.stop(Signal::SIGUSR1);
    assert!(status.success(), "{status}");
}

#[test]
fn the_log_names_what_ended_it() {
    ours_only!();
    for (how, cause) in [
        (Some(Signal::SIGTERM), "SIGTERM: stopping"),
        (Some(Signal::SIGINT), "SIGINT: stopping"),
        (Some(Signal::SIGUSR1), "SIGUSR1: stopping"),
        (None, "the shutdown command: stopping"),
    ] {
        let mut t = Target::with(&["-A"]);
        match how {
            Some(signal) => process::signal(t.server.pid(), signal),
            None => drop(t.conn.send_unread(b"shutdown\r\n")),
        }
        assert!(t.server.wait().success());
        let log = t.server.log();
        let causes: Vec<&str> = log.lines().filter(|line| line.contains(": stopping")).collect();
        assert!(matches!(causes[..], [line] if line.contains(cause)), "{cause}: {log}");
    }
}

#[test]
fn other_signals_change_nothing() {
    let mut t = Target::start();
    t.set("a", "1");
    for how in [Signal::SIGHUP, Signal::SIGPIPE] {
        process::signal(t.server.pid(), how);
        t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    }
    assert!(t.server.running());
}

#[test]
fn no_answer_is_cut_in_half() {
    ours_only!();
    for how in [Signal::SIGTERM, Signal::SIGINT] {
        let mut t = Target::start();
        let value = "v".repeat(10_000);
        t.set("a", &value);
        let answer = format!("VALUE a 0 10000\r\n{value}\r\nEND\r\n");
        let mut conn = t.server.connect();
        // Answers are being sent, more are requested than read, and then the server is stopped.
        conn.send_unread(&b"get a\r\n".repeat(3000));
        let first = conn.take(answer.len() * 10);
        assert_eq!(first, answer.repeat(10).as_bytes());
        process::signal(t.server.pid(), how);
        let rest = conn.take_rest();
        assert_eq!(
            rest.len() % answer.len(),
            0,
            "{} bytes into an answer",
            rest.len() % answer.len()
        );
        assert!(rest == answer.repeat(rest.len() / answer.len()).as_bytes());
        let status = t.server.wait();
        assert!(status.success(), "{how}: {status}");
        let log = t.server.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_it_up() {
    ours_only!();
    let mut t = Target::start();
    t.set("a", &"v".repeat(100_000));
    let mut conn = t.server.connect();
    conn.send_unread(&b"get a\r\n".repeat(1000));
    wait::until("answers to pile up", || {
        t.conn.ask_text("stats\r\n").contains("STAT cmd_get ").then_some(())
    });
    process::signal(t.server.pid(), Signal::SIGTERM);
    wait::until("the server to end", || (!t.server.running()).then_some(()));
}
