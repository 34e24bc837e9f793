//! The settings about TLS, resolved: the rules between them.

use std::path::PathBuf;

use super::error::SettingsError;
use super::layers::{Merged, Origin};
use super::text::text_of;
use super::tls::{Guard, PeerTls, TlsSettings, Verify};

/// Settings that have no effect if no listener speaks TLS.
const TLS_ONLY: [&str; 6] = [
    "ssl_chain_cert",
    "ssl_key",
    "ssl_ca_cert",
    "ssl_verify_mode",
    "ssl_min_version",
    "ssl_session_cache",
];

/// Applies the rules. `settle` makes a path absolute if needed; `guards` are those of the
/// listeners.
pub(super) fn resolve(
    merged: &Merged,
    settle: impl Fn(Option<PathBuf>) -> Option<PathBuf>,
    guards: &[Guard],
    warnings: &mut Vec<String>,
) -> Result<Option<TlsSettings>, SettingsError> {
    let options = &merged.options;
    let path =
        |key: &str, path: &Option<PathBuf>| text_of(merged, key, path.as_deref()).map(&settle);
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
