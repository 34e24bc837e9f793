//! nutcracker (twemproxy) in front of independent servers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::find::{Contender, Origin};
use super::start::{Server, free_addresses};
use crate::stop::Stop;

/// The servers behind a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool<'a> {
    /// The name of the pool, used for its files.
    pub(crate) name: &'a str,
    /// The servers, all with the same share of the keys.
    pub(crate) servers: &'a [SocketAddr],
    /// Time-out for an answer from one of them.
    pub(crate) timeout: Duration,
}

/// Starts nutcracker in front of a pool. Its files go into `folder`.
pub(crate) fn start_proxy(
    nutcracker: &Contender,
    pool: Pool<'_>,
    folder: &Path,
    stop: &Stop,
) -> anyhow::Result<Server> {
    let [address, stats] = free_addresses()?;
    let file = |ending: &str| folder.join(format!("{}.{ending}", pool.name));
    std::fs::write(file("yml"), configuration(pool, address))
        .with_context(|| format!("cannot write {}", file("yml").display()))?;
    let Origin::Program { path, .. } = &nutcracker.origin else {
        bail!("{} is already running", nutcracker.name);
    };
    let mut command = Command::new(path);
    command
        .arg("-c")
        .arg(file("yml"))
        .arg("-p")
        .arg(file("pid"))
        // Logs only errors: a line for each connection would cost time.
        .args(["-o", "/dev/stderr", "-v", "4"])
        .args(["-a", "127.0.0.1", "-s", &stats.port().to_string()]);
    Server::run(nutcracker, address, command, stop)
}

/// nutcracker's configuration. It hashes keys as the ring does.
fn configuration(pool: Pool<'_>, listen: SocketAddr) -> String {
    let mut text = format!(
        "pool:\n  listen: {listen}\n  hash: md5\n  distribution: ketama\n  preconnect: true\n  \
         auto_eject_hosts: false\n  timeout: {}\n  servers:\n",
        pool.timeout.as_millis()
    );
    for server in pool.servers {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "   - {server}:1");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_every_server_with_its_weight() {
        let servers = ["127.0.0.1:7001".parse().unwrap(), "127.0.0.1:7002".parse().unwrap()];
        let pool = Pool { name: "x", servers: &servers, timeout: Duration::from_secs(2) };
        let text = configuration(pool, "127.0.0.1:7000".parse().unwrap());
        assert!(text.contains("\n  listen: 127.0.0.1:7000\n"), "{text}");
        assert!(text.contains("\n  timeout: 2000\n"), "{text}");
        assert!(text.ends_with("servers:\n   - 127.0.0.1:7001:1\n   - 127.0.0.1:7002:1\n"));
    }
}
