//! Tests of flags, exit codes, daemon mode, and the port file.

use std::fs;
use std::process::Stdio;

use super::ours_only;
use nix::sys::signal::Signal;
use ringbinder_tests::process::{alive, signal};
use ringbinder_tests::server::{scratch, target};
use ringbinder_tests::{Conn, Kind, Server, wait};

/// Runs the target to its end. Returns exit code, stdout and stderr.
pub(super) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = target()
        .command()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the target starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its address").port().to_string();
    let (code, _, stderr) = run(&["-l", "127.0.0.1", "-p", &port]);
    assert_eq!(code, Some(71), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.contains("127.0.0.1"), "{stderr}");
}

#[test]
fn wrong_flags_end_with_64() {
    let (code, _, stderr) = run(&["-p", "70000"]);
    assert_eq!(code, Some(64), "{stderr}");
    ours_only!();
    for arguments in [
        &["--no-such-flag"][..],
        &["-m", "abc"],
        &["-c", "0"],
        &["-t", "0"],
        &["-I", "10"],
        &["-o", "nonsense"],
    ] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn a_wrong_settings_file_ends_with_78() {
    ours_only!();
    let dir = scratch();
    let file = dir.path().join("ringbinder.toml");
    fs::write(&file, "no_such_setting = 1\n").expect("a temp file");
    let (code, _, stderr) = run(&["--config", file.to_str().expect("a plain path")]);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("no_such_setting"), "{stderr}");
}

#[test]
fn help_and_version_end_well() {
    for flag in ["-h", "-V", "-i"] {
        let (code, stdout, stderr) = run(&[flag]);
        assert_eq!(code, Some(0), "{flag}: {stderr}");
        assert!(!stdout.is_empty(), "{flag}");
    }
}

#[test]
fn in_the_background_it_serves_and_keeps_its_pid_file() {
    let dir = scratch();
    let (pid_file, ports) = (dir.path().join("pid"), dir.path().join("ports"));
    let pid_path = pid_file.to_str().expect("a plain path");
    let status = target()
        .command()
        .args(["-d", "-P", pid_path, "-p", "-1", "-l", "127.0.0.1"])
        .env("MEMCACHED_PORT_FILENAME", &ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the target starts");
    assert!(status.success(), "{status}");
    let pid: u32 =
        wait::until("the pid file", || fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
    let stop = Stop(pid);
    let port: u16 = wait::until("the port file", || {
        fs::read_to_string(&ports).ok()?.strip_prefix("TCP INET: ")?.trim().parse().ok()
    });
    let mut conn = Conn::tcp(([127, 0, 0, 1], port).into()).expect("a connection");
    conn.talk("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    assert!(conn.ask_text("stats\r\n").contains(&format!("STAT pid {pid}\r\n")));
    signal(pid, Signal::SIGTERM);
    wait::until("the process to end", || (!alive(pid)).then_some(()));
    if target() == Kind::Ringbinder {
        assert!(!pid_file.exists(), "the pid file is left behind");
    }
    drop(stop);
}

/// Stops a detached process if the test fails before it does so itself.
struct Stop(u32);

impl Drop for Stop {
    fn drop(&mut self) {
        if alive(self.0) {
            signal(self.0, Signal::SIGKILL);
        }
    }
}

#[test]
fn port_0_turns_tcp_off() {
    let dir = scratch();
    let path = dir.path().join("cache.sock");
    let server = Server::start_unix(target(), &path, &["-p", "0"], dir);
    Conn::unix(&path).expect("a connection").talk("get a\r\n", "END\r\n");
    assert_eq!(server.addresses(), []);
    ours_only!();
    assert!(!server.log().contains("no effect"), "{}", server.log());
    // memcached runs anyway, unreachable.
    for arguments in [&["-p", "0"][..], &["-p", "0", "-l", "127.0.0.1:11299"]] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, Some(64), "{stderr}");
        assert!(stderr.contains("0 turns TCP off"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn the_port_file_names_each_port() {
    let server = Server::start(target(), &[]);
    let text = fs::read_to_string(server.dir().join("ports")).expect("the port file");
    assert_eq!(text, format!("TCP INET: {}\n", server.address().port()));
}

#[test]
fn debians_own_command_line_is_taken() {
    let server =
        Server::start(target(), &["-m", "64", "-c", "1024", "-R", "20", "-b", "1024", "-v"]);
    server.connect().talk("get a\r\n", "END\r\n");
}
