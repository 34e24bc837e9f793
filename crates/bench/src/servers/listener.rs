//! Finds the process of this machine that listens at an address. `/proc/net` lists the inodes of its sockets,
//! and the descriptors of the process refer to them.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

/// The process id, if the process is on this machine and its descriptors are readable.
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    // An address belongs to this machine if a socket can be bound to it.
    TcpListener::bind((address.ip(), 0)).ok()?;
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let tables = tables.iter().flatten();
    let inodes: Vec<u64> = tables.flat_map(|table| sockets(table, address)).collect();
    // Several sockets, as with SO_REUSEPORT, must belong to one process. Otherwise it is unknown which of the
    // processes answers.
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut holders = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &links).then_some(pid)
    });
    let first = holders.next()?;
    holders.next().is_none().then_some(first)
}

/// The inodes of the sockets that listen at an address.
fn sockets(table: &str, address: SocketAddr) -> impl Iterator<Item = u64> {
    const LISTENS: &str = "0A";
    let port = format!("{:04X}", address.port());
    let any = "0";
    let own = written(address.ip());
    table.lines().skip(1).filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let (ip, its_port) = words.nth(1)?.split_once(':')?;
        let state = words.nth(1)?;
        let there = own.contains(&ip.to_owned()) || ip.trim_matches('0') == any.trim_matches('0');
        let inode = words.nth(5)?;
        (its_port == port && state == LISTENS && there).then(|| inode.parse().ok())?
    })
}

/// The spellings of an address in the tables: 32-bit words in this machine's byte order. An IPv4 address may
/// also be in the IPv6 table.
fn written(ip: IpAddr) -> Vec<String> {
    let hex = |bytes: &[u8]| -> String {
        let words = bytes.chunks_exact(4).map(|word| {
            let mut own = [0; 4];
            own.copy_from_slice(word);
            format!("{:08X}", u32::from_ne_bytes(own))
        });
        words.collect()
    };
    match ip {
        IpAddr::V4(ip) => vec![hex(&ip.octets()), hex(&ip.to_ipv6_mapped().octets())],
        IpAddr::V6(ip) => vec![hex(&ip.octets())],
    }
}

fn holds(process: &Path, links: &[String]) -> bool {
    let descriptors = std::fs::read_dir(process.join("fd"));
    descriptors.into_iter().flatten().flatten().any(|descriptor| {
        let link = std::fs::read_link(descriptor.path());
        link.is_ok_and(|link| links.iter().any(|name| link.as_os_str() == name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_listens() {
        for host in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // The machine may have no IPv6.
            let Ok(listener_here) = TcpListener::bind(host) else { continue };
            let mut address = listener_here.local_addr().unwrap();
            if address.ip().is_unspecified() {
                address.set_ip("127.0.0.1".parse().unwrap());
            }
            assert_eq!(listener(address), Some(std::process::id()), "{host}");
            drop(listener_here);
            assert_eq!(listener(address), None, "{host}");
        }
        // An address reserved for documentation, so not of this machine.
        assert_eq!(listener("192.0.2.1:11211".parse().unwrap()), None);
    }
}
