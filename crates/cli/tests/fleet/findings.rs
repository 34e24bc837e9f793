//! Tests of the findings of `check` in rings whose nodes answer correctly and report problems.

use serde_json::Value;

use crate::command::Ran;
use crate::scripted::{Script, VERSION, instance};

/// The exit code and the findings of `check` with these nodes.
#[track_caller]
fn found(script: &mut Script) -> (i32, Vec<Value>) {
    let ran = script.run(&["check", "--json"]);
    let json = ran.json();
    let findings = json["findings"].as_array().unwrap().clone();
    let failed = findings.iter().any(|finding| finding["severity"] == "failure");
    assert_eq!((&json["agree"], &json["ok"]), (&(!failed).into(), &findings.is_empty().into()));
    let states = json["nodes"].as_array().unwrap().iter().map(|node| &node["state"]);
    assert_eq!(states.clone().any(|state| state != "ok"), failed, "{json}");
    (ran.code, findings)
}

/// Asserts that there is one finding, of this kind, about this node and these others.
#[track_caller]
fn only(script: &mut Script, code: i32, kind: &str, node: &str, about: &[&str]) -> String {
    let (got, findings) = found(script);
    assert_eq!((got, findings.len()), (code, 1), "{findings:#?}");
    let finding = &findings[0];
    assert_eq!((&finding["kind"], &finding["node"]), (&kind.into(), &node.into()), "{finding}");
    assert_eq!(finding["about"], Value::from(about), "{finding}");
    finding["text"].as_str().unwrap().to_owned()
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn ok_means_one_process_for_every_key() {
    let mut script = Script::new(3);
    let nodes = script.start();
    let ran = nodes.run(&["check", "--strict"]).succeeds();
    let ok = "ok: every key is served by exactly one process; all 3 nodes hold ring 7\n";
    assert!(ran.out.ends_with(ok), "{ran:?}");
    let json = nodes.run(&["check", "--json"]).succeeds().json();
    assert_eq!((&json["ok"], &json["findings"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(json["nodes"][1]["instance"], instance(1));
    assert_eq!(json["nodes"][1]["program"], "9.9.9");
    let ran = Script::new(1).run(&["check"]).succeeds();
    let ok = "ok: every key is served by exactly one process; the node holds ring 7\n";
    assert!(ran.out.ends_with(ok), "{ran:?}");
}

#[test]
fn a_ring_without_members_is_not_in_order() {
    // The addresses are port-mapped, and --node is missing.
    let mut script = Script::new(3);
    for node in 0..3 {
        script.set(node, "ring_node", "-").set(node, "ring_member", "no");
        script.set(node, "ring_standing", "absent");
    }
    let (code, findings) = found(&mut script);
    assert_eq!((code, findings.len()), (78, 3));
    for (finding, name) in findings.iter().zip(["cache-a", "cache-b", "cache-c"]) {
        assert_eq!((&finding["kind"], &finding["node"]), (&"not_a_member".into(), &name.into()));
        contains(finding["text"].as_str().unwrap(), &[&format!("restart it with --node {name}")]);
    }
}

#[test]
fn a_node_of_an_older_version_that_is_no_member_is_told_too() {
    let mut script = Script::new(2);
    script.set(1, "ring_member", "no").set(1, "ring_node", "-");
    script.forget(1, |name| name.starts_with("ring_standing") || name == "ring_instance");
    let (code, findings) = found(&mut script);
    assert_eq!((code, &findings[0]["kind"]), (78, &"not_a_member".into()));
    assert_eq!((findings.len(), &findings[1]["kind"]), (2, &"not_reported".into()));
}

#[test]
fn a_renamed_node_is_told_by_both_names() {
    let mut script = Script::new(2);
    script.set(1, "ring_node", "cache-old").set(1, "ring_member", "no");
    script.set(1, "ring_standing", "absent");
    let text = only(&mut script, 78, "name_mismatch", "cache-b", &[]);
    contains(&text, &["goes by the name cache-old, which is not in the ring", "--node cache-b"]);
}

#[test]
fn an_address_that_leads_to_another_node_is_told() {
    let mut script = Script::new(3);
    // A clone with the configuration of cache-c.
    script.set(1, "ring_node", "cache-c");
    let text = only(&mut script, 78, "name_mismatch", "cache-b", &[]);
    let there = format!("if it is cache-c at {}", script.address(2));
    contains(&text, &[&script.address(1), "goes by the name cache-c", &there]);
}

#[test]
fn one_process_behind_two_addresses_is_told_once() {
    let mut script = Script::new(3);
    script.same(2, 1);
    // Peers accept the process that answers at the address of cache-c.
    script.set(0, "peer:cache-c:instance", &instance(1));
    let text = only(&mut script, 78, "same_process", "cache-b", &["cache-c"]);
    contains(
        &text,
        &[&instance(1), &script.address(1), &script.address(2), "calls itself cache-b"],
    );
    let json = Script::new(3).same(2, 1).run(&["check", "--json"]).json();
    let state = |node: usize| json["nodes"][node]["state"].clone();
    assert_eq!([state(0), state(1), state(2)], ["ok", "same_process", "same_process"]);
    assert_eq!(json["nodes"][2]["advice"], json["nodes"][1]["advice"]);
}

#[test]
fn a_process_that_was_replaced_is_told() {
    let mut script = Script::new(3);
    script.set(1, "ring_standing", "replaced").set(1, "ring_member", "no");
    script.set(1, "ring_standing_reason", "instance 00000000000000ff answers at its address");
    for peer in [0, 2] {
        script.set(peer, "peer:cache-b:instance", "00000000000000ff");
        script.cut(peer, 1, "another process answers at its address");
    }
    let text = only(&mut script, 78, "replaced", "cache-b", &[]);
    contains(
        &text,
        &["cache-a accepts instance 00000000000000ff", "it says: instance 00000000000000ff"],
    );
}

#[test]
fn two_processes_for_one_name_are_told_however_they_show() {
    // A peer knows of another process that claims the name.
    let mut script = Script::new(3);
    script.set(0, "peer:cache-b:rival", "00000000000000ff");
    let text = only(&mut script, 78, "disputed", "cache-b", &[]);
    contains(&text, &["cache-a met instance 00000000000000ff", &instance(1), "stop all but one"]);
    // Only the node itself does.
    let mut script = Script::new(1);
    script.set(0, "ring_rival", "00000000000000ff");
    let text = only(&mut script, 78, "disputed", "cache-a", &[]);
    contains(&text, &["it met instance 00000000000000ff itself"]);
    // Peers accept different processes.
    let mut script = Script::new(3);
    script.set(2, "peer:cache-b:instance", "00000000000000ee");
    let text = only(&mut script, 78, "disputed", "cache-b", &[]);
    contains(&text, &["cache-c accepts instance 00000000000000ee"]);
    // All peers accept another process than the one that answers here, as if the name resolved differently
    // here.
    let mut script = Script::new(4);
    for peer in [0, 2, 3] {
        script.set(peer, "peer:cache-b:instance", "00000000000000dd");
    }
    let text = only(&mut script, 78, "disputed", "cache-b", &[]);
    contains(&text, &["cache-a and 2 more nodes accept instance 00000000000000dd"]);
    // The disputed node does not answer here.
    let mut script = Script::new(3);
    script.set(2, "peer:cache-b:instance", "00000000000000ee").stop(1);
    let (code, findings) = found(&mut script);
    let kinds: Vec<_> = findings.iter().map(|finding| &finding["kind"]).collect();
    assert_eq!((code, kinds), (78, vec![&"away".into(), &"disputed".into()]));
}

#[test]
fn a_node_without_proof_is_told() {
    let mut script = Script::new(2);
    script.set(1, "ring_standing", "unconfirmed");
    script.set(1, "ring_standing_reason", "no answer from cache-b:11211");
    let text = only(&mut script, 1, "unconfirmed", "cache-b", &[]);
    contains(&text, &[&script.address(1), "it says: no answer from cache-b:11211"]);
}

#[test]
fn nodes_that_do_not_reach_each_other_are_told_with_the_direction() {
    let mut script = Script::new(4);
    script.cut(0, 1, "no answer within 300 ms");
    let text = only(&mut script, 1, "unreachable", "cache-b", &["cache-a"]);
    contains(&text, &["cache-a cannot reach cache-b", "no answer within 300 ms"]);
    // Several directions to one node have one cause.
    let mut script = Script::new(4);
    script.cut(0, 1, "certificate expired").cut(2, 1, "certificate expired");
    script.cut(3, 1, "connection refused");
    let text = only(&mut script, 1, "unreachable", "cache-b", &["cache-a", "cache-c", "cache-d"]);
    contains(&text, &["cache-a, cache-c and cache-d cannot reach cache-b"]);
    contains(&text, &["cache-a says: certificate expired; cache-d says: connection refused"]);
    // So do all directions from one node.
    let mut script = Script::new(4);
    for other in [0, 1, 3] {
        script.cut(2, other, "network is unreachable");
    }
    let text = only(&mut script, 1, "reaches_nobody", "cache-c", &[]);
    contains(&text, &["cache-c reaches no other node (network is unreachable)"]);
    // Both directions between two nodes.
    let mut script = Script::new(3);
    script.cut(0, 1, "no answer").cut(1, 0, "no answer");
    let (code, findings) = found(&mut script);
    assert_eq!((code, findings.len()), (1, 2), "{findings:#?}");
}

#[test]
fn a_node_that_only_this_host_does_not_reach_is_told() {
    let mut script = Script::new(3);
    script.stop(1);
    let text = only(&mut script, 1, "away", "cache-b", &[]);
    contains(
        &text,
        &["cache-b does not answer here, but cache-a and 1 more node reached it just now"],
    );
    // A node of an older version reports a peer as up until a forwarded request fails.
    script = Script::new(2);
    script.stop(1).forget(0, |name| name.ends_with(":reason"));
    let text = only(&mut script, 1, "away", "cache-b", &[]);
    contains(&text, &["start it, or take it out of the ring"]);
}

#[test]
fn a_node_that_is_away_is_one_finding_however_many_miss_it() {
    let mut script = Script::new(4);
    script.stop(3);
    for node in 0..3 {
        script.cut(node, 3, "connection refused");
    }
    script.set(0, "ring_given_up", "1");
    let text = only(&mut script, 1, "away", "cache-d", &[]);
    contains(&text, &["cache-a has declared peers failed since its start (ring_given_up 1)"]);
    // The node was declared failed some time ago, and is back: no finding.
    let mut script = Script::new(2);
    script.set(0, "ring_given_up", "3");
    script.run(&["check", "--strict"]).succeeds();
}

#[test]
fn nodes_that_wait_for_the_same_one_are_one_finding() {
    let mut script = Script::new(4);
    for node in [0, 2, 3] {
        script.set(node, "ring_settled", "no").set(node, "ring_awaited", "10.0.0.2:11211");
    }
    let text = only(&mut script, 1, "settling", "cache-a", &["cache-c", "cache-d"]);
    contains(&text, &["cache-a, cache-c and cache-d wait for 10.0.0.2:11211 before they serve"]);
    let mut script = Script::new(1);
    script.set(0, "ring_settled", "no");
    contains(&only(&mut script, 1, "settling", "cache-a", &[]), &["waits for its ring to settle"]);
}

#[test]
fn a_ring_of_another_version_explains_what_follows_from_it() {
    let mut script = Script::new(2);
    script.hold(1, VERSION - 1, 1).set(1, "ring_node", "cache-old").set(1, "ring_member", "no");
    script.set(1, "ring_standing", "absent").set(1, "ring_drift", "something");
    script.set(1, "peer:cache-a:address", "10.0.0.1:11211").cut(1, 0, "connection refused");
    let text = only(&mut script, 1, "behind", "cache-b", &[]);
    assert_eq!(text, "cache-b holds version 6 of 7: give it the file");
}

#[test]
fn a_file_that_differs_from_the_ring_in_force_is_a_warning() {
    let mut script = Script::new(2);
    script.set(1, "ring_drift", "the file has ring 1, and ring 7 is in force");
    let text = only(&mut script, 0, "drift", "cache-b", &[]);
    assert_eq!(text, "cache-b: the file has ring 1, and ring 7 is in force");
    let mut script = Script::new(2);
    script.set(1, "ring_cache_error", "/c/ring.toml: no space");
    let text = only(&mut script, 0, "cache_error", "cache-b", &[]);
    contains(&text, &["cache-b cannot write its copy of the ring: /c/ring.toml: no space"]);
    let mut script = Script::new(2);
    script.set(1, "ring_file_version", "1");
    contains(&only(&mut script, 0, "drift", "cache-b", &[]), &["the file of cache-b has ring 1 ("]);
    let mut script = Script::new(2);
    script.set(1, "ring_last_error", "line 3: no colon").set(1, "ring_drift", "it is broken");
    let nodes = script.start();
    let ran = nodes.run(&["check"]).succeeds();
    contains(
        &ran.out,
        &[
            "warning: cache-b rejected its newest ring",
            "line 3: no colon",
            "no failure, 1 warning\n",
        ],
    );
    assert!(!ran.out.contains("ok: every key"), "{ran:?}");
    assert_eq!(nodes.run(&["check", "--strict"]).code, 1);
}

#[test]
fn different_policies_are_a_warning() {
    let mut script = Script::new(3);
    script.set(2, "foreign_keys", "serve");
    let (code, findings) = found(&mut script);
    assert_eq!((code, findings.len(), &findings[0]["kind"]), (0, 1, &"policies_differ".into()));
    let text = findings[0]["text"].as_str().unwrap();
    contains(text, &["forward: cache-a and cache-b; serve: cache-c", "--foreign-keys"]);
}

#[test]
fn what_a_version_does_not_report_is_a_warning_and_never_ok() {
    let mut script = Script::new(3);
    for node in [0, 2] {
        script
            .forget(node, |name| ["ring_instance", "ring_standing", "ring_drift"].contains(&name));
    }
    let (code, findings) = found(&mut script);
    assert_eq!((code, findings.len(), &findings[0]["kind"]), (0, 1, &"not_reported".into()));
    let text = findings[0]["text"].as_str().unwrap();
    contains(text, &["cache-a and cache-c do not report ring_instance, ring_standing, ring_drift"]);
}

#[test]
fn nothing_that_a_node_says_steers_a_terminal() {
    const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{202e}x\u{7}";
    let mut script = Script::new(2);
    script.general(0, "ringbinder_version", EVIL).general(0, EVIL, EVIL);
    for line in ["ring_drift", "foreign_keys", "ring_standing_reason", EVIL] {
        script.set(0, line, EVIL);
    }
    script.set(0, "ring_standing", "unconfirmed").cut(1, 0, EVIL);
    script.set(1, "ring_settled", "no").set(1, "ring_awaited", EVIL).set(
        1,
        "ring_last_error",
        EVIL,
    );
    let nodes = script.start();
    let harmless = |ran: &Ran| {
        let text = format!("{}{}", ran.out, ran.err);
        let steers = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
        assert!(!text.contains(steers), "{ran:?}");
        assert!(text.contains("9b}31m") || text.contains("u009b31m"), "{ran:?}");
    };
    let commands = [&["check"][..], &["stats"], &["stats", "--all"], &["stats", "ring"]];
    for words in commands {
        harmless(&nodes.run(words));
        let ran = nodes.run(&[words, &["--json"]].concat());
        harmless(&ran);
        ran.json();
    }
    // JSON has the text unchanged.
    let json = nodes.run(&["stats", "ring", "--json"]).json();
    assert_eq!(json["nodes"][0]["stats"]["ring_drift"], EVIL);
}

#[test]
fn findings_are_printed_within_bounds() {
    let mut script = Script::new(26);
    for node in 0..26 {
        script.set(node, "ring_drift", "x").set(node, "ring_standing", "unconfirmed");
        script.cut(node, (node + 1) % 26, "no answer");
    }
    let ran = script.run(&["check"]);
    let lines = ran.out.lines().filter(|line| line.starts_with("failure: ")).count();
    let warned = ran.out.lines().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!((ran.code, lines + warned), (1, 50));
    contains(&ran.out, &["and 28 more; --json prints all\n", "52 failures, 26 warnings\n"]);
}
