//! The ring as auto-discovery clients read it: the form that AWS ElastiCache gave it.
//!
//! ```text
//! CONFIG cluster 0 LEN
//! 7
//! cache-a|10.0.0.1|11211 cache-b|10.0.0.2|11211
//!
//! END
//! ```
//!
//! The payload is the version and the list, a line each; `LEN` counts both with their line feeds.
//! Nodes stand in the order of their hosts. It carries the list and not the hash.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ringbinder_ring::Ring;

/// The key under which older clients ask for the payload.
pub(crate) const LEGACY_KEY: &[u8] = b"AmazonElastiCache:cluster";

/// Above so many bytes some clients, which read an answer in one go, lose nodes.
pub(crate) const MAX_SAFE_PAYLOAD: usize = 4096;

/// Whether a key asks for the payload.
#[inline]
pub(crate) fn is_legacy_key(key: &[u8]) -> bool {
    key.len() == LEGACY_KEY.len() && key == LEGACY_KEY
}

/// The payload. `addresses` holds what host names resolve to; a host that is an address, or that
/// is not among them, stands for itself.
pub(crate) fn payload(ring: &Ring, addresses: &HashMap<String, IpAddr>) -> String {
    let mut nodes: Vec<_> = ring.nodes().iter().collect();
    nodes.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    let mut text = format!("{}\n", ring.id().version);
    for (index, node) in nodes.into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let address =
            addresses.get(&node.host).map_or_else(|| node.host.clone(), IpAddr::to_string);
        // Writing to a string cannot fail.
        let _ = write!(text, "{space}{}|{address}|{}", node.host, node.port);
    }
    text.push('\n');
    text
}

/// Host names of a ring that must be resolved for the payload.
pub(crate) fn host_names(ring: &Ring) -> Vec<String> {
    let names = ring.nodes().iter().map(|node| &node.host);
    names.filter(|host| host.parse::<IpAddr>().is_err()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringbinder_ring::Format;

    #[test]
    fn nodes_stand_in_the_order_of_their_hosts_with_their_addresses() {
        let text = "version = 7\n\
            [[node]]\nname = \"b\"\naddress = \"host-b:11211\"\n\
            [[node]]\nname = \"a\"\naddress = \"10.0.0.9:11212\"\n\
            [[node]]\nname = \"c\"\naddress = \"host-a:11211\"\n";
        let ring = Ring::parse(text, Format::Toml, "test").unwrap();
        let addresses = HashMap::from([("host-b".to_owned(), "10.0.0.2".parse().unwrap())]);
        assert_eq!(
            payload(&ring, &addresses),
            "7\n10.0.0.9|10.0.0.9|11212 host-a|host-a|11211 host-b|10.0.0.2|11211\n"
        );
        assert_eq!(host_names(&ring), ["host-b", "host-a"]);
        assert!(is_legacy_key(b"AmazonElastiCache:cluster"));
    }
}
