//! The syntax of a ring's origin.
//!
//! Either the path of a file, or `etcd://host:port[,host:port...]/key`. The slash after the last
//! endpoint is a separator and not part of the key: `etcd://10.0.0.1:2379/cache/ring.toml` is the
//! key `cache/ring.toml`, and a key that itself begins with a slash is written with two. The key is
//! used as written, without percent-decoding.
//!
//! A user or a password is refused here: addresses end up in process lists, logs and `stats`. Both
//! come from the environment instead, see [`super::Source::new`].

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

const SCHEME: &str = "etcd://";

/// The place where a ring is kept.
///
/// Parsed from and displayed as the path of a file or `etcd://host:port[,host:port...]/key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A key in etcd.
    Etcd {
        /// `host:port` of the members to ask, at least one; an IPv6 address is in brackets.
        endpoints: Vec<String>,
        /// The key, never empty.
        key: String,
    },
}

/// The reason why a text is not an origin. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The text is empty.
    #[error("no ring file is named: write a path, or etcd://host:port/key")]
    Empty,
    /// A URL with another scheme.
    #[error("a ring cannot be read from {0}: write the path of a file, or etcd://host:port/key")]
    Scheme(String),
    /// A malformed `etcd:` URL.
    #[error("{url} does not name a key in etcd: {reason}; write etcd://host:port/key")]
    Malformed {
        /// The URL as written.
        url: String,
        /// The fault.
        reason: String,
    },
    /// A user or a password in the address. The message does not repeat it.
    #[error(
        "the address of etcd holds a user or a password, which process lists and logs would show: \
         take it out and set ETCDCTL_USER=user:password in the environment"
    )]
    Login,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        if let Some(rest) = text.strip_prefix(SCHEME) {
            return etcd(text, rest);
        }
        if text.starts_with("etcd:") {
            return Err(match text.contains('@') {
                true => OriginError::Login,
                false => malformed(text, "two slashes follow 'etcd:'"),
            });
        }
        match text.split_once("://") {
            // The rest is not repeated: it may hold a password.
            Some((scheme, _)) if is_scheme(scheme) => {
                Err(OriginError::Scheme(format!("{scheme}://")))
            }
            _ => Ok(Origin::File(PathBuf::from(text))),
        }
    }
}

fn etcd(url: &str, rest: &str) -> Result<Origin, OriginError> {
    let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(OriginError::Login);
    }
    let endpoints = authority.split(',').map(endpoint).collect::<Result<Vec<_>, String>>();
    let endpoints = endpoints.map_err(|reason| match rest.contains('@') {
        // A password with a slash in it looks like an endpoint with a wrong port.
        true => OriginError::Login,
        false => malformed(url, &reason),
    })?;
    if key.is_empty() {
        return Err(malformed(url, "there is no key after the last endpoint"));
    }
    if key.contains(char::is_control) {
        return Err(malformed(&url.escape_debug().to_string(), "the key has a control character"));
    }
    Ok(Origin::Etcd { endpoints, key: key.to_owned() })
}

/// Checks one `host:port`.
fn endpoint(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an endpoint is empty".into());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("'{text}' has no port (etcd's is {text}:2379)"));
    };
    if host.is_empty() {
        return Err(format!("'{text}' has no host"));
    }
    if !port.parse::<u16>().is_ok_and(|port| port != 0) || port.starts_with('+') {
        return Err(format!("'{port}' in '{text}' is not a port"));
    }
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None if host.contains(':') => {
            return Err(format!("'{host}' in '{text}': an IPv6 address is written in brackets"));
        }
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if good { Ok(text.to_owned()) } else { Err(format!("'{host}' is not a host")) }
}

fn malformed(url: &str, reason: &str) -> OriginError {
    OriginError::Malformed { url: url.to_owned(), reason: reason.to_owned() }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::Etcd { endpoints, key } => {
                write!(f, "{SCHEME}{}/{key}", endpoints.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd_of(text: &str) -> (Vec<String>, String) {
        match text.parse() {
            Ok(Origin::Etcd { endpoints, key }) => (endpoints, key),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn anything_that_is_no_url_is_a_path() {
        for path in ["ring.toml", "/etc/ringbinder/ring.toml", "a:b", "./etcd://x", "a b/c"] {
            assert_eq!(path.parse(), Ok(Origin::File(path.into())), "{path}");
        }
    }

    #[test]
    fn endpoints_and_key_are_told_apart_by_the_first_slash() {
        let (endpoints, key) = etcd_of("etcd://10.0.0.1:2379,etcd-b.local:23790/cache/ring.toml");
        assert_eq!(endpoints, ["10.0.0.1:2379", "etcd-b.local:23790"]);
        assert_eq!(key, "cache/ring.toml");
        assert_eq!(etcd_of("etcd://[::1]:2379//ring").0, ["[::1]:2379"]);
        assert_eq!(etcd_of("etcd://h:1//ring").1, "/ring");
        assert_eq!(etcd_of("etcd://h:1/ring@home%20?x").1, "ring@home%20?x");
    }

    #[test]
    fn what_is_displayed_parses_to_the_same() {
        for text in ["ring.toml", "etcd://h:1,[::1]:2//a/b", "etcd://h:1/k"] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_are_told_what_is_wrong() {
        for (text, expected) in [
            ("etcd:ring", "two slashes"),
            ("etcd:/ring", "two slashes"),
            ("etcd://", "an endpoint is empty"),
            ("etcd:///ring", "an endpoint is empty"),
            ("etcd://h:1,/ring", "an endpoint is empty"),
            ("etcd://h/ring", "'h' has no port (etcd's is h:2379)"),
            ("etcd://:1/ring", "has no host"),
            ("etcd://h:/ring", "'' in 'h:' is not a port"),
            ("etcd://h:0/ring", "'0' in 'h:0' is not a port"),
            ("etcd://h:+1/ring", "is not a port"),
            ("etcd://h:65536/ring", "is not a port"),
            ("etcd://::1:2379/ring", "in brackets"),
            ("etcd://[::g]:2379/ring", "'[::g]' is not a host"),
            ("etcd://a b:1/ring", "'a b' is not a host"),
            ("etcd://h:1", "there is no key"),
            ("etcd://h:1/", "there is no key"),
            ("etcd://h:1/a\nb", "control character"),
        ] {
            let error = text.parse::<Origin>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.contains("write etcd://host:port/key"), "{text}: {error}");
            assert!(!error.contains('\n'), "{text}: {error}");
        }
        assert_eq!("".parse::<Origin>(), Err(OriginError::Empty));
        for text in ["http://h/ring", "etcds://h:1/ring", "file:///ring"] {
            let error = text.parse::<Origin>().expect_err(text);
            assert!(matches!(error, OriginError::Scheme(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for text in [
            "etcd://user:secret@h:1/ring",
            "etcd://secret@h:1/ring",
            "etcd://h:1,user:secret@h:2/ring",
            "etcd://user:secret/secret@h:1/ring",
            "etcd:user:secret@h:1/ring",
            "http://user:secret@h:1/ring",
        ] {
            let error = text.parse::<Origin>().expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
