//! The choice of nodes to start, new ones on free ports or those of a ring on this machine, and their ring
//! file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use ringbinder_ring::{Node, Ring};

use crate::error::CliError;
use crate::up::UpError;

/// Plans `count` new nodes at `host`, on free ports from `port` upward. Also returns the ports that were in
/// use.
///
/// # Errors
/// If too few ports are free, or the address does not belong to this machine.
pub(super) fn new_nodes(
    count: u16,
    host: IpAddr,
    port: u16,
) -> Result<(Vec<Node>, Vec<u16>), UpError> {
    let mut nodes = Vec::new();
    let mut skipped = Vec::new();
    for candidate in port..=u16::MAX {
        if nodes.len() == usize::from(count) {
            break;
        }
        let address = SocketAddr::new(host, candidate);
        match TcpListener::bind(address) {
            Ok(_) => nodes.push(Node {
                name: name(nodes.len()),
                host: host.to_string(),
                port: candidate,
                weight: 1,
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => skipped.push(candidate),
            Err(source) => return Err(UpError::Listen { address: address.to_string(), source }),
        }
    }
    if nodes.len() < usize::from(count) {
        return Err(UpError::NoPorts { count, port });
    }
    Ok((nodes, skipped))
}

/// A node name: `cache-a` to `cache-z`, then `cache-aa`.
fn name(index: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = index + 1;
    while rest > 0 {
        let letter = ('a'..='z').nth((rest - 1) % 26).unwrap_or('a');
        letters.insert(0, letter);
        rest = (rest - 1) / 26;
    }
    format!("cache-{}", letters.into_iter().collect::<String>())
}

/// Whether this command runs a node: at a loopback address, or at `host`.
pub(super) fn is_local(node: &Node, host: IpAddr) -> bool {
    match node.host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == host,
        Err(_) => node.host.eq_ignore_ascii_case("localhost"),
    }
}

/// Checks that an existing ring has nodes to start, and that their ports are free.
///
/// # Errors
/// If it has none, or a port is in use.
pub(super) fn check_local(ring: &Ring, host: IpAddr, path: &Path) -> Result<(), UpError> {
    let mut local = ring.nodes().iter().filter(|node| is_local(node, host)).peekable();
    if local.peek().is_none() {
        return Err(UpError::NotLocal { path: path.to_owned(), host });
    }
    for node in local {
        match TcpListener::bind((node.host.as_str(), node.port)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(UpError::InUse { node: node.name.clone(), address: node.to_string() });
            }
            Err(source) => return Err(UpError::Listen { address: node.to_string(), source }),
        }
    }
    Ok(())
}

const HEADER: &str = "# Local nodes to try things out with, written by `ringbinder up`.\n\n";

/// A ring file. If this command wrote it, dropping this removes it, unless its text has changed since.
pub(super) struct RingFile {
    path: PathBuf,
    /// The text that was written; `None` if the file existed.
    written: Option<String>,
}

impl RingFile {
    /// An existing file, which is never changed.
    pub(super) fn found(path: &Path) -> RingFile {
        RingFile { path: absolute(path), written: None }
    }

    /// Writes a ring of these nodes. Never overwrites an existing file, even if it appears at this moment.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(path: &Path, nodes: &[Node]) -> Result<RingFile, CliError> {
        let ring = Ring::of_nodes(1, nodes, "the new ring")
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let text = format!("{HEADER}{}", ring.to_toml());
        // The file name's extension determines the format.
        if !matches!(path.extension().and_then(|ending| ending.to_str()), Some("toml")) {
            return Err(CliError::Usage(format!(
                "cannot write a new ring to {}: a new ring is TOML; name a file that ends in \
                 .toml",
                path.display()
            )));
        }
        let failed = |source: io::Error| CliError::Write {
            path: path.to_owned(),
            source,
            hint: "name a file that you may write with --ring FILE",
        };
        let mut file = File::create_new(path).map_err(failed)?;
        // From this point on, dropping the value removes the file.
        let written = RingFile { path: absolute(path), written: Some(text.clone()) };
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(written)
    }

    /// The absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file existed.
    pub(super) fn is_found(&self) -> bool {
        self.written.is_none()
    }

    /// Whether the file, with its current text, will be removed.
    pub(super) fn is_ours(&self) -> bool {
        let Some(written) = &self.written else { return false };
        fs::read(&self.path).is_ok_and(|text| text == written.as_bytes())
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // If the file cannot be removed, the next start uses it like any other ring file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn names_go_on_behind_z() {
        assert_eq!(name(0), "cache-a");
        assert_eq!(name(25), "cache-z");
        assert_eq!(name(26), "cache-aa");
        assert_eq!(name(27), "cache-ab");
        assert_eq!(name(26 + 26 * 26), "cache-aaa");
    }

    #[test]
    fn a_port_in_use_is_left_out() {
        let taken = TcpListener::bind((HOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let Ok((nodes, skipped)) = new_nodes(1, HOST, port) else {
            assert_eq!(port, u16::MAX, "there are ports above {port}");
            return;
        };
        assert!(skipped.contains(&port));
        assert!(nodes[0].port > port);
    }

    #[test]
    fn nodes_of_other_machines_are_not_started() {
        let local = |address: &str| is_local(&Node::new("a", address, 1).unwrap(), HOST);
        assert!(local("127.0.0.1:1") && local("127.8.0.1:1") && local("[::1]:1"));
        assert!(local("localhost:1"));
        assert!(!local("10.0.0.1:1") && !local("cache.example:1"));
        let there = "10.0.0.1".parse().unwrap();
        assert!(is_local(&Node::new("a", "10.0.0.1:1", 1).unwrap(), there));
    }

    fn nodes() -> Vec<Node> {
        vec![Node::new("cache-a", "127.0.0.1:11211", 1).unwrap()]
    }

    #[test]
    fn what_was_written_goes_away_unless_it_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let file = RingFile::write(&path, &nodes()).unwrap();
        assert_eq!(Ring::load(&path).unwrap().nodes(), nodes());
        drop(file);
        assert!(!path.exists());
        let file = RingFile::write(&path, &nodes()).unwrap();
        fs::write(&path, "version = 2\n").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(RingFile::write(&path, &nodes()), Err(CliError::Write { .. })));
        drop(RingFile::found(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
