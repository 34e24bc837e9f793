//! Test with a real Prometheus, which scrapes a node. The test reads the samples from its API.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use ringbinder_tests::http::{Answer, send};
use ringbinder_tests::ring::{local, reserve_port};
use ringbinder_tests::{skip, wait};
use tempfile::TempDir;

use crate::node;

/// A running Prometheus with its own storage.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// Starts Prometheus, which scrapes `target` every half second. `None` if it is not installed.
    fn start(target: SocketAddr) -> Option<Prometheus> {
        let dir = tempfile::tempdir().expect("a temp dir");
        let config = format!(
            "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\nscrape_configs:\n  \
             - job_name: ringbinder\n    static_configs:\n      - targets: ['{target}']\n"
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a temp file");
        let address = local(reserve_port());
        let log = std::fs::File::create(dir.path().join("log")).expect("a temp file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match child {
            Ok(child) => Some(Prometheus { child, address, dir }),
            Err(_) => {
                skip::skip("a real Prometheus", "prometheus is not installed");
                None
            }
        }
    }

    /// The values of a query, each with its labels as JSON.
    fn query(&self, query: &str) -> Vec<(serde_json::Value, String)> {
        let text =
            format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        // Prometheus does not listen yet.
        let Ok(Answer { status: 200, body, .. }) = send(self.address, text.as_bytes()) else {
            return Vec::new();
        };
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let found = body["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |it: &serde_json::Value| it["value"][1].as_str().unwrap_or("").to_owned();
        found.iter().map(|it| (it["metric"].clone(), value(it))).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_reads_what_the_node_counts() {
    let Some((server, admin)) = node("a real Prometheus", &[]) else { return };
    let mut conn = server.connect();
    for number in 0..64 {
        conn.ask_text(&format!("set key{number} 0 0 1\r\n1\r\n"));
        conn.ask_text(&format!("get key{number} none\r\n"));
    }
    let Some(prometheus) = Prometheus::start(admin) else { return };
    wait::until("Prometheus to have read the node", || {
        let up = prometheus.query("up");
        up.iter().any(|(_, value)| value == "1").then_some(())
    });
    for (query, value) in [
        ("memcached_up", "1"),
        ("memcached_current_items", "64"),
        ("memcached_commands_total%7Bcommand%3D%22get%22%2Cstatus%3D%22hit%22%7D", "64"),
        ("memcached_commands_total%7Bcommand%3D%22get%22%2Cstatus%3D%22miss%22%7D", "64"),
        ("sum(memcached_commands_total%7Bcommand%3D%22set%22%7D)", "64"),
    ] {
        let found = prometheus.query(query);
        assert_eq!(found.len(), 1, "{query}: {found:?}\n{}", prometheus.log());
        assert_eq!(found[0].1, value, "{query}: {found:?}");
    }
    let build = prometheus.query("ringbinder_build_info");
    assert_eq!(build.len(), 1, "{build:?}");
    assert!(build[0].0["version"].as_str().is_some_and(|version| !version.is_empty()), "{build:?}");
}
