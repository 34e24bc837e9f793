//! The settings about TLS, and the kinds of their values.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::options::SECURITY;
use super::values::{ValueError, whole};

/// The settings about TLS, for listeners and for links to other nodes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// Speak TLS on every TCP address without the prefix notls: (no TLS), btls: (TLS without client
    /// certificates), mtls: (with) or opttls: (TLS or plain, as the client begins)
    #[arg(short = 'Z', id = "enable_ssl", long = "enable-ssl", help_heading = SECURITY)]
    pub(crate) enabled: bool,

    /// File with this server's certificate and the chain above it, in PEM
    #[arg(id = "ssl_chain_cert", long = "ssl-chain-cert")]
    #[arg(value_name = "FILE", help_heading = SECURITY)]
    pub(crate) chain: Option<PathBuf>,

    /// File with the key of the certificate, in PEM; needed if the chain's file does not contain it
    #[arg(id = "ssl_key", long = "ssl-key", value_name = "FILE", help_heading = SECURITY)]
    pub(crate) key: Option<PathBuf>,

    /// File with the authorities to trust for the certificates of clients and of other nodes
    #[arg(id = "ssl_ca_cert", long = "ssl-ca-cert", value_name = "FILE", help_heading = SECURITY)]
    pub(crate) authorities: Option<PathBuf>,

    /// Certificates of clients: 0 asks for none, 1 asks and checks one that is sent, 2 and 3 require
    /// one
    #[arg(id = "ssl_verify_mode", long = "ssl-verify-mode", value_name = "N", default_value = "0")]
    #[arg(value_parser = whole::<u8>(0, 3), help_heading = SECURITY)]
    pub(crate) verify_mode: u8,

    /// Oldest TLS version to accept: 2 or tlsv1.2, 3 or tlsv1.3
    #[arg(id = "ssl_min_version", long = "ssl-min-version", value_name = "VERSION")]
    #[arg(default_value = "tlsv1.2", help_heading = SECURITY)]
    pub(crate) min_version: MinVersion,

    /// Let clients resume an earlier TLS session, unless they are asked for certificates
    #[arg(id = "ssl_session_cache", long = "ssl-session-cache", help_heading = SECURITY)]
    pub(crate) session_cache: bool,
}

/// Which clients must prove their identity by a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verify {
    /// No client is asked for one.
    Nobody,
    /// Every client is asked, and a certificate that is sent must be valid.
    WhoShows,
    /// Every client must send a valid one.
    Everybody,
}

impl Verify {
    /// The meaning of a number after `ssl_verify_mode`.
    pub(super) fn of(mode: u8) -> Verify {
        match mode {
            0 => Verify::Nobody,
            1 => Verify::WhoShows,
            // 2 asks at every handshake and 3 at the first one only: there is but one.
            _ => Verify::Everybody,
        }
    }
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// No TLS.
    Plain,
    /// TLS only.
    Tls(Verify),
    /// Either, as the client begins: for the time of a change to TLS.
    Either(Verify),
}

impl Guard {
    /// Which clients it asks for certificates; `None` without TLS.
    pub(crate) fn verify(self) -> Option<Verify> {
        match self {
            Guard::Plain => None,
            Guard::Tls(verify) | Guard::Either(verify) => Some(verify),
        }
    }
}

/// The oldest version that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinVersion(pub(super) u8);

/// memcached's numbers for the versions are the indexes of this list.
const VERSIONS: [&str; 4] = ["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"];

impl MinVersion {
    /// The oldest version that the server accepts: 1.2 or later.
    pub(crate) fn spoken(self) -> String {
        VERSIONS[usize::from(self.0.max(2))].to_owned()
    }

    /// Whether 1.2 is too old.
    pub(crate) fn is_latest(self) -> bool {
        self.0 == 3
    }
}

impl FromStr for MinVersion {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim().to_ascii_lowercase();
        (0..)
            .zip(VERSIONS)
            .find(|(number, name)| text == *name || text == number.to_string())
            .map(|(number, _)| Self(number))
            .ok_or_else(|| ValueError::new("2 for tlsv1.2 or 3 for tlsv1.3"))
    }
}

impl Display for MinVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSIONS[usize::from(self.0)])
    }
}

/// Whether links to other nodes use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum PeerTls {
    /// As this node's own address in the ring does.
    Auto,
    /// With TLS.
    On,
    /// Without.
    Off,
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_by_number_and_by_name() {
        for (text, shown) in
            [("0", "tlsv1.0"), (" 2 ", "tlsv1.2"), ("3", "tlsv1.3"), ("TLSv1.3", "tlsv1.3")]
        {
            assert_eq!(text.parse::<MinVersion>().unwrap().to_string(), shown);
        }
        for wrong in ["4", "1.2", "", "ssl3"] {
            assert!(wrong.parse::<MinVersion>().is_err(), "{wrong}");
        }
    }
}
