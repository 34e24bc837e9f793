//! Test that the pages list every stats line, metric and flag of a node, and none that it does not have.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use ringbinder_tests::http::{admin_of, get};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, Kind, wait};

use crate::project::{quoted, read, rows, section};

/// Names that only one of two sets has.
fn differences(documented: &BTreeSet<String>, real: &BTreeSet<String>) -> Option<String> {
    let missing: Vec<_> = real.difference(documented).map(String::as_str).collect();
    let unknown: Vec<_> = documented.difference(real).map(String::as_str).collect();
    let is_true = missing.is_empty() && unknown.is_empty();
    (!is_true).then(|| format!("missing: {}; unknown: {}", missing.join(" "), unknown.join(" ")))
}

/// The names in the first cells of the tables in a text.
fn first_cells(text: &str) -> BTreeSet<String> {
    rows(text).iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect()
}

/// A ring of two nodes that have everything which adds lines: a ring, TLS, a snapshot, users, an admin port.
struct Nodes {
    fleet: Fleet,
}

impl Nodes {
    fn start() -> Nodes {
        let mut fleet = Fleet::new(2);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let chain = fleet.file("chain.pem", &(cert.pem() + &signing_key.serialize_pem()));
        let users = fleet.file("users", "user:password\n");
        for path in [&chain, &users] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
        }
        let snapshot = fleet.path("snapshot");
        let tls = format!("ssl_chain_cert={chain},ssl_session_cache");
        let ring = fleet.ring(1, &[0, 1]);
        let admin = ["--admin", "127.0.0.1:0"];
        let first =
            ["-l", "notls:127.0.0.1:0", "-Z", "-o", &tls, "-e", &snapshot, "--node", "cache-0"];
        let second = ["-Y", users.as_str()];
        fleet.write(0, &ring);
        fleet.write(1, &ring);
        fleet.start(0, &[&first[..], &admin].concat());
        fleet.start(1, &[&second[..], &admin].concat());
        Nodes { fleet }
    }

    /// A connection to the first node without TLS.
    fn connect(&self) -> Conn {
        let addresses = self.fleet.server(0).addresses();
        let other = addresses.iter().find(|address| address.port() != self.fleet.port(0));
        Conn::tcp(*other.expect("the address without TLS")).expect("a connection")
    }
}

#[test]
fn the_page_of_stats_lists_every_line() {
    let nodes = Nodes::start();
    let mut conn = nodes.connect();
    let mut named = |report: &str| -> BTreeSet<String> {
        let text = conn.ask_text(&format!("{report}\r\n"));
        let names = text.lines().filter_map(|line| line.strip_prefix("STAT ")?.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let page = read("docs/stats.md");

    let general = named("stats");
    assert!(general.len() > 100, "{general:?}");
    assert_eq!(differences(&first_cells(section(&page, "## stats")), &general), None);

    let ring = named("stats ring")
        .iter()
        .map(|name| name.replace("peer:cache-1:", "peer:NAME:"))
        .collect();
    assert_eq!(differences(&first_cells(section(&page, "## stats ring")), &ring), None);
}

#[test]
fn the_page_of_stats_lists_every_line_about_latencies_and_hot_keys() {
    let fleet = Fleet::running(1, &[]);
    let mut conn = fleet.connect(0);
    let mut sampled = BTreeSet::new();
    // Requests are sampled at random.
    wait::until("a sampled request", || {
        conn.ask("set key 0 0 1\r\n1\r\n".repeat(500) + &"get key\r\n".repeat(500));
        let text = conn.ask_text("stats latency\r\nstats hotkeys\r\n");
        let names = text.lines().filter_map(|line| line.strip_prefix("STAT ")?.split(' ').next());
        sampled = names.map(generic).collect();
        (sampled.contains("N:key") && sampled.contains("CLASS:le_Nus")).then_some(())
    });
    let page = read("docs/stats.md");
    let documented = first_cells(section(&page, "## stats latency, stats hotkeys"));
    assert_eq!(differences(&documented, &sampled), None);
}

/// A line of `stats latency` or `stats hotkeys` as the page names it.
fn generic(name: &str) -> String {
    match name.split_once(':') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("N:{rest}")
        }
        Some((_, bound)) if bound.starts_with("le_") && bound.ends_with("us") => {
            "CLASS:le_Nus".to_owned()
        }
        Some((_, rest)) => format!("CLASS:{rest}"),
        None => name.to_owned(),
    }
}

#[test]
fn the_page_of_metrics_lists_every_metric() {
    let nodes = Nodes::start();
    let mut conn = nodes.connect();
    let mut real = BTreeSet::new();
    wait::until("a sampled request", || {
        conn.ask("get key\r\n".repeat(500));
        real.clear();
        for node in [0, 1] {
            let text = get(admin_of(nodes.fleet.server(node)), "/metrics").body;
            let types =
                text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
            real.extend(types.map(str::to_owned));
        }
        real.contains("ringbinder_request_duration_seconds").then_some(())
    });
    assert!(real.len() > 80, "{real:?}");
    let page = read("docs/observing.md");
    let documented = first_cells(section(&page, "## Metrics"));
    let documented =
        documented.iter().map(|name| name.split('{').next().unwrap_or(name).to_owned()).collect();
    assert_eq!(differences(&documented, &real), None);
}

#[test]
fn the_page_of_settings_lists_every_flag() {
    let help = Kind::Ringbinder.command().arg("--help").output().expect("ringbinderd runs");
    let help = String::from_utf8(help.stdout).expect("a text");
    let flag = |line: &str| -> Option<String> {
        let line = line.strip_prefix("  ")?.trim_start();
        let long = line
            .starts_with('-')
            .then(|| line.split([' ', ',', '=', '[']).find(|word| word.starts_with("--")))?;
        long.map(|name| name.trim_end_matches('.').to_owned())
    };
    let real: BTreeSet<String> = help.lines().filter_map(flag).collect();
    assert!(real.len() > 60, "{real:?}");
    let page = read("docs/configuration.md");
    let cells = first_cells(&page);
    let documented = cells.into_iter().filter(|name| name.starts_with("--")).collect();
    assert_eq!(differences(&documented, &real), None);
}
