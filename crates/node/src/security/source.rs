//! The source of a connection: the part of its address that one untrusted client cannot choose
//! freely. A count by source cannot be avoided by another address of the same owner.

use std::net::IpAddr;

use crate::net::connections::Remote;

/// One machine, or one customer of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A client on this machine, through a Unix socket.
    Local,
    /// An IPv4 address.
    V4(u32),
    /// The first 64 bits of an IPv6 address: the owner of one such address has all with the same
    /// beginning.
    V6(u64),
}

impl Source {
    /// The source of a peer.
    pub(crate) fn of(peer: &Remote) -> Source {
        peer.ip().map_or(Source::Local, Source::from)
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_hand_are_one_source() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }
}
