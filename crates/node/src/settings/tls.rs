//! What is set about TLS: the kinds of values, and the rules between one setting and another.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::error::SettingsError;
use super::layers::{Merged, Origin};
use super::values::{ValueError, text_or_number};

/// What is set about TLS, for listeners and for links to other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// Whether listeners speak it (`-Z`).
    pub(crate) enabled: bool,
    /// The certificate and those that vouch for it, in PEM.
    pub(crate) chain: Option<PathBuf>,
    /// The key; where it has no file of its own it stands in that of the chain.
    pub(crate) key: Option<PathBuf>,
    /// Whom to trust: clients that are asked for a certificate, and other nodes.
    pub(crate) authorities: Option<PathBuf>,
    /// The number after `ssl_verify_mode`, 0 to 3.
    pub(crate) verify_mode: u8,
    /// The oldest version that is spoken.
    pub(crate) min_version: MinVersion,
    /// Whether clients may take a session up again.
    pub(crate) session_cache: bool,
}

/// Which clients have to prove themselves by a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verify {
    /// Nobody is asked for one.
    Nobody,
    /// Everybody is asked, and one that is shown must be good.
    WhoShows,
    /// Everybody must show a good one.
    Everybody,
}

impl Verify {
    /// What a number after `ssl_verify_mode` comes to.
    pub(super) fn of(mode: u8) -> Verify {
        match mode {
            0 => Verify::Nobody,
            1 => Verify::WhoShows,
            // 2 asks at every handshake and 3 at the first one only: there is but one.
            _ => Verify::Everybody,
        }
    }
}

/// What a listener speaks.
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
    /// Whom it asks for certificates, where it speaks TLS.
    pub(crate) fn verify(self) -> Option<Verify> {
        match self {
            Guard::Plain => None,
            Guard::Tls(verify) | Guard::Either(verify) => Some(verify),
        }
    }
}

/// The oldest version that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinVersion(u8);

/// memcached's numbers for the versions are the places in this list.
const VERSIONS: [&str; 4] = ["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"];

impl MinVersion {
    /// The oldest that is really spoken.
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

impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)
    }
}

impl Serialize for MinVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How other nodes are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub(crate) enum PeerTls {
    /// As this one is dialled at its own address in the ring.
    Auto,
    /// With TLS.
    On,
    /// Without.
    Off,
}

/// Settings that mean nothing where nobody speaks TLS.
const TLS_ONLY: [&str; 6] = [
    "ssl_chain_cert",
    "ssl_key",
    "ssl_ca_cert",
    "ssl_verify_mode",
    "ssl_min_version",
    "ssl_session_cache",
];

/// Applies the rules. `settle` makes a path one that stays right; `guards` are the listeners'.
pub(super) fn resolve(
    merged: &Merged,
    settle: impl Fn(Option<PathBuf>) -> Option<PathBuf>,
    guards: &[Guard],
    warnings: &mut Vec<String>,
) -> Result<Option<TlsSettings>, SettingsError> {
    let options = &merged.options;
    let path = |key: &str, path: &Option<PathBuf>| {
        super::resolve::text_of(merged, key, path.as_deref()).map(&settle)
    };
    let settings = TlsSettings {
        enabled: options.enable_ssl,
        chain: path("ssl_chain_cert", &options.ssl_chain_cert)?,
        key: path("ssl_key", &options.ssl_key)?,
        authorities: path("ssl_ca_cert", &options.ssl_ca_cert)?,
        verify_mode: options.ssl_verify_mode.0,
        min_version: options.ssl_min_version,
        session_cache: options.ssl_session_cache,
    };
    if !settings.enabled && (options.ring.is_none() || options.peer_tls != PeerTls::On) {
        for key in TLS_ONLY {
            let origin = merged.origin(key);
            if *origin != Origin::Default {
                warnings
                    .push(format!("{} has no effect without -Z, --enable-ssl", origin.place(key)));
            }
        }
        return Ok(None);
    }
    if settings.min_version.0 < 2 {
        warnings.push(format!(
            "{} asks for {}, which is not spoken any more: clients need TLS 1.2 or 1.3",
            merged.origin("ssl_min_version").place("ssl_min_version"),
            settings.min_version
        ));
    }
    if settings.enabled && settings.chain.is_none() {
        return Err(merged.error(
            "enable_ssl",
            "TLS needs a certificate: name its file with -o ssl_chain_cert=FILE",
        ));
    }
    if settings.key.is_some() && settings.chain.is_none() {
        return Err(merged.error("ssl_key", "there is no certificate to it: set ssl_chain_cert"));
    }
    if settings.enabled && options.unix_socket.is_some() {
        warnings.push("-Z has no effect on the Unix socket: it stays without TLS".into());
    }
    let asks = guards.iter().filter_map(|guard| guard.verify()).any(|it| it != Verify::Nobody);
    if asks && settings.authorities.is_none() {
        let key = if settings.verify_mode > 0 { "ssl_verify_mode" } else { "listen" };
        return Err(merged.error(
            key,
            "clients are asked for a certificate, and nothing says whose is good: name the file of \
             their authority with -o ssl_ca_cert=FILE",
        ));
    }
    Ok(Some(settings))
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
