//! Tests of starts with unusable files, and of the permissions of a Unix socket.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Stdio;

use ringbinder_tests::server::{scratch, target};
use ringbinder_tests::{Conn, Kind, Server, wait};

use super::certs::write;
use super::pair;

/// Runs ringbinderd to its end. Returns exit code, stdout and stderr.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Kind::Ringbinder.command();
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("a program");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn files_are_checked_before_anything_is_served() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let soon = authority.issue_expired(dir.path(), "ended", &["127.0.0.1"]);
    let path = |name: &str, text: &str| write(&dir.path().join(name), text).display().to_string();
    let chain = format!("ssl_chain_cert={}", files.chain.display());
    let key = format!("ssl_key={}", files.key.display());
    let junk = format!("ssl_chain_cert={},{key}", path("junk", "junk"));
    let mismatch = format!("{chain},ssl_key={}", soon.key.display());
    let (users, none) = (path("users", "foo\n"), dir.path().join("none").display().to_string());
    let good = files.options();
    let authorities = format!("{chain},{key},ssl_ca_cert={}", files.key.display());
    for (arguments, code, why) in [
        (&["-Z"][..], 64, "--enable-ssl: TLS needs a certificate"),
        (&["-Z", "-o", &chain], 78, "holds no private key in PEM form, but this: CERTIFICATE"),
        (&["-Z", "-o", &junk], 78, "junk holds no certificate in PEM form"),
        (&["-Z", "-o", &mismatch], 78, "is not that of the certificate in"),
        (&["-Z", "-o", &authorities], 78, "server.key holds no certificate in PEM form"),
        (
            &["-Z", "-o", &chain, "-o", &key, "-o", "ssl_verify_mode=1"],
            64,
            "-o ssl_verify_mode: clients are asked",
        ),
        (
            &["-Z", "-o", &chain, "-o", &key, "-l", "mtls:127.0.0.1"],
            64,
            "--listen: clients are asked",
        ),
        (&["-o", "ssl_verify_mode=4"], 64, "must be a whole number from 0 to 3"),
        (&["-o", "ssl_min_version=9"], 64, "must be 2 for tlsv1.2 or 3 for tlsv1.3"),
        (&["-l", "mtls:127.0.0.1"], 64, "TLS is off; turn it on with -Z"),
        (&["-Y", &users], 78, "line 1 is not of the form user:password"),
        (&["-Y", &none], 78, "No such file"),
    ] {
        for check in [&["--check-config"][..], &["-p", "-1"]] {
            let (ended, _, error) = run(&[arguments, check].concat());
            assert_eq!(ended, Some(code), "{arguments:?}: {error}");
            assert!(
                error.contains(why) && error.lines().count() == 1 || error.contains("WARN"),
                "{error}"
            );
        }
    }
    let (ended, text, error) = run(&["-Z", "-o", &good, "--check-config"]);
    assert_eq!((ended, error.as_str()), (Some(0), ""));
    assert!(text.contains("enable_ssl = true") && text.contains("ssl_verify_mode = 0"), "{text}");
    let expired = soon.options();
    let (ended, _, error) = run(&["-Z", "-o", &expired, "--check-config"]);
    assert_eq!(ended, Some(0));
    assert!(error.contains("expired on 2021-01-01"), "{error}");
    let (ended, _, error) = run(&[
        "-o",
        "ssl_ciphers=X,ssl_keyformat=1,ssl_wbuf_size=4,ssl_kernel_tls,ssl_ca_cert=x",
        "--check-config",
    ]);
    assert_eq!(ended, Some(0));
    assert_eq!(error.lines().count(), 5, "{error}");
    let (_, _, error) = run(&["-Z", "-o", &good, "-o", "ssl_min_version=0", "--check-config"]);
    assert!(error.contains("asks for tlsv1.0, which is too old"), "{error}");
}

#[test]
fn the_start_says_what_is_spoken_where() {
    let dir = scratch();
    let (_, files) = pair(dir.path());
    let options = files.options();
    let server = Server::start_on(
        Kind::Ringbinder,
        &["-Z", "-o", &options, "-l", "mtls:127.0.0.1:0,notls:127.0.0.2:0"],
        |_| {},
    );
    let log = wait::until("the greeting", || {
        let log = server.log();
        log.contains("try it").then_some(log)
    });
    assert!(log.contains(" (TLS, clients by certificate), 127.0.0.2:"), "{log}");
    assert!(log.contains("| nc 127.0.0.2 "), "{log}");
}

#[test]
fn a_unix_socket_has_its_permissions_before_anybody_connects() {
    for (flag, mode) in [("0700", 0o700), ("0770", 0o770), ("666", 0o666)] {
        let dir = scratch();
        let socket = dir.path().join("socket");
        let path = socket.clone();
        // Checks the file continuously, from before it exists.
        let watched = std::thread::spawn(move || {
            wait::until("a connection", || {
                let before = std::fs::symlink_metadata(&path).ok()?;
                assert!(before.file_type().is_socket());
                Conn::unix(&path).ok()?;
                Some(std::fs::symlink_metadata(&path).ok()?.permissions().mode() & 0o7777)
            })
        });
        let _server = Server::start_unix(target(), &socket, &["-a", flag], dir);
        let seen = watched.join().unwrap();
        let now = std::fs::symlink_metadata(&socket).unwrap().permissions().mode() & 0o7777;
        assert_eq!(now, mode, "-a {flag}");
        if target() == Kind::Ringbinder {
            assert_eq!(seen, mode, "the first connection, with -a {flag}");
        }
    }
}
