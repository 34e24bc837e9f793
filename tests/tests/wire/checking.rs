//! Tests of `--check-config`: it rejects exactly the settings that a start would reject, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::ours_only;
use super::startup::run;
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Kind, Server};

const RING: &str = "version = 1\n[[node]]\nname = \"a\"\naddress = \"127.0.0.1:11211\"\n";

/// The result of these settings: the exit code, and the error, which is the last line on standard error.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let (code, _, stderr) = run(arguments);
    (code, stderr.lines().last().unwrap_or_default().to_owned())
}

/// Asserts that a check and a start end alike, with this code and this text. `{}` in an argument stands for
/// the directory.
fn refused(dir: &Path, arguments: &str, code: i32, words: &str) {
    let directory = dir.to_str().expect("a plain path");
    let arguments = arguments.replace("{}", directory);
    let mut arguments: Vec<&str> =
        ["-l", "127.0.0.1", "-p", "-1"].into_iter().chain(arguments.split(' ')).collect();
    let started = ends(&arguments);
    arguments.push("--check-config");
    let checked = ends(&arguments);
    assert_eq!(checked, started, "{arguments:?}");
    assert!(checked.0 == Some(code) && checked.1.contains(words), "{arguments:?}: {checked:?}");
}

#[test]
fn a_check_refuses_every_file_that_a_start_refuses() {
    ours_only!();
    let dir = scratch();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    put("ring.toml", RING);
    put("broken.toml", "version = 0\n");
    put("empty.toml", " \n");
    put("short", "secret\n");
    put("users", "no colon\n");
    put("text", "something that is dear to somebody\n");
    for name in ["pipe", "pipe.toml"] {
        nix::unistd::mkfifo(&dir.path().join(name), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    }
    for (arguments, code, words) in [
        ("--ring {}/none.toml", 78, "cannot find the ring file"),
        ("--ring {}/broken.toml", 78, "version"),
        ("--ring {}/empty.toml", 78, "is empty"),
        ("--ring {}", 78, "not a regular file"),
        ("--ring http://x/y", 64, "a ring cannot be read from http://"),
        ("--ring {}/ring.toml --peer-secret-file {}/none", 78, "--peer-secret-file"),
        ("--ring {}/ring.toml --peer-secret-file {}/short", 78, "shorter than 16 bytes"),
        ("-Z -o ssl_chain_cert={}/none", 78, "cannot read"),
        ("-Z -o ssl_chain_cert={}/text", 78, "holds no certificate"),
        ("-Y {}/none", 78, "cannot read the users"),
        ("-Y {}/users", 78, "line 1 is not"),
        ("-Y {}/pipe", 78, "it is a pipe, not a regular file"),
        ("-Y /dev/zero", 78, "it is a device, not a regular file"),
        ("-Z -o ssl_chain_cert={}/pipe", 78, "it is a pipe, not a regular file"),
        ("-Z -o ssl_chain_cert=/dev/zero", 78, "it is a device, not a regular file"),
        ("--ring {}/pipe.toml", 78, "it is a pipe, not a regular file"),
        ("--ring {}/ring.toml --peer-secret-file {}/pipe", 78, "it is a pipe, not a regular file"),
        ("--ring {}/ring.toml --peer-secret-file /dev/zero", 78, "not a regular file"),
        ("--config {}/pipe.toml", 78, "it is a pipe, not a regular file"),
        ("-e {}/pipe", 73, "is not a snapshot"),
        ("-e {}/none/snapshot", 73, "create its directory"),
        ("-e {}/text", 73, "is not a snapshot"),
        ("-s {}/text", 71, "is not a socket"),
        ("-s {}/none/socket", 71, "create its directory first"),
        ("--hand-over {}/text", 71, "is not a socket"),
        ("--hand-over {}/none/socket", 71, "create its directory first"),
    ] {
        refused(dir.path(), arguments, code, words);
    }
}

#[test]
fn secrets_may_be_links_and_drop_ins_may_be_put_out_of_force() {
    ours_only!();
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().expect("a plain path").to_owned();
    // In the layout that Kubernetes mounts.
    fs::create_dir(path("..data")).expect("a folder");
    fs::write(path("..data/users"), "foo:bar\n").expect("a file");
    fs::set_permissions(path("..data/users"), fs::Permissions::from_mode(0o600)).expect("our own");
    std::os::unix::fs::symlink("..data/users", path("users")).expect("a link");
    fs::write(path("node.toml"), "threads = 2\n").expect("a file");
    fs::create_dir(path("node.toml.d")).expect("a folder");
    std::os::unix::fs::symlink("/dev/null", path("node.toml.d/10-package.toml")).expect("a link");
    let (config, users) = (path("node.toml"), path("users"));
    let (code, stdout, stderr) = run(&["--config", &config, "-Y", &users, "--check-config"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("threads = 2"), "{stdout}");
}

#[test]
fn a_pid_file_that_cannot_be_written_is_warned_of() {
    ours_only!();
    let dir = scratch();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for place in [dir.path().join("none/pid"), dir.path().to_owned(), pipe.clone()] {
        let place = place.to_str().expect("a plain path");
        let (code, _, stderr) = run(&["-P", place, "--check-config"]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("warning: cannot write the pid file"), "{stderr}");
        let server = Server::start(Kind::Ringbinder, &["-P", place]);
        server.connect().talk("get a\r\n", "END\r\n");
        assert!(server.log().contains("cannot write the pid file"), "{}", server.log());
    }
    assert!(pipe.exists());
}

#[test]
fn a_check_has_the_rights_of_the_user_that_a_start_becomes() {
    ours_only!();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = scratch();
    refused(dir.path(), "-u no-such-user-here", 67, "does not exist");
    let ring = dir.path().join("ring.toml");
    fs::write(&ring, RING).expect("a file");
    fs::set_permissions(&ring, fs::Permissions::from_mode(0o600)).expect("our own file");
    refused(dir.path(), "-u nobody --ring {}/ring.toml", 78, "cannot read the ring file");
    let private = dir.path().join("private");
    fs::create_dir(&private).expect("a folder");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).expect("our own folder");
    refused(dir.path(), "-u nobody -e {}/private/snapshot", 77, "reading its directory entry");
    refused(
        dir.path(),
        "-u nobody --hand-over {}/private/door",
        77,
        "permissions of the directory",
    );
}

#[test]
fn a_check_warns_of_a_ring_without_this_node_and_ends_well() {
    ours_only!();
    let dir = scratch();
    let ring = dir.path().join("ring.toml");
    fs::write(&ring, RING).expect("a file");
    let ring = ring.to_str().expect("a plain path");
    for (arguments, warning) in [
        (&["-l", "127.0.0.1"][..], None),
        (&["-l", "0.0.0.0"], None),
        (&["-l", "10.9.9.9", "--node", "a"], None),
        (&["-l", "10.9.9.9"], Some("no node has an address on which this one listens")),
        (&["-l", "127.0.0.1", "--node", "b"], Some("no node has the name b")),
        (&["-l", "127.0.0.1", "-p", "-1"], Some("did not check whether the ring lists this node")),
        (&["-l", "localhost"], Some("did not check whether the ring lists this node")),
    ] {
        let more = ["--ring", ring, "--check-config"];
        let (code, stdout, stderr) = run(&[arguments, &more[..]].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert!(stdout.contains("\nring = "), "{stdout}");
        match warning {
            Some(words) => {
                assert!(stderr.starts_with("ringbinderd: warning: "), "{arguments:?}: {stderr}");
                assert!(stderr.contains(words), "{arguments:?}: {stderr}");
            }
            None => assert_eq!(stderr, "", "{arguments:?}"),
        }
    }
}

#[test]
fn a_check_does_not_ask_etcd() {
    ours_only!();
    // Port 1 is closed, so a start would fail.
    let (code, stdout, stderr) = run(&["--ring", "etcd://127.0.0.1:1/ring", "--check-config"]);
    if stderr.contains("without etcd") {
        assert_eq!(code, Some(78), "{stderr}");
        return;
    }
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("etcd://127.0.0.1:1/ring"), "{stdout}");
    assert!(stderr.contains("did not read the ring etcd://127.0.0.1:1/ring"), "{stderr}");
}

#[test]
fn a_check_leaves_the_files_of_a_running_node_alone() {
    ours_only!();
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().expect("a plain path").to_owned();
    // The files of a running node that is writing its snapshot.
    let listeners =
        [path("socket"), path("door")].map(|at| UnixListener::bind(at).expect("a socket"));
    fs::write(path("pid"), "1\n").expect("a file");
    fs::write(path("snapshot.new"), "half").expect("a file");
    let (socket, door, pid, snapshot) =
        (path("socket"), path("door"), path("pid"), path("snapshot"));
    let arguments = ["-s", &socket, "--hand-over", &door, "-P", &pid, "-e", &snapshot];
    let (code, _, stderr) = run(&[&arguments[..], &["--check-config"]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["door", "pid", "snapshot.new", "socket"]);
    assert_eq!(fs::read_to_string(path("snapshot.new")).expect("a file"), "half");
    drop(listeners);
}
