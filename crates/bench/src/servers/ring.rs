//! A ring of three nodes.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Client, Contender, Server, Setup, free_addresses};
use crate::stop::Stop;

/// Number of nodes.
pub(crate) const NODES: usize = 3;

/// Longest time until all nodes serve all their keys.
const SETTLE: Duration = Duration::from_secs(20);

/// A ring whose nodes serve all their keys.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) addresses: [SocketAddr; NODES],
    pub(crate) servers: Vec<Server>,
}

/// A ring file of nodes with equal shares.
pub(crate) fn ring_file(nodes: &[SocketAddr; NODES]) -> String {
    let mut text = "version = 1\n".to_owned();
    for (node, number) in nodes.iter().zip(1..) {
        text.push_str(&format!("\n[[node]]\nname = \"node-{number}\"\naddress = \"{node}\"\n"));
    }
    text
}

/// Makes a folder readable for every user. A server started by root runs as `nobody`, and rereads the ring
/// file.
pub(crate) fn share_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Writes the ring file `file`, starts its nodes on the cores of this thread, and waits until each node
/// serves all its keys.
pub(crate) fn start_ring(
    node: &Contender,
    setup: Setup,
    file: &Path,
    more_flags: &[String],
    stop: &Stop,
) -> anyhow::Result<Ring> {
    let addresses = free_addresses()?;
    std::fs::write(file, ring_file(&addresses))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let named = file.to_str().context("the temporary folder's name is not UTF-8")?;
    let flags = [&["--ring".to_owned(), named.to_owned()], more_flags].concat();
    let servers = addresses
        .iter()
        .map(|&address| Server::start_at(node, address, setup, &flags, stop))
        .collect::<anyhow::Result<_>>()?;
    let until = Instant::now() + SETTLE;
    for address in addresses {
        loop {
            let mut stats = Client::connect(address)?.stats(Some("ring"))?;
            let settled = stats.remove("ring_settled").unwrap_or_default();
            if settled == "yes" {
                break;
            }
            if Instant::now() >= until {
                bail!(
                    "the node {address} still reports ring_settled {settled:?} after \
                    {SETTLE:?}"
                );
            }
            stop.pause(Duration::from_millis(20))?;
        }
    }
    Ok(Ring { addresses, servers })
}
