//! The addresses that follow `-l`.
//!
//! An address is a host, `host:port`, `[IPv6]:port`, a bare IPv6 address, or `*`. Commas and, as in
//! memcached, semicolons separate several addresses. memcached's prefixes may precede one:
//! `proto[ascii]:` and `tag[name]:` have no effect and are removed with a warning, and a prefix
//! that asks for another protocol is refused. With `-Z`, `notls:` disables TLS, `btls:` requests no
//! certificate from clients, `mtls:` requires one, and `opttls:`, which is our own, accepts clients
//! with and without TLS.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::tls::{Guard, Verify};

/// A place to accept TCP connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// A host and a port.
    Tcp {
        /// A name, an IPv4 address, an IPv6 address without brackets, or `*` for every interface.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
        /// Whether it uses TLS.
        guard: Guard,
    },
}

impl ListenAddress {
    /// The socket addresses to bind, one after the other.
    ///
    /// For `*` these are both families; a machine without one of them can still serve the other.
    pub(crate) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let Self::Tcp { host, port, .. } = self;
        if host == "*" {
            return Ok(vec![
                (Ipv4Addr::UNSPECIFIED, *port).into(),
                (Ipv6Addr::UNSPECIFIED, *port).into(),
            ]);
        }
        let mut addresses: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
        addresses.dedup();
        Ok(addresses)
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

/// The addresses, and a warning for each prefix without effect; or the problem. `secure` says which
/// certificates TLS requests from clients, if TLS is on.
pub(super) fn parse(
    lists: &[String],
    default_port: u16,
    secure: Option<Verify>,
) -> Result<(Vec<ListenAddress>, Vec<String>), String> {
    let mut addresses = Vec::new();
    let mut warnings = Vec::new();
    let parts = lists.iter().flat_map(|list| list.split([',', ';'])).map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        let mut guard = secure.map_or(Guard::Plain, Guard::Tls);
        let rest = take_prefixes(part, secure, &mut guard, &mut warnings)?;
        let address =
            parse_one(rest, default_port, guard).map_err(|reason| format!("'{part}': {reason}"))?;
        let is_twin = |other: &&ListenAddress| other.to_string() == address.to_string();
        match addresses.iter().find(is_twin) {
            None => addresses.push(address),
            Some(twin) if *twin == address => {}
            Some(_) => return Err(format!("{address} is listed twice, with and without TLS")),
        }
    }
    if addresses.is_empty() {
        return Err("needs an address, such as 127.0.0.1 or 0.0.0.0:11211".into());
    }
    Ok((addresses, warnings))
}

/// The default port of the admin port: the one that memcached's exporter uses.
const ADMIN_PORT: u16 = 9150;

/// The address of the admin port: a port of the loopback interface, or any single address.
pub(super) fn parse_admin(text: &str) -> Result<ListenAddress, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("needs a port of this machine, such as 9150, or an address".into());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = parse_port(text)?;
        return Ok(ListenAddress::Tcp { host: "127.0.0.1".into(), port, guard: Guard::Plain });
    }
    parse_one(text, ADMIN_PORT, Guard::Plain).map_err(|reason| format!("'{text}': {reason}"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("'{text}' is not a port; use a number from 0 to 65535"))
}

/// Host names in lower case.
pub(crate) type HostNames = Vec<String>;

/// Host names, separated by commas.
pub(super) fn host_names(text: &str) -> Result<HostNames, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match name.bytes().all(plain) {
            true => Ok(name.to_ascii_lowercase()),
            false => Err(format!("{name:?} is not a host name: give it without a port")),
        })
        .collect()
}

/// The meaning of each prefix, if TLS requests certificates as `ssl_verify_mode` says.
fn guards(verify: Verify) -> [(&'static str, Guard); 4] {
    [
        ("notls:", Guard::Plain),
        ("btls:", Guard::Tls(Verify::Nobody)),
        ("mtls:", Guard::Tls(Verify::Everybody)),
        ("opttls:", Guard::Either(verify)),
    ]
}

fn take_prefixes<'a>(
    part: &'a str,
    secure: Option<Verify>,
    guard: &mut Guard,
    warnings: &mut Vec<String>,
) -> Result<&'a str, String> {
    let mut rest = part;
    loop {
        let known = guards(secure.unwrap_or(Verify::Nobody));
        let named = known.iter().find_map(|(prefix, is)| Some((is, rest.strip_prefix(prefix)?)));
        if let Some((is, after)) = named {
            if secure.is_none() && *is != Guard::Plain {
                return Err(format!("'{part}': TLS is off; turn it on with -Z, --enable-ssl"));
            }
            if let Guard::Either(_) = is {
                warnings.push(format!(
                    "-l {part}: this address also serves clients without TLS and without a certificate; \
                     use it only while you change over to TLS"
                ));
            }
            *guard = *is;
            rest = after;
        } else if let Some((protocol, after)) = bracketed(rest, "proto", "") {
            // memcached compares only as many letters as are written, so that `proto[neg]` works.
            if !["ascii", "auto", "negotiating"].iter().any(|known| known.starts_with(protocol)) {
                return Err(format!(
                    "'{part}': protocol '{protocol}' is not supported; use proto[ascii] or none"
                ));
            }
            warnings.push(format!(
                "-l {part}: proto[{protocol}] has no effect: the protocol is always text"
            ));
            rest = after;
        } else if let Some((tag, after)) = bracketed(rest, "tag", "_") {
            warnings.push(format!("-l {part}: tag '{tag}' has no effect"));
            rest = after;
        } else {
            return Ok(rest);
        }
    }
}

/// Splits `name[inner]:rest`, or the same with `other` in place of both brackets.
fn bracketed<'a>(text: &'a str, name: &str, other: &str) -> Option<(&'a str, &'a str)> {
    let text = text.strip_prefix(name)?;
    let (inner, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None if other.is_empty() => return None,
        None => text.strip_prefix(other)?.split_once(other)?,
    };
    Some((inner, rest.strip_prefix(':').unwrap_or(rest)))
}

fn parse_one(text: &str, default_port: u16, guard: Guard) -> Result<ListenAddress, String> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or("the bracket is not closed")?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("only :port may follow the bracket".into()),
        }
    } else {
        match text.split_once(':') {
            // Two colons or more without brackets: an IPv6 address without a port.
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing; * means every interface".into());
    }
    let port = match port {
        None => default_port,
        Some("-1") => 0,
        Some(port) => parse_port(port)?,
    };
    Ok(ListenAddress::Tcp { host: host.into(), port, guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(list: &str) -> Vec<String> {
        let (addresses, _) = parse(&[list.into()], 11211, None).unwrap();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_form_of_an_address() {
        assert_eq!(shown("127.0.0.1"), ["127.0.0.1:11211"]);
        assert_eq!(shown("cache.example:1"), ["cache.example:1"]);
        assert_eq!(shown("[::1]:1"), ["[::1]:1"]);
        assert_eq!(shown("[::1]"), ["[::1]:11211"]);
        assert_eq!(shown("::1"), ["[::1]:11211"]);
        assert_eq!(shown("*"), ["*:11211"]);
        assert_eq!(shown("*:0"), ["*:0"]);
    }

    #[test]
    fn several_keep_their_order_and_twins_count_once() {
        assert_eq!(shown("b:2, a:1;b:2,"), ["b:2", "a:1"]);
        let lists = ["b".to_owned(), "a".to_owned()];
        let (addresses, _) = parse(&lists, 3, None).unwrap();
        assert_eq!(addresses[0].to_string(), "b:3");
        assert_eq!(addresses[1].to_string(), "a:3");
    }

    #[test]
    fn prefixes_of_memcached_come_off() {
        for list in [
            "proto[ascii]:tag[web]:10.0.0.1:1",
            "proto[auto]:10.0.0.1:1",
            "proto[negotiating]:tag_web_:10.0.0.1:1",
        ] {
            let (addresses, warnings) = parse(&[list.into()], 11211, None).unwrap();
            assert_eq!(addresses[0].to_string(), "10.0.0.1:1");
            assert!(!warnings.is_empty());
        }
        let (addresses, warnings) = parse(&["notls:10.0.0.1".into()], 11211, None).unwrap();
        assert_eq!(addresses[0].to_string(), "10.0.0.1:11211");
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(shown("tagged.example"), ["tagged.example:11211"], "no prefix, a name");
        assert_eq!(shown("proto.example"), ["proto.example:11211"]);
    }

    #[test]
    fn the_admin_port_is_a_port_of_loopback_or_an_address() {
        let shown = |text| parse_admin(text).map(|address| address.to_string());
        assert_eq!(shown("9150"), Ok("127.0.0.1:9150".into()));
        assert_eq!(shown("0"), Ok("127.0.0.1:0".into()));
        assert_eq!(shown("[::1]:9200"), Ok("[::1]:9200".into()));
        assert_eq!(shown("10.0.0.1"), Ok("10.0.0.1:9150".into()));
        assert_eq!(shown("*:9150"), Ok("*:9150".into()));
        for text in ["", "70000", ":9150", "a:b"] {
            assert!(parse_admin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_address_speaks_what_its_prefix_says() {
        let list = "a,notls:b,btls:c,mtls:tag[x]:d,opttls:e";
        let (addresses, _) = parse(&[list.into()], 1, Some(Verify::WhoShows)).unwrap();
        let guards = addresses.iter().map(|ListenAddress::Tcp { guard, .. }| *guard);
        assert_eq!(
            guards.collect::<Vec<_>>(),
            [
                Guard::Tls(Verify::WhoShows),
                Guard::Plain,
                Guard::Tls(Verify::Nobody),
                Guard::Tls(Verify::Everybody),
                Guard::Either(Verify::WhoShows),
            ]
        );
        let error = parse(&["a,notls:a".into()], 1, Some(Verify::Nobody)).unwrap_err();
        assert_eq!(error, "a:1 is listed twice, with and without TLS");
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        for (list, why) in [
            ("", "needs an address"),
            (",", "needs an address"),
            (":11211", "the host is missing"),
            ("[::1", "the bracket is not closed"),
            ("[::1]x", "only :port may follow"),
            ("a:x", "'x' is not a port"),
            ("a:65536", "'65536' is not a port"),
            ("[::1]:", "'' is not a port"),
            ("proto[binary]:a", "protocol 'binary' is not supported"),
            ("proto[proxy]:a", "protocol 'proxy' is not supported"),
            ("btls:a", "TLS is off"),
            ("mtls:a", "TLS is off"),
            ("opttls:a", "TLS is off"),
        ] {
            let error = parse(&[list.into()], 11211, None).unwrap_err();
            assert!(error.contains(why), "{list:?}: {error}");
        }
    }

    fn tcp(host: &str) -> ListenAddress {
        ListenAddress::Tcp { host: host.into(), port: 11211, guard: Guard::Plain }
    }

    #[test]
    fn ipv6_is_shown_in_brackets() {
        assert_eq!(tcp("::1").to_string(), "[::1]:11211");
        assert_eq!(tcp("localhost").to_string(), "localhost:11211");
    }

    #[test]
    fn the_star_means_both_families() {
        let addresses = tcp("*").resolve().unwrap();
        assert_eq!(addresses, ["0.0.0.0:11211".parse().unwrap(), "[::]:11211".parse().unwrap()]);
        assert_eq!(tcp("::1").resolve().unwrap(), ["[::1]:11211".parse().unwrap()]);
    }
}
