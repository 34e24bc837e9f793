//! Tests of `get`, `set` and `delete` with all nodes running.

use std::io::Read as _;
use std::process::Stdio;

use crate::{Ring, command::Ran};

#[test]
fn a_value_goes_to_the_owner_and_comes_back_as_it_was() {
    let ring = Ring::running(2);
    for node in 0..2 {
        let key = ring.key_of(node);
        let ran = ring.run(&["set", &key, "hello"]).succeeds();
        assert_eq!(ran.out, format!("stored {key} on cache-{node}\n"));
        // The output is the value without a line break.
        assert_eq!(ring.run(&["get", &key]).succeeds().out, "hello");
        // Any node returns it, like its owner.
        let answer = ring.fleet.connect(1 - node).ask_text(&format!("get {key}\r\n"));
        assert!(answer.contains("hello"), "{answer}");
    }
}

#[test]
fn values_are_bytes() {
    let ring = Ring::running(1);
    let value = b"\x00\xff\x1b[31m\r\nEND\r\n";
    ring.fed(&["set", "k"], value).succeeds();
    let output = ring.command(&["get", "k"]).output().unwrap();
    assert_eq!(output.stdout, value);
    let json = ring.run(&["get", "k", "--json"]).succeeds().json();
    assert_eq!(json[0]["value_base64"], "AP8bWzMxbQ0KRU5EDQo=");
    assert_eq!(json[0]["bytes"], value.len());
    assert!(json[0].get("value").is_none());
    ring.fed(&["set", "k", "-"], b"").succeeds();
    assert_eq!(ring.run(&["get", "k"]).succeeds().out, "");
}

#[test]
fn keys_are_answered_in_their_order_and_what_is_missing_is_told() {
    let ring = Ring::running(2);
    let (a, b) = (ring.key_of(0), ring.key_of(1));
    ring.run(&["set", &a, "1"]).succeeds();
    ring.run(&["set", &b, "2"]).succeeds();
    assert_eq!(ring.run(&["get", &b, &a, &b]).succeeds().out, "2\n1\n2\n");
    let ran = ring.run(&["get", &a, "nothing", &b]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "1\n2\n"));
    assert_eq!(ran.err, "warning: nothing is not there\n");
    let ran = ring.run(&["get", "nothing", &a, "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let json = ran.json();
    assert_eq!((&json[0]["found"], &json[1]["found"]), (&false.into(), &true.into()));
    assert_eq!((&json[1]["value"], &json[1]["node"]), (&"1".into(), &"cache-0".into()));
}

#[test]
fn conditions_decide_what_is_stored() {
    let ring = Ring::running(1);
    let set = |words: &[&str]| ring.run(&[&["set", "k"], words].concat());
    assert_eq!(set(&["1", "--replace"]).code, 1);
    set(&["2", "--add", "--flags", "7"]).succeeds();
    let ran = set(&["3", "--add"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "not stored k: there already on cache-0\n"));
    set(&["4", "--replace", "--flags", "4294967295"]).succeeds();
    let json = ring.run(&["get", "k", "--json"]).succeeds().json();
    assert_eq!((&json[0]["value"], &json[0]["flags"]), (&"4".into(), &4_294_967_295u32.into()));
    let cas = json[0]["cas"].to_string();
    let stored = set(&["5", "--cas", &cas, "--json"]).succeeds().json();
    assert_eq!(stored["result"], "stored");
    // The answer contains the next CAS.
    let next = stored["cas"].to_string();
    let ran = set(&["6", "--cas", &cas, "--json"]);
    assert_eq!((ran.code, &ran.json()["result"]), (1, &"changed".into()));
    set(&["6", "--cas", &next]).succeeds();
    assert_eq!(ring.run(&["get", "k"]).out, "6");
    let ran = ring.run(&["set", "other", "1", "--cas", "1", "--json"]);
    assert_eq!((ran.code, &ran.json()["result"]), (1, &"not there".into()));
    assert_eq!(set(&["1", "--add", "--replace"]).code, 64);
}

#[test]
fn times_to_live_arrive() {
    let ring = Ring::running(1);
    let left = |ttl: &str| {
        ring.run(&["set", "k", "v", "--ttl", ttl]).succeeds();
        let answer = ring.fleet.connect(0).ask_text("mg k t\r\n");
        answer.trim().strip_prefix("HD t").unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(left("0"), -1);
    assert!((1..=600).contains(&left("10m")));
    // The protocol requires a date for times beyond 30 days.
    assert!((40 * 86_400 - 600..=40 * 86_400 + 1).contains(&left("40d")));
    assert_eq!(ring.run(&["set", "k", "v", "--ttl", "soon"]).code, 64);
}

#[test]
fn keys_are_deleted_and_those_that_are_not_there_are_told() {
    let ring = Ring::running(2);
    let (a, b) = (ring.key_of(0), ring.key_of(1));
    for key in [&a, &b] {
        ring.run(&["set", key, "v"]).succeeds();
    }
    let ran = ring.run(&["delete", &a]).succeeds();
    assert_eq!(ran.out, format!("deleted {a} on cache-0\n"));
    let ran = ring.run(&["delete", &a, &b]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, format!("not there {a} on cache-0\ndeleted {b} on cache-1\n"));
    let ran = ring.run(&["delete", &b, "--json"]);
    assert_eq!((ran.code, &ran.json()[0]["deleted"]), (1, &false.into()));
    assert_eq!(ring.run(&["get", &a, &b]).code, 1);
}

#[test]
fn a_key_that_is_none_is_sent_to_nobody() {
    let ring = Ring::running(1);
    let long = "x".repeat(251);
    for words in [&["get", "good", &long][..], &["delete", "good", &long], &["set", &long, "v"]] {
        ring.run(words).fails(65, &["longer than 250 bytes"]);
    }
    ring.run(&["get", "a b"]).fails(65, &["key 1", "a space"]);
    ring.run(&["set", "", "v"]).fails(65, &["key is empty"]);
    let ran = ring.run(&["get", &long, "--json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, &error["exit"]), (65, &65.into()));
    let stats = ring.fleet.connect(0).ask_text("stats\r\n");
    assert!(stats.contains("STAT cmd_get 0\r\n"), "{stats}");
}

#[test]
fn a_value_that_the_node_does_not_take_is_its_answer() {
    let ring = Ring::running(1);
    let ran = ring.fed(&["set", "k"], &vec![b'x'; 2 << 20]);
    ran.fails(1, &["cache-0", "too large"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let ring = Ring::running(1);
    // More than fits into a pipe.
    ring.fed(&["set", "k"], &vec![b'x'; 500_000]).succeeds();
    let mut command = ring.command(&["get", "k", "k", "k"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn without_a_ring_there_is_nothing_to_ask() {
    let directory = tempfile::tempdir().unwrap();
    for words in [&["get", "k"][..], &["set", "k", "v"], &["delete", "k"], &["stats"], &["check"]] {
        let mut command = crate::command::command();
        Ran::of(command.args(words).current_dir(directory.path())).fails(66, &["--ring FILE"]);
    }
}
