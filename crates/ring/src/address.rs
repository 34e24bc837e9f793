//! Addresses of nodes: their syntax, and when two of them are equal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::quoted;

/// Longest host, in bytes: the limit of DNS (RFC 1035, 2.3.4).
pub const MAX_HOST_LEN: usize = 253;

/// A host and a port; the host as written, but without brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

/// The canonical form of an address, however it is spelled. Equal keys mean one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey {
    host: HostKey,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HostKey {
    Ip(IpAddr),
    Name(String),
}

impl AddressKey {
    /// The key of a host, with or without brackets, and a port.
    pub(crate) fn new(host: &str, port: u16) -> AddressKey {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse::<IpAddr>() {
            // ::ffff:10.0.0.1 reaches the same socket as 10.0.0.1.
            Ok(ip) => HostKey::Ip(ip.to_canonical()),
            // A name that ends in a dot is the same name, fully qualified.
            Err(_) => HostKey::Name(bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()),
        };
        AddressKey { host, port }
    }
}

impl<'a> Address<'a> {
    /// Parses `host:port` or `[ipv6]:port`.
    ///
    /// # Errors
    /// A message that says what is wrong and what to do.
    pub(crate) fn parse(text: &'a str) -> Result<Address<'a>, String> {
        // Checked first, so that no message below repeats a control character.
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!(
                "the address {} has a space, a control character or a letter beyond ASCII; \
                 write host:port, an international name in its xn-- form",
                quoted(text)
            ));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let Some((host, rest)) = rest.split_once(']') else {
                return Err(format!("the address {} has no closing bracket", quoted(text)));
            };
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(format!(
                    "the address {} has no IPv6 address in its brackets",
                    quoted(text)
                ));
            }
            let port = rest.strip_prefix(':').ok_or_else(|| no_port(text))?;
            return Ok(Address { host, port: parse_port(text, port)? });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| no_port(text))?;
        if host.contains(':') {
            return Err(format!(
                "the address {} is an IPv6 address without brackets, or has too many colons; \
                 write [::1]:11211",
                quoted(text)
            ));
        }
        let port = parse_port(text, port)?;
        check_host(host)?;
        Ok(Address { host, port })
    }
}

fn parse_port(address: &str, port: &str) -> Result<u16, String> {
    if port.is_empty() {
        return Err(no_port(address));
    }
    // `parse` alone would accept a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse()
        .ok()
        .filter(|&port: &u16| digits && port != 0)
        .ok_or_else(|| format!("the port of {} is not a number from 1 to 65535", quoted(address)))
}

fn no_port(address: &str) -> String {
    format!("the address {} has no port; write host:port", quoted(address))
}

/// Checks a host without brackets: an IPv4 address or a name.
fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the address has no host; write host:port".into());
    }
    if host.len() > MAX_HOST_LEN {
        return Err(format!("the host {} is longer than {MAX_HOST_LEN} bytes", quoted(host)));
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(format!(
            "the host {} has characters other than letters, digits, '.', '_' and '-'",
            quoted(host)
        ));
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.split('.').any(str::is_empty) {
        return Err(format!("the host {} has an empty part between its dots", quoted(host)));
    }
    // Resolvers read `10.1` and `010.0.0.1` as addresses, each in its own way.
    let last = labels.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("the host {} is neither an IPv4 address nor a name", quoted(host)));
    }
    Ok(())
}
