//! Tests of `stats` and `flush` with all nodes running.

use crate::Ring;
use crate::command::rows;
use crate::scripted::Script;

#[test]
fn the_overview_has_every_node_and_the_sum() {
    let ring = Ring::running(2);
    let (a, b) = (ring.key_of(0), ring.key_of(1));
    for key in [&a, &b] {
        ring.run(&["set", key, "v"]).succeeds();
    }
    ring.run(&["get", &a, &a, &b]).succeeds();
    let text = ring.run(&["stats"]).succeeds().out;
    let rows = rows(&text);
    assert_eq!(rows[0], ["ALL", "cache-0", "cache-1"]);
    assert!(rows.contains(&vec!["items", "2", "1", "1"]), "{text}");
    assert!(rows.contains(&vec!["hits", "3", "2", "1"]), "{text}");
    assert!(rows.contains(&vec!["sets", "2", "1", "1"]), "{text}");
    let json = ring.run(&["stats", "--json"]).succeeds().json();
    assert_eq!(json["sum"]["curr_items"], 2);
    assert_eq!(json["nodes"][1]["stats"]["cmd_set"], 1);
    // Statistics of a single process are not summed.
    assert!(json["sum"].get("pid").is_none() && json["sum"].get("uptime").is_none());
}

#[test]
fn everything_is_lines_of_node_name_and_value() {
    let ring = Ring::running(2);
    let text = ring.run(&["stats", "--all"]).succeeds().out;
    for node in ["cache-0", "cache-1"] {
        assert!(text.contains(&format!("{node} cmd_get 0\n")), "{text}");
    }
    let text = ring.run(&["stats", "ring", "--all", "--node", "cache-1"]).succeeds().out;
    assert!(text.contains("cache-1 ring_node cache-1\n"), "{text}");
    assert!(!text.contains("cache-0 "), "{text}");
}

#[test]
fn statistics_of_another_kind_are_columns_too() {
    let ring = Ring::running(2);
    let text = ring.run(&["stats", "ring"]).succeeds().out;
    assert!(rows(&text).contains(&vec!["ring_node", "cache-0", "cache-1"]), "{text}");
    assert!(rows(&text).contains(&vec!["ring_version", "1", "1"]), "{text}");
    assert!(rows(&text).contains(&vec!["foreign_gets", "0", "0", "0"]), "{text}");
    ring.run(&["stats", "--node", "cache-9"]).fails(64, &["cache-9", "cache-0, cache-1"]);
    let reset = ring.run(&["stats", "reset"]).succeeds();
    assert_eq!((reset.out.as_str(), reset.err.as_str()), ("", "done; there is nothing to show\n"));
    ring.run(&["stats", "a\nb"]).fails(64, &["not a single line"]);
}

#[test]
fn nothing_is_emptied_where_nobody_was_asked() {
    let ring = Ring::running(2);
    let keys = [ring.key_of(0), ring.key_of(1)];
    let [a, b] = &keys;
    for key in &keys {
        ring.run(&["set", key, "v"]).succeeds();
    }
    ring.run(&["flush"]).fails(64, &["all 2 nodes", "--yes"]);
    ring.fed(&["flush"], b"y\n").fails(64, &["--yes"]);
    ring.run(&["get", a, b]).succeeds();
    // One node, then all nodes.
    let ran = ring.run(&["flush", "--yes", "--node", "cache-0"]).succeeds();
    assert_eq!(ran.out, "emptied cache-0\n");
    assert_eq!(ring.run(&["get", b]).succeeds().out, "v");
    assert_eq!(ring.run(&["get", a]).code, 1);
    let json = ring.run(&["flush", "--yes", "--json"]).succeeds().json();
    assert_eq!((&json[0]["flushed"], &json[1]["flushed"]), (&true.into(), &true.into()));
    assert_eq!(ring.run(&["get", b]).code, 1);
}

#[test]
fn emptying_can_be_put_off() {
    let ring = Ring::running(1);
    ring.run(&["set", "k", "v"]).succeeds();
    let ran = ring.run(&["flush", "--yes", "--delay", "1h"]).succeeds();
    assert_eq!(ran.out, "will be empty in 3600 seconds: cache-0\n");
    assert_eq!(ring.run(&["get", "k"]).succeeds().out, "v");
    // The protocol reads a Unix time above 30 days.
    let ran = ring.run(&["flush", "--yes", "--delay", "60d"]).succeeds();
    assert_eq!(ran.out, "will be empty in 5184000 seconds: cache-0\n");
    assert_eq!(ring.run(&["get", "k"]).succeeds().out, "v");
}

#[test]
fn certificates_are_read_again_on_every_node_or_on_some() {
    const EXPIRED: &str =
        "Error the certificate in a.pem expired\u{9b}; the certificates in force stay";
    let mut script = Script::new(3);
    script.answer(0, "refresh_certs", "OK").answer(1, "refresh_certs", EXPIRED);
    script.answer(2, "refresh_certs", "OK");
    let nodes = script.start();
    let done = "certificates reloaded on cache-a\ncertificates reloaded on cache-c\n";
    let ran = nodes.run(&["refresh-certs"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, done), "{ran:?}");
    let said = "expired\\u{9b}; the certificates in force stay; the other nodes answered\n";
    assert!(ran.err.contains("cache-b") && ran.err.ends_with(said), "{ran:?}");
    let some =
        ["refresh-certs", "--node", "cache-c", "--node", "cache-a", "--node", "cache-c", "--json"];
    let json = nodes.run(&some).succeeds().json();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|node| &node["node"]).collect();
    assert_eq!(names, ["cache-c", "cache-a"]);
    let ran = nodes.run(&["refresh-certs", "--json"]);
    let json = ran.json();
    assert_eq!(
        (ran.code, &json[1]["refreshed"], &json[2]["refreshed"]),
        (1, &false.into(), &true.into())
    );
    assert!(json[1]["error"].as_str().unwrap().contains("a.pem expired"), "{json}");
    nodes.run(&["refresh-certs", "--node", "cache-x"]).fails(64, &["no node \"cache-x\""]);
}

#[test]
fn a_node_without_tls_has_no_certificates_to_read() {
    let ring = Ring::running(1);
    ring.run(&["refresh-certs"]).fails(1, &["cache-0", "TLS not enabled"]);
}
