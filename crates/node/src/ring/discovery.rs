//! The ring in the form that auto-discovery clients read, which is that of AWS ElastiCache.
//!
//! ```text
//! CONFIG cluster 0 LEN
//! 7
//! cache-a|10.0.0.1|11211 cache-b|10.0.0.2|11211
//!
//! END
//! ```
//!
//! The payload consists of the version and the list, one line each. `LEN` counts both with their
//! line feeds. Nodes are sorted by host. The payload carries the list and not the hash.
//! [`super::names`] defines the version and when it rises.

use std::fmt::Write as _;
use std::net::IpAddr;

use ringbinder_ring::Ring;

/// The key under which older clients ask for the payload.
pub(crate) const LEGACY_KEY: &[u8] = b"AmazonElastiCache:cluster";

/// The payload size in bytes above which some clients lose nodes, because they read an answer in
/// one go.
pub(crate) const MAX_SAFE_PAYLOAD: usize = 4096;

/// The length in bytes of an address field from which the PHP client cannot read the list.
const MAX_ADDRESS: usize = 50;

/// Whether a key asks for the payload.
#[inline]
pub(crate) fn is_legacy_key(key: &[u8]) -> bool {
    key.len() == LEGACY_KEY.len() && key == LEGACY_KEY
}

/// The payload's list of nodes, without a line end. `address` gives the address of a host name.
///
/// A name without an address yet appears as the address, because clients that dial the address then
/// look it up. A name of [`MAX_ADDRESS`] bytes or more gives an empty address, as AWS does outside
/// of a VPC, because the PHP client would read no list at all with so long a field.
pub(crate) fn list(ring: &Ring, address: impl Fn(&str) -> Option<IpAddr>) -> String {
    let mut nodes: Vec<_> = ring.nodes().iter().collect();
    nodes.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    let mut text = String::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let address = match address(&node.host) {
            Some(ip) => ip.to_string(),
            None if node.host.len() < MAX_ADDRESS => node.host.clone(),
            None => String::new(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{space}{}|{address}|{}", node.host, node.port);
    }
    text
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
        let address = |host: &str| (host == "host-b").then(|| "10.0.0.2".parse().unwrap());
        assert_eq!(
            list(&ring, address),
            "10.0.0.9|10.0.0.9|11212 host-a|host-a|11211 host-b|10.0.0.2|11211"
        );
        let long = "h".repeat(MAX_ADDRESS);
        let text = text.replace("host-a", &long);
        let ring = Ring::parse(&text, Format::Toml, "test").unwrap();
        let text = list(&ring, address);
        assert!(text.contains(&format!(" {long}||11211")), "{text}");
        assert!(is_legacy_key(b"AmazonElastiCache:cluster"));
    }
}
