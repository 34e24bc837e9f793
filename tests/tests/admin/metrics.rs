//! Tests of `/metrics`: the names, types and labels of memcached_exporter, our own metrics, and both formats.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use ringbinder_tests::http::{Answer, admin_of, ask, get};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Kind, skip, wait};

use crate::node;

/// The metrics of memcached_exporter that a node reports: name and type, as declared in its source.
const EXPORTER: &[(&str, &str)] = &[
    ("memcached_up", "gauge"),
    ("memcached_uptime_seconds", "counter"),
    ("memcached_time_seconds", "gauge"),
    ("memcached_version", "gauge"),
    ("memcached_process_user_cpu_seconds_total", "counter"),
    ("memcached_process_system_cpu_seconds_total", "counter"),
    ("memcached_read_bytes_total", "counter"),
    ("memcached_written_bytes_total", "counter"),
    ("memcached_current_connections", "gauge"),
    ("memcached_max_connections", "gauge"),
    ("memcached_connections_total", "counter"),
    ("memcached_connections_rejected_total", "counter"),
    ("memcached_connections_yielded_total", "counter"),
    ("memcached_connections_listener_disabled_total", "counter"),
    ("memcached_current_bytes", "gauge"),
    ("memcached_limit_bytes", "gauge"),
    ("memcached_commands_total", "counter"),
    ("memcached_current_items", "gauge"),
    ("memcached_items_total", "counter"),
    ("memcached_items_evicted_total", "counter"),
    ("memcached_items_reclaimed_total", "counter"),
    ("memcached_item_too_large_total", "counter"),
    ("memcached_item_no_memory_total", "counter"),
    ("memcached_lru_crawler_enabled", "gauge"),
    ("memcached_lru_crawler_starts_total", "counter"),
    ("memcached_lru_crawler_reclaimed_total", "counter"),
    ("memcached_lru_crawler_items_checked_total", "counter"),
    ("memcached_accepting_connections", "gauge"),
    ("memcached_slab_current_items", "gauge"),
    ("memcached_slab_items_crawler_reclaimed_total", "counter"),
    ("memcached_slab_items_evicted_total", "counter"),
    ("memcached_slab_items_evicted_nonzero_total", "counter"),
    ("memcached_slab_items_evicted_unfetched_total", "counter"),
    ("memcached_slab_items_expired_unfetched_total", "counter"),
    ("memcached_slab_items_outofmemory_total", "counter"),
    ("memcached_slab_items_reclaimed_total", "counter"),
];

/// Samples by name and labels, as written.
fn samples(answer: &Answer) -> BTreeMap<String, f64> {
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    samples.collect()
}

/// Samples of the latency histogram of one class, by bound.
fn durations(answer: &Answer, class: &str) -> Vec<(f64, f64)> {
    let start = format!("ringbinder_request_duration_seconds_bucket{{command=\"{class}\",le=\"");
    let lines = answer.body.lines().filter_map(|line| line.strip_prefix(start.as_str()));
    let buckets = lines.map(|line| {
        let (bound, count) = line.split_once("\"} ").expect("a bound and a count");
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
        (bound, count.parse().expect("a number"))
    });
    buckets.collect()
}

/// Types by name.
fn types(answer: &Answer) -> BTreeMap<&str, &str> {
    let lines = answer.body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.filter_map(|line| line.split_once(' ')).collect()
}

#[test]
fn the_exporters_names_have_its_types_and_true_values() {
    let Some((server, admin)) = node("the exporter's names", &["-m", "100", "-c", "77"]) else {
        return;
    };
    let mut conn = server.connect();
    conn.ask_text("set a 0 0 1\r\n1\r\n");
    conn.ask_text("get a b\r\n");
    conn.ask_text("incr a 1\r\n");
    conn.ask_text("decr none 1\r\n");
    conn.ask_text("cas a 0 0 1 9999\r\n2\r\n");
    conn.ask_text("delete none\r\n");
    conn.ask_text("touch a 0\r\n");
    let answer = get(admin, "/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let types = types(&answer);
    for (name, kind) in EXPORTER {
        assert_eq!(types.get(name), Some(kind), "{name}");
    }
    for name in types.keys().filter(|name| name.starts_with("memcached_")) {
        assert!(EXPORTER.iter().any(|(known, _)| known == name), "the exporter has no {name}");
    }
    let samples = samples(&answer);
    for (sample, value) in [
        ("memcached_up", 1.0),
        ("memcached_max_connections", 77.0),
        ("memcached_current_connections", 1.0),
        ("memcached_limit_bytes", 100.0 * 1024.0 * 1024.0),
        ("memcached_current_items", 1.0),
        ("memcached_slab_current_items{slab=\"1\"}", 1.0),
        ("memcached_commands_total{command=\"get\",status=\"hit\"}", 1.0),
        ("memcached_commands_total{command=\"get\",status=\"miss\"}", 1.0),
        ("memcached_commands_total{command=\"set\",status=\"hit\"}", 1.0),
        ("memcached_commands_total{command=\"cas\",status=\"badval\"}", 1.0),
        ("memcached_commands_total{command=\"incr\",status=\"hit\"}", 1.0),
        ("memcached_commands_total{command=\"decr\",status=\"miss\"}", 1.0),
        ("memcached_commands_total{command=\"delete\",status=\"miss\"}", 1.0),
        ("memcached_commands_total{command=\"touch\",status=\"hit\"}", 1.0),
        ("ringbinder_evictions_enabled", 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}:\n{}", answer.body);
    }
    let version = samples.keys().find(|name| name.starts_with("memcached_version{version=\"1.6."));
    assert!(version.is_some(), "{}", answer.body);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["ringbinder_limit_used_ratio{limit=\"connections\"}"] > 0.01);
    assert!(!answer.body.contains("ringbinder_ring_"), "a node without a ring says nothing of one");
}

#[test]
fn latencies_are_cumulative_histograms_in_seconds() {
    let Some((server, admin)) = node("latency histograms", &[]) else { return };
    let mut conn = server.connect();
    for _ in 0..100 {
        conn.ask_text(&"get none\r\n".repeat(100));
    }
    let answer = get(admin, "/metrics");
    let kind = types(&answer).get("ringbinder_request_duration_seconds").copied();
    assert_eq!(kind, Some("histogram"), "{}", answer.body);
    let buckets = durations(&answer, "get");
    assert_eq!((buckets.len(), buckets[0].0), (22, 1e-6), "{buckets:?}");
    assert!((buckets[20].0 - 1.048576).abs() < 1e-9 && buckets[21].0.is_infinite());
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{buckets:?}");
    let samples = samples(&answer);
    let count = samples["ringbinder_request_duration_seconds_count{command=\"get\"}"];
    assert_eq!(count, buckets[21].1);
    // One in 128 of 10,000, with the variation of a sample of that size.
    assert!((60.0..400.0).contains(&count), "{count}");
    assert!(samples["ringbinder_request_duration_seconds_sum{command=\"get\"}"] >= 0.0);
    assert_eq!(samples["ringbinder_request_duration_sampled_every"], 128.0);
    promtool(&answer);
}

#[test]
fn open_metrics_is_written_for_those_who_ask() {
    let Some((_server, admin)) = node("OpenMetrics", &[]) else { return };
    let answer =
        ask(admin, "GET", "/metrics", &["Accept: application/openmetrics-text;version=1.0.0"]);
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(answer.body.contains("# TYPE memcached_commands counter\nmemcached_commands_total{"));
    assert!(answer.body.contains("# TYPE ringbinder_build info\nringbinder_build_info{"));
}

#[test]
fn a_ring_is_told_with_what_became_of_foreign_keys() {
    if !Kind::Ringbinder.available() {
        return skip::skip("metrics of a ring", "no ringbinderd");
    }
    let fleet = Fleet::running(2, &["--admin", "0"]);
    let mut conn = fleet.connect(0);
    for number in 0..200 {
        conn.ask_text(&format!("get key{number}\r\n"));
    }
    let answers = [0, 1].map(|node| get(admin_of(fleet.server(node)), "/metrics"));
    let [here, there] = [0, 1].map(|index| samples(&answers[index]));
    let forwarded = here["ringbinder_foreign_keys_total{outcome=\"forwarded\"}"];
    assert!(forwarded > 0.0 && forwarded < 200.0, "{forwarded}");
    // A worker's link once sends its node's identity, which counts as a request too.
    let received = there["ringbinder_peer_requests_total{outcome=\"received\"}"];
    assert!((forwarded..=forwarded + 2.0).contains(&received), "{received} of {forwarded}");
    assert_eq!(here["ringbinder_peer_forwarded_total{peer=\"cache-1\"}"], forwarded);
    assert_eq!(here["ringbinder_peer_up{peer=\"cache-1\"}"], 1.0);
    assert_eq!(here["ringbinder_peers_away"], 0.0);
    assert_eq!(here["ringbinder_ring_version"], 1.0);
    assert_eq!(here["ringbinder_ring_settled"], 1.0);
    let owned = here["ringbinder_ring_owned_ratio"] + there["ringbinder_ring_owned_ratio"];
    assert!((owned - 1.0).abs() < 1e-9, "{owned}");
    let info = here.keys().find(|name| name.starts_with("ringbinder_ring_info{node=\"cache-0\""));
    assert!(info.is_some(), "{}", answers[0].body);
    let manual = include_str!("../../../docs/observing.md");
    for answer in &answers {
        promtool(answer);
        for name in types(answer).keys() {
            // A documented name is in backticks, with or without its labels.
            let found =
                manual.contains(&format!("`{name}`")) || manual.contains(&format!("`{name}{{"));
            assert!(found, "docs/observing.md does not mention {name}");
        }
    }
}

#[test]
fn requests_that_no_owner_answered_have_a_metric_and_the_place_in_the_ring_too() {
    if !Kind::Ringbinder.available() {
        return skip::skip("metrics of failed requests", "no ringbinderd");
    }
    let mut fleet = Fleet::running(2, &["--admin", "0"]);
    let keys = fleet.keys_of(0, 1, "lost-", 3);
    fleet.kill(1);
    let mut conn = fleet.connect(0);
    for key in &keys {
        conn.talk(format!("get {key}\r\n"), "END\r\n");
        conn.talk(format!("mg {key}\r\n"), "EN\r\n");
        assert!(conn.ask_text(&format!("delete {key}\r\n")).starts_with("SERVER_ERROR "));
    }
    let answer = get(admin_of(fleet.server(0)), "/metrics");
    let told = samples(&answer);
    assert_eq!(told["ringbinder_foreign_failed_total{command=\"get\"}"], 6.0);
    assert_eq!(told["ringbinder_foreign_failed_total{command=\"other\"}"], 3.0);
    assert_eq!(told["ringbinder_foreign_keys_total{outcome=\"failed\"}"], 9.0);
    assert_eq!(told["ringbinder_peer_failed_total{peer=\"cache-1\"}"], 9.0);
    assert_eq!(told["memcached_commands_total{command=\"get\",status=\"miss\"}"], 0.0);
    assert_eq!(told["ringbinder_peers_away"], 1.0);
    assert_eq!(told["ringbinder_peer_up{peer=\"cache-1\"}"], 0.0);
    assert_eq!(told["ringbinder_peer_rival{peer=\"cache-1\"}"], 0.0);
    assert_eq!(told["ringbinder_peers_disputed"], 0.0);
    assert_eq!(told["ringbinder_ring_standing{standing=\"confirmed\"}"], 1.0);
    assert_eq!(told["ringbinder_ring_standing{standing=\"replaced\"}"], 0.0);
    assert_eq!((told["ringbinder_ring_member"], told["ringbinder_ring_drift"]), (1.0, 0.0));

    // A node that was removed from the ring reports that.
    fleet.write(0, &fleet.ring(2, &[1]));
    fleet.await_version(&[0], 2);
    let told = samples(&get(admin_of(fleet.server(0)), "/metrics"));
    assert_eq!(told["ringbinder_ring_standing{standing=\"absent\"}"], 1.0);
    assert_eq!(told["ringbinder_ring_standing{standing=\"confirmed\"}"], 0.0);
    assert_eq!(told["ringbinder_ring_member"], 0.0);
    promtool(&answer);
}

#[test]
fn a_peer_that_answers_no_greeting_is_away_and_no_request_need_fail_for_that() {
    if !Kind::Ringbinder.available() {
        return skip::skip("metrics of a silent peer", "no ringbinderd");
    }
    let fleet = Fleet::running(2, &["--admin", "0", "--peer-timeout", "1000"]);
    let admin = admin_of(fleet.server(0));
    let _paused = fleet.pause(1);
    let told = wait::until("the silence to be told of", || {
        let told = samples(&get(admin, "/metrics"));
        (told["ringbinder_peers_away"] == 1.0).then_some(told)
    });
    assert_eq!(told["ringbinder_peer_up{peer=\"cache-1\"}"], 0.0);
    assert_eq!(told["ringbinder_foreign_keys_total{outcome=\"forwarded\"}"], 0.0);
    assert_eq!(told["ringbinder_foreign_keys_total{outcome=\"failed\"}"], 0.0);
    // The page shows the reason.
    wait::until("the page to tell it", || {
        let page: serde_json::Value = serde_json::from_str(&get(admin, "/api/ring").body).ok()?;
        let node = &page["nodes"][1];
        let says_why = node["fault"].as_str().is_some_and(|why| why.contains("no answer within"));
        (node["state"] == "away" && says_why).then_some(())
    });
}

/// Checks that promtool finds no fault except those caused by memcached_exporter's own names.
fn promtool(answer: &Answer) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return skip::skip("promtool check metrics", "promtool is not installed");
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(answer.body.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let found = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let ours: Vec<&str> = found
        .lines()
        .filter(|line| {
            *line != "memcached_uptime_seconds counter metrics should have \"_total\" suffix"
        })
        .collect();
    assert!(ours.is_empty(), "{found}\n{}", answer.body);
    // Exit code 3 means findings. All of them are of the kind that is allowed.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}", output.status);
}
