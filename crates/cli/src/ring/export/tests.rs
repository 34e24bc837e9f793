//! Tests of the rendered texts. `tests/clients/test_export.py` runs the configurations with their clients.

use clap::ValueEnum as _;
use ringbinder_ring::{Format, Ring};

use super::text::{double_quoted, loopback_port, single_quoted};
use super::{CliError, Target, render};
use crate::ring::export::text::{TIMEOUT_MS, timeout_seconds};

/// A ring with these addresses and weights.
fn ring<'a>(nodes: impl IntoIterator<Item = (&'a str, u32)>) -> Ring {
    let nodes = nodes.into_iter().enumerate().map(|(number, (address, weight))| {
        format!("[[node]]\nname = \"n{number}\"\naddress = \"{address}\"\nweight = {weight}\n")
    });
    let text = format!("version = 7\n{}", nodes.collect::<String>());
    Ring::parse(&text, Format::Toml, "this test").expect("a ring")
}

fn large(nodes: usize) -> Ring {
    let addresses: Vec<String> =
        (0..nodes).map(|n| format!("10.0.{}.{}:11211", n / 100, n % 100)).collect();
    ring(addresses.iter().map(|address| (address.as_str(), 1)))
}

fn rendered(ring: &Ring, target: Target) -> String {
    render(ring, target).expect("a configuration")
}

#[test]
fn every_text_names_its_ring_and_ends_its_line() {
    let ring = ring([("10.0.0.1:11211", 1), ("10.0.0.2:11211", 2)]);
    let digest = format!("{:016x}", ring.id().digest);
    for &target in Target::value_variants() {
        let text = rendered(&ring, target);
        assert!(text.contains(&digest), "{target:?}: {text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{target:?}: {text}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{target:?}: {text}");
        let comment = |line: &str| line.starts_with(['#', '/']);
        assert!(text.lines().filter(|line| comment(line)).all(|line| line.len() <= 100), "{text}");
    }
}

#[test]
fn every_target_has_help() {
    for target in Target::value_variants() {
        let value = target.to_possible_value().expect("none is hidden");
        assert!(value.get_help().is_some(), "{target:?}");
    }
}

#[test]
fn strings_cannot_be_left() {
    assert_eq!(double_quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    assert_eq!(single_quoted(r"a'b\c"), r"'a\'b\\c'");
    assert_eq!(single_quoted("#{a} $b"), "'#{a} $b'");
}

#[test]
fn php_has_a_bound() {
    assert!(render(&large(100), Target::Php).is_ok());
    let error = render(&large(101), Target::Php).expect_err("one too many");
    assert!(matches!(error, CliError::TooManyForPhp { nodes: 101, limit: 100 }));
    assert!(error.to_string().contains("this ring has 101 nodes"), "{error}");
}

#[test]
fn pylibmc_and_django_tell_of_it() {
    for target in [Target::Pylibmc, Target::Django] {
        assert!(!rendered(&large(100), target).contains("more than 100 servers"));
        assert!(rendered(&large(101), target).contains("more than 100 servers"));
    }
}

#[test]
fn pylibmc_and_django_tell_of_ipv6() {
    for target in [Target::Pylibmc, Target::Django] {
        let told = |host| rendered(&ring([(host, 1)]), target).contains("IPv6 needs libmemcached");
        assert!(told("[::1]:11211") && !told("10.0.0.1:11211") && !told("a.example:11211"));
    }
}

#[test]
fn proxies_listen_where_no_node_does() {
    let far = ring([("10.0.0.1:11211", 1), ("cache.example:11212", 1)]);
    assert_eq!(loopback_port(&far, 11_211), 11_211);
    let near = ring([
        ("127.0.0.1:11211", 1),
        ("[::1]:11212", 1),
        ("Localhost:11213", 1),
        ("[::ffff:127.0.0.1]:11214", 1),
        ("0.0.0.0:11215", 1),
        ("10.0.0.1:11216", 1),
    ]);
    assert_eq!(loopback_port(&near, 11_211), 11_216);
    assert_eq!(loopback_port(&ring([("127.0.0.1:65535", 1)]), 65_534), 65_534);
}

#[test]
fn haproxy_scales_weights_that_are_too_large_for_it() {
    let weights = |nodes: &[(&'static str, u32)]| -> Vec<String> {
        let text = rendered(&ring(nodes.iter().copied()), Target::Haproxy);
        let servers = text.lines().filter_map(|line| line.split_once(" weight "));
        servers.map(|(_, rest)| rest.to_owned()).collect()
    };
    assert_eq!(weights(&[("10.0.0.1:1", 1), ("10.0.0.2:1", 256)]), ["1", "256"]);
    assert_eq!(weights(&[("10.0.0.1:1", 257), ("10.0.0.2:1", 514)]), ["128", "256"]);
    assert_eq!(weights(&[("10.0.0.1:1", 1), ("10.0.0.2:1", 65_535)]), ["1", "256"]);
    // Only a host name needs to be resolved.
    assert_eq!(weights(&[("a.example:1", 1), ("[::1]:1", 2)]), ["1 init-addr libc,none", "2"]);
}

#[test]
fn mcrouter_has_weights_up_to_one() {
    let config = |ring: &Ring| -> serde_json::Value {
        let text = rendered(ring, Target::Mcrouter);
        let lines = text.lines().filter(|line| !line.starts_with("//"));
        serde_json::from_str(&lines.collect::<String>()).expect("JSON below the comments")
    };
    let three = config(&ring([("10.0.0.1:1", 1), ("[::1]:2", 4), ("c.example:3", 2)]));
    let route = &three["route"]["children"][0];
    assert_eq!(route["hash"]["weights"], serde_json::json!([0.25, 1.0, 0.5]));
    let servers = serde_json::json!(["10.0.0.1:1", "[::1]:2", "c.example:3"]);
    assert_eq!(three["pools"]["ringbinder"]["servers"], servers);
    let pool = &three["pools"]["ringbinder"];
    assert_eq!((&pool["connect_timeout"], &pool["server_timeout"]), (&500.into(), &500.into()));
    assert_eq!(config(&ring([("10.0.0.1:1", 9)]))["route"], "PoolRoute|ringbinder");
}

#[test]
fn every_target_bounds_what_a_lost_node_costs() {
    let ring = ring([("10.0.0.1:11211", 1), ("10.0.0.2:11211", 2)]);
    let libmemcached = ["\"connect_timeout\": 500,", "\"_poll_timeout\": 500,"];
    for &target in Target::value_variants() {
        let expected: &[&str] = match target {
            Target::Pylibmc | Target::Django => &libmemcached,
            Target::Pymemcache => &["connect_timeout=0.5,", "timeout=0.5,", "dead_timeout=5,"],
            Target::Php => &["::OPT_CONNECT_TIMEOUT => 500,", "::OPT_POLL_TIMEOUT => 500,"],
            Target::Ruby => &["socket_timeout: 0.5,", "down_retry_delay: 5,"],
            Target::Twemproxy => &["timeout: 500", "server_retry_timeout: 5000"],
            Target::Mcrouter => &["\"connect_timeout\": 500,", "\"server_timeout\": 500"],
            Target::Haproxy => &["timeout connect 500ms", "timeout check 250ms"],
            Target::Json => &["\"timeout_ms\": 500,", "\"retry_ms\": 5000,"],
        };
        let text = rendered(&ring, target);
        for setting in expected {
            // A comma follows or not, depending on the order of the JSON object.
            let setting = setting.trim_end_matches(',');
            let mut lines = text.lines().map(|line| line.trim_end().trim_end_matches(','));
            let found = lines.any(|line| line.ends_with(setting));
            assert!(found, "{target:?} lacks {setting}: {text}");
        }
    }
}

#[test]
fn every_client_with_the_option_sets_no_delay() {
    let ring = ring([("10.0.0.1:11211", 1)]);
    for (target, setting) in [
        (Target::Pylibmc, "\"tcp_nodelay\": True,"),
        (Target::Django, "\"tcp_nodelay\": True,"),
        (Target::Pymemcache, "no_delay=True,"),
        (Target::Php, "Memcached::OPT_TCP_NODELAY => true,"),
        (Target::Json, "\"no_delay\": true"),
    ] {
        assert!(rendered(&ring, target).contains(setting), "{target:?}");
    }
}

#[test]
fn seconds_have_no_needless_digits() {
    assert_eq!(TIMEOUT_MS, 500);
    assert_eq!(timeout_seconds(), "0.5");
}

#[test]
fn twemproxy_ejects_a_node_only_if_there_is_another() {
    let text =
        |nodes: &[(&'static str, u32)]| rendered(&ring(nodes.iter().copied()), Target::Twemproxy);
    assert!(text(&[("10.0.0.1:1", 1)]).contains("auto_eject_hosts: false"));
    assert!(text(&[("10.0.0.1:1", 1), ("10.0.0.2:1", 1)]).contains("auto_eject_hosts: true"));
}

#[test]
fn libmemcached_ejects_no_node() {
    let ring = ring([("10.0.0.1:1", 1), ("10.0.0.2:1", 1)]);
    for target in [Target::Pylibmc, Target::Django] {
        assert!(rendered(&ring, target).contains("\"auto_eject\": False,"), "{target:?}");
    }
    assert!(!rendered(&ring, Target::Php).contains("REMOVE_FAILED"));
}

#[test]
fn dalli_gets_ipv6_in_digits_and_colons() {
    let text = rendered(
        &ring([("[::ffff:10.0.0.1]:1", 1), ("[2001:DB8::3]:2", 2), ("a.example:3", 1)]),
        Target::Ruby,
    );
    for server in ["'[0:0:0:0:0:ffff:a00:1]:1:1'", "'[2001:DB8::3]:2:2'", "'a.example:3:1'"] {
        assert!(text.contains(server), "{text}");
    }
}

#[test]
fn json_has_what_the_file_says_and_what_follows() {
    let ring = ring([("[2001:DB8::3]:11211", 1), ("10.0.0.2:11211", 3)]);
    let document: serde_json::Value =
        serde_json::from_str(&rendered(&ring, Target::Json)).expect("JSON");
    assert_eq!(document["version"], 7);
    let first = &document["nodes"][0];
    assert_eq!(
        (&first["host"], &first["address"]),
        (&"2001:DB8::3".into(), &"[2001:DB8::3]:11211".into())
    );
    let shares: Vec<f64> = (0..2).filter_map(|n| document["nodes"][n]["share"].as_f64()).collect();
    assert_eq!(shares.iter().sum::<f64>(), 1.0);
    assert!(shares[1] > shares[0], "{shares:?}");
}
