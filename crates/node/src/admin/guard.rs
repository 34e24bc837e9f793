//! Who may ask the admin port for what, and what browsers are told about its answers.
//!
//! The port knows no passwords: whoever reaches it may read. What is kept out are web pages that
//! make a browser ask in their name:
//!
//! - A page whose name was bound anew to this node's address (DNS rebinding) sends its own name as
//!   `Host`. Only IP addresses, `localhost`, and names that are known to be this fleet's are taken.
//! - A page of another origin may send a POST without reading the answer. A POST is taken only with
//!   a header of ours, which a browser sends to another origin only where that agrees, and nothing
//!   here agrees to it; and never with the `Origin` of somebody else.

use std::net::IpAddr;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The header that a POST must have, whatever it says.
pub(super) const POST_HEADER: &str = "x-ringbinder";

/// The host of a `Host` header or of an authority, without its port; `None` where it is no host.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    let port_is_one = port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    (port_is_one && !host.is_empty()).then_some(host)
}

/// What is known of names.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The port can be reached from this machine only.
    pub(super) loopback: bool,
    /// Names from the settings, in lower case.
    pub(super) hosts: &'a [String],
    /// Hosts of the ring.
    pub(super) ring: &'a dyn Fn(&str) -> bool,
}

impl Known<'_> {
    /// Whether a request for this host is meant for this node.
    pub(super) fn is_ours(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return !self.loopback || ip.is_loopback();
        }
        // A name may end in the dot of the root.
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || self.hosts.contains(&name)
            || (!self.loopback && (self.ring)(&name))
    }
}

/// Why a POST is not taken; `None` where it is.
pub(super) fn refused_post(headers: &HeaderMap, authority: &str) -> Option<&'static str> {
    if !headers.contains_key(POST_HEADER) {
        return Some("a POST needs the header X-Ringbinder, such as X-Ringbinder: 1");
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let ours = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        if ours.is_none_or(|(_, host)| !host.eq_ignore_ascii_case(authority)) {
            return Some("this POST comes from a page of another origin");
        }
    }
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    match site {
        None | Some("same-origin" | "none") => None,
        Some(_) => Some("this POST comes from a page of another origin"),
    }
}

/// What every answer tells the browser.
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
        ] {
            assert_eq!(known(true).is_ours(host), on_loopback, "{host} on loopback");
            assert_eq!(known(false).is_ours(host), on_all, "{host} on all interfaces");
        }
    }

    #[test]
    fn a_post_needs_our_header_and_no_strange_origin() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            pairs.collect::<HeaderMap>()
        };
        let refused = |pairs| refused_post(&headers(pairs), "127.0.0.1:9150").is_some();
        assert!(refused(&[]));
        assert!(!refused(&[("x-ringbinder", "1")]));
        assert!(!refused(&[("x-ringbinder", "1"), ("origin", "http://127.0.0.1:9150")]));
        assert!(refused(&[("x-ringbinder", "1"), ("origin", "http://evil.example")]));
        assert!(refused(&[("x-ringbinder", "1"), ("origin", "null")]));
        assert!(refused(&[("x-ringbinder", "1"), ("sec-fetch-site", "cross-site")]));
        assert!(!refused(&[("x-ringbinder", "1"), ("sec-fetch-site", "same-origin")]));
    }
}
