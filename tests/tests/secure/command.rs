//! Tests of the operator's tool with a ring whose nodes require TLS and a password.

use std::process::Stdio;

use ringbinder_tests::ring::ring_file;
use ringbinder_tests::server::tool;

use super::certs::{Authority, write};
use super::fleet::{Fleet, keys};

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Runs the command with these words, and these files for flags.
    pub(crate) fn of(ring: &str, words: &[&str], flags: &[(&str, &str)]) -> Ran {
        let mut command = tool();
        command.args(words).args(["--ring", ring]).stdin(Stdio::null());
        command.args(flags.iter().flat_map(|(flag, file)| [flag, file]));
        let output = command.output().expect("a program");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts that it exited with this code, and with one line of error that contains all these texts.
    #[track_caller]
    fn fails(self, code: i32, said: &[&str]) {
        assert!(self.code == Some(code) && self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("ringbinder: ") && self.err.lines().count() == 1, "{self:?}");
        for words in said {
            assert!(self.err.contains(words), "{words}: {self:?}");
        }
    }
}

/// The paths for the flags.
struct Paths {
    authority: String,
    auth: String,
}

impl Paths {
    fn of(fleet: &Fleet) -> Paths {
        let path = |path: &std::path::Path| path.display().to_string();
        let auth = write(&fleet.dir().join("auth"), "web:two\n");
        Paths { authority: path(&fleet.authority.file), auth: path(&auth) }
    }

    fn flags(&self) -> [(&str, &str); 2] {
        [("--tls-ca", &self.authority), ("--auth-file", &self.auth)]
    }
}

#[test]
fn every_command_works_and_any_node_passes_on() {
    let fleet = Fleet::running(3, &["-o", "ssl_verify_mode=1"]);
    let keys = keys(&mut fleet.connect(0), 3);
    let (all, paths) = (fleet.ring(), Paths::of(&fleet));
    // A ring that an operator must not write: all keys belong to one node.
    let one = ring_file(1, [("cache-0", fleet.ports[0], 1)]);
    let one = write(&fleet.dir().join("one.toml"), &one).display().to_string();
    let run = |ring: &str, words: &[&str]| Ran::of(ring, words, &paths.flags());
    for key in &keys {
        for (writer, reader) in [(&all, &one), (&one, &all)] {
            run(writer, &["set", key, writer]).succeeds();
            assert_eq!(run(reader, &["get", key]).succeeds(), *writer);
            run(reader, &["delete", key]).succeeds();
            assert_eq!(run(writer, &["get", key]).code, Some(1));
        }
        run(&one, &["set", key, "v"]).succeeds();
    }
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&run(&all, words).succeeds()).expect("JSON")
    };
    let stats = json(&["stats", "--json"]);
    let check = json(&["check", "--json"]);
    let top = json(&["top", "--json", "--interval", "0.1"]);
    for node in 0..3 {
        assert_eq!(stats["nodes"][node]["stats"]["curr_items"], 1, "{stats}");
        assert_eq!(stats["nodes"][node]["stats"]["auth_errors"], 0, "{stats}");
        assert_eq!(check["nodes"][node]["state"], "ok", "{check}");
        assert_eq!(top["nodes"][node]["state"], "ok", "{top}");
    }
    let table = run(&all, &["top", "--once", "--interval", "0.1"]).succeeds();
    assert_eq!(table.lines().filter(|line| line.contains("  ok ")).count(), 3, "{table}");
    run(&all, &["hot"]).succeeds();
    run(&all, &["flush", "--yes"]).succeeds();
    assert_eq!(run(&one, &["get", &keys[1]]).code, Some(1));
}

#[test]
fn what_does_not_fit_is_one_line_and_an_exit_code() {
    let fleet = Fleet::running(3, &["-o", "ssl_verify_mode=2"]);
    let (ring, paths) = (fleet.ring(), Paths::of(&fleet));
    let path = |path: &std::path::Path| path.display().to_string();
    let stranger = path(&Authority::new(fleet.dir(), "stranger").file);
    let wrong = path(&write(&fleet.dir().join("wrong"), "web:tr0ub4dor\n"));
    let (chain, key) = (path(&fleet.certificate.chain), path(&fleet.certificate.key));
    let own = [("--tls-cert", chain.as_str()), ("--tls-key", &key)];
    let ca = ("--tls-ca", paths.authority.as_str());
    let auth = ("--auth-file", paths.auth.as_str());
    let no_tls = [auth].to_vec();
    let wrong_ca = [&own[..], &[("--tls-ca", &stranger), auth]].concat();
    let no_certificate = [ca, auth].to_vec();
    let no_login = [&own[..], &[ca]].concat();
    let wrong_login = [&own[..], &[ca, ("--auth-file", &wrong)]].concat();
    for (flags, code, state, said) in [
        (&no_tls, 76, "no_tls", ["it speaks TLS on this port", "; use --tls, or --tls-ca FILE"]),
        (&wrong_ca, 76, "no_tls", ["not from a CA that is trusted here", "--tls-ca FILE"]),
        (&no_certificate, 77, "no_tls", ["it requires a client certificate", "--tls-cert FILE"]),
        (&no_login, 77, "no_login", ["requires a login", "--auth-file FILE"]),
        (&wrong_login, 77, "no_login", ["rejects the login of \"web\"", "--auth-file"]),
    ] {
        for words in [&["get", "k"][..], &["set", "k", "v"], &["delete", "k"]] {
            Ran::of(&ring, words, flags).fails(code, &said);
        }
        // These commands ask all nodes, and report each.
        let stats = Ran::of(&ring, &["stats"], flags);
        assert!(stats.code == Some(code) && stats.err.contains(said[0]), "{stats:?}");
        assert!(!stats.err.contains("tr0ub4dor"), "{stats:?}");
        let check = Ran::of(&ring, &["check", "--json"], flags);
        let json: serde_json::Value = serde_json::from_str(&check.out).expect("JSON");
        assert_eq!((check.code, &json["nodes"][2]["state"]), (Some(code), &state.into()), "{json}");
        let top = Ran::of(&ring, &["top", "--once", "--interval", "0.1"], flags);
        assert_eq!((top.code, top.err.lines().count()), (Some(code), 1), "{top:?}");
        assert!(said.iter().all(|words| top.err.contains(words)), "{top:?}");
        assert_eq!(top.out.lines().filter(|line| line.contains(" away ")).count(), 3, "{top:?}");
    }
    Ran::of(&ring, &["set", "k", "v"], &[&own[..], &[ca, auth]].concat()).succeeds();

    let mut plain = Fleet::new(1);
    let mut setup = plain.secure(0);
    (setup.files, setup.users) = (None, None);
    plain.start(0, &setup);
    Ran::of(&plain.ring(), &["get", "k"], &paths.flags())
        .fails(76, &["it does not speak TLS on this port", "; leave out --tls"]);
    let top = Ran::of(&plain.ring(), &["top", "--json", "--interval", "0.1"], &paths.flags());
    assert_eq!((top.code, top.err.lines().count()), (Some(76), 1), "{top:?}");
    // Login flags do no harm if the nodes require no login.
    Ran::of(&plain.ring(), &["set", "k", "v"], &[auth]).succeeds();
}
