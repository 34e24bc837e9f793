//! Access rules of the admin port, and the headers that restrict browsers.
//!
//! The port has no passwords: any program that can reach it may read. The rules keep out web pages
//! that make a browser send requests in their name:
//!
//! - A page whose name was rebound to this node's address (DNS rebinding) sends its own name as `Host`.
//!   Only IP addresses, `localhost`, and known names of this fleet are accepted.
//! - A page of another origin may send a POST without reading the answer. A POST is accepted only with a
//!   header of ours. A browser sends that header to another origin only if that origin allows it, and
//!   this port never does. A POST with a foreign `Origin` is always rejected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The header that a POST must have, with any value.
pub(super) const POST_HEADER: &str = "x-ringbinder";

/// The longest name in bytes, and the longest part between dots, as in DNS.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The host that a request names.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case, without the dot of the root.
    Name(String),
}

/// The host of a `Host` header or of an authority; `None` if it is not `host` or `host:port` in the
/// characters that names may have. A browser treats some other characters as the end of the host,
/// so the part after them would not be what it asked for.
fn host_of(authority: &str) -> Option<Host> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("0"))?;
            (Host::Ip(host.parse::<Ipv6Addr>().ok()?.into()), port)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
            (named(host)?, port)
        }
    };
    let port_is_one = port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    port_is_one.then_some(host)
}

fn named(host: &str) -> Option<Host> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(Host::Ip(address.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_plain);
    let is_name = name.len() <= MAX_NAME && name.split('.').all(is_label);
    is_name.then(|| Host::Name(name.to_ascii_lowercase()))
}

/// The known names of this node.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The port can be reached only from this machine.
    pub(super) loopback: bool,
    /// Names from the settings, in lower case.
    pub(super) hosts: &'a [String],
    /// Hosts of the ring.
    pub(super) ring: &'a dyn Fn(&str) -> bool,
}

impl Known<'_> {
    /// Whether a request for this host is meant for this node.
    pub(super) fn is_ours(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let name = match host {
            Host::Ip(address) => return !self.loopback || address.is_loopback(),
            Host::Name(name) => name,
        };
        name == "localhost"
            || name.ends_with(".localhost")
            || self.hosts.contains(&name)
            || (!self.loopback && (self.ring)(&name))
    }
}

/// The reason why a POST is rejected; `None` if it is accepted.
pub(super) fn refused_post(headers: &HeaderMap, authority: &str) -> Option<&'static str> {
    if !headers.contains_key(POST_HEADER) {
        return Some("a POST needs the header X-Ringbinder, such as X-Ringbinder: 1");
    }
    let is_ours = |origin: &HeaderValue| {
        let host = origin.to_str().ok().and_then(|origin| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
        });
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    };
    let is_same = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    let ours = headers.get_all(header::ORIGIN).iter().all(is_ours)
        && headers.get_all("sec-fetch-site").iter().all(is_same);
    (!ours).then_some("this POST comes from a page of another origin")
}

/// The host that a request names; `None` if it names two hosts, or one that is not ASCII. `target`
/// is the host in its first line, if there is one. A request without any host, as some health
/// checkers send, does not come from a browser, because browsers always send one.
pub(super) fn asked_for<'a>(
    target: Option<&'a str>,
    headers: &'a HeaderMap,
) -> Option<Vec<&'a str>> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host =
        hosts.next().map(|host| host.to_str().ok()).map_or(Some(None), |host| host.map(Some));
    let host = host.filter(|_| hosts.next().is_none())?;
    Some(target.into_iter().chain(host).collect())
}

/// The headers of every answer, for browsers.
pub(super) const ANSWER_HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_fleet_are_taken() {
        let hosts = ["cache.example".to_owned()];
        let ring = |name: &str| name == "cache-a";
        let known = |loopback| Known { loopback, hosts: &hosts, ring: &ring };
        for (host, on_loopback, on_all) in [
            ("127.0.0.1:9150", true, true),
            ("[::1]:9150", true, true),
            ("[::1]", true, true),
            ("localhost", true, true),
            ("LocalHost:1", true, true),
            ("a.localhost:1", true, true),
            ("10.0.0.1:9150", false, true),
            ("cache.example:9150", true, true),
            ("CACHE.example.", true, true),
            ("cache-a:9150", false, true),
            ("evil.example:9150", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("", false, false),
            (":9150", false, false),
            ("[::1", false, false),
            ("localhost:x", false, false),
            ("localhost:+1", false, false),
            ("localhost:65536", false, false),
            ("localhost:", false, false),
            ("localhost:1:2", false, false),
            ("localhost:1 ", false, false),
            ("localhost.", true, true),
            ("localhost..", false, false),
            (".localhost", false, false),
            ("a..localhost", false, false),
            ("evil.example#.localhost", false, false),
            ("evil.example?.localhost", false, false),
            ("evil.example/.localhost", false, false),
            ("evil.example\\.localhost", false, false),
            ("evil.example@localhost", false, false),
            ("localhost@evil.example", false, false),
            ("evil.example:1@.localhost", false, false),
            ("evil.example%00.localhost", false, false),
            ("evil.example\t.localhost", false, false),
            ("evil.example .localhost", false, false),
            ("evil.example,localhost", false, false),
            ("[localhost]", false, false),
            ("[127.0.0.1]", false, false),
            ("[::1%lo]:1", false, false),
            ("[::1]x:1", false, false),
            ("[[::1]]", false, false),
            ("::1", false, false),
            ("10.0.0.1.", false, false),
        ] {
            assert_eq!(known(true).is_ours(host), on_loopback, "{host} on loopback");
            assert_eq!(known(false).is_ours(host), on_all, "{host} on all interfaces");
        }
    }

    #[test]
    fn a_post_needs_our_header_and_no_strange_origin() {
        fn refused(pairs: &[(&'static str, &'static str)]) -> bool {
            let pairs = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            refused_post(&pairs.collect::<HeaderMap>(), "127.0.0.1:9150").is_some()
        }
        assert!(refused(&[]));
        assert!(!refused(&[("x-ringbinder", "1")]));
        assert!(!refused(&[("x-ringbinder", "1"), ("origin", "http://127.0.0.1:9150")]));
        assert!(refused(&[("x-ringbinder", "1"), ("origin", "http://evil.example")]));
        for origin in [
            "null",
            "",
            "127.0.0.1:9150",
            "file://127.0.0.1:9150",
            "http://127.0.0.1:9150/",
            "http://evil@127.0.0.1:9150",
            "http://127.0.0.1:9150@evil.example",
        ] {
            assert!(refused(&[("x-ringbinder", "1"), ("origin", origin)]), "{origin}");
        }
        let ours = ("origin", "https://127.0.0.1:9150");
        assert!(!refused(&[("x-ringbinder", "1"), ours]));
        assert!(refused(&[("x-ringbinder", "1"), ours, ("origin", "http://evil.example")]));
        assert!(refused(&[("x-ringbinder", "1"), ("origin", "null")]));
        assert!(refused(&[("x-ringbinder", "1"), ("sec-fetch-site", "cross-site")]));
        assert!(!refused(&[("x-ringbinder", "1"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn a_request_says_once_what_it_is_for() {
        let headers = |hosts: &[&'static [u8]]| {
            let values = hosts.iter().map(|host| HeaderValue::from_bytes(host).unwrap());
            values.map(|value| (header::HOST, value)).collect::<HeaderMap>()
        };
        assert_eq!(asked_for(None, &headers(&[])), Some(vec![]));
        assert_eq!(asked_for(None, &headers(&[b"a"])), Some(vec!["a"]));
        assert_eq!(asked_for(Some("t"), &headers(&[b"a"])), Some(vec!["t", "a"]));
        assert_eq!(asked_for(None, &headers(&[b"a", b"a"])), None);
        assert_eq!(asked_for(None, &headers(&[b"a\xff"])), None);
    }
}
