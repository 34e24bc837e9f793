//! The rules between settings, and the warnings about those without effect.

use std::path::Path;

use super::error::SettingsError;
use super::extended::Extended;
use super::flags::{CommandLine, Protocol};
use super::layers::{Merged, Origin};
use super::listen::{self, ListenAddress};
use super::options::{AdminSettings, RingSettings, Settings, keys_of};
use super::tls::{TlsSettings, Verify};
use super::values::show_size;

/// More worker threads than this rarely help. memcached warns at the same number.
const MANY_THREADS: u16 = 64;

/// The effective settings, and warnings, one line each.
pub(super) fn apply(
    merged: &Merged,
    flags: &CommandLine,
    extended: Extended,
) -> Result<(Settings, Vec<String>), SettingsError> {
    let mut settings = merged.settings()?;
    let mut warnings = idle_flags(flags);
    warnings.extend(extended.warnings);
    settings.figures = extended.figures;
    show_idle_flags(flags, &mut settings);
    if settings.threads > MANY_THREADS {
        warnings.push(format!(
            "-t {}: more worker threads than the machine has cores rarely help",
            settings.threads
        ));
    }
    item_size(merged, &settings)?;
    addresses(merged, &mut settings, &mut warnings)?;
    tls(merged, &settings, &mut warnings)?;
    ring(merged, &mut settings, &mut warnings)?;
    if settings.admin.is_none() {
        merged.warn_idle(&keys_of::<AdminSettings>(), "--admin", &mut warnings);
    }
    if settings.snapshot.is_none() {
        let idle = ["snapshot_stale", "snapshot_strict"].map(str::to_owned);
        merged.warn_idle(&idle, "-e, --snapshot", &mut warnings);
    }
    Ok((settings, warnings))
}

/// memcached's rule. The message names both numbers, because either may be the mistake.
fn item_size(merged: &Merged, settings: &Settings) -> Result<(), SettingsError> {
    if settings.max_item_size <= settings.memory_limit / 2 {
        return Ok(());
    }
    // The error is about the value that was set; if both were, about the item size.
    let size_is_default = *merged.origin("max_item_size") == Origin::Default;
    let key = if size_is_default { "memory_limit" } else { "max_item_size" };
    Err(merged.error(
        key,
        format!(
            "the largest item ({}, -I) may be at most half of the memory ({} MB, -m); \
             raise -m or lower -I",
            show_size(settings.max_item_size),
            settings.memory_limit >> 20
        ),
    ))
}

/// Fills `addresses`, which are none if a Unix socket is served.
fn addresses(
    merged: &Merged,
    settings: &mut Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let tcp_is_off = settings.port == 0;
    // -1 asks the system to choose a port, which the system expresses as 0.
    let port = u16::try_from(settings.port).unwrap_or(0);
    let secure = settings.ssl.enabled.then(|| Verify::of(settings.ssl.verify_mode));
    let (addresses, more) = listen::parse(&settings.listen, port, secure)
        .map_err(|reason| merged.error("listen", reason))?;
    warnings.extend(more);
    if settings.unix_socket.is_none() {
        if tcp_is_off {
            return Err(merged.error(
                "port",
                "0 turns TCP off, as in memcached, and there is no Unix socket (-s) to serve on; -1 \
                 lets the system choose a port",
            ));
        }
        settings.addresses = addresses;
        return Ok(());
    }
    for key in ["listen", "port"] {
        let origin = merged.origin(key);
        let means_the_same = key == "port" && tcp_is_off;
        if *origin != Origin::Default && !means_the_same {
            warnings.push(format!(
                "{} has no effect: -s, --unix-socket turns TCP off, as in memcached",
                origin.place(key)
            ));
        }
    }
    Ok(())
}

fn tls(
    merged: &Merged,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let Some(tls) = settings.tls() else {
        let mut keys = keys_of::<TlsSettings>();
        keys.retain(|key| key != "enable_ssl");
        merged.warn_idle(&keys, "-Z, --enable-ssl", warnings);
        return Ok(());
    };
    if tls.min_version.0 < 2 {
        warnings.push(format!(
            "{} asks for {}, which is too old: clients need TLS 1.2 or 1.3",
            merged.origin("ssl_min_version").place("ssl_min_version"),
            tls.min_version
        ));
    }
    if tls.enabled && tls.chain.is_none() {
        return Err(merged.error(
            "enable_ssl",
            "TLS needs a certificate: name its file with -o ssl_chain_cert=FILE",
        ));
    }
    if tls.key.is_some() && tls.chain.is_none() {
        return Err(merged.error("ssl_key", "the key has no certificate: set ssl_chain_cert"));
    }
    if tls.enabled && settings.unix_socket.is_some() {
        warnings.push("-Z has no effect on the Unix socket: it stays without TLS".into());
    }
    let mut guards = settings.addresses.iter().map(|ListenAddress::Tcp { guard, .. }| guard);
    let asks = guards.any(|guard| guard.verify().is_some_and(|verify| verify != Verify::Nobody));
    if asks && tls.authorities.is_none() {
        let key = if tls.verify_mode > 0 { "ssl_verify_mode" } else { "listen" };
        return Err(merged.error(
            key,
            "clients are asked for a certificate, but there is no authority to check it: name the \
             authority's file with -o ssl_ca_cert=FILE",
        ));
    }
    Ok(())
}

fn ring(
    merged: &Merged,
    settings: &mut Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let Some(ring) = &mut settings.ring else {
        // The packaged settings set `ring_cache` also for nodes that get a ring later.
        let mut keys = keys_of::<RingSettings>();
        keys.retain(|key| key != "ring_cache");
        merged.warn_idle(&keys, "--ring", warnings);
        return Ok(());
    };
    if ring.source.is_empty() {
        return Err(merged.error("ring", "the name of the ring file is missing"));
    }
    ring.node.take_if(|name| name.is_empty());
    if settings.daemon && !ring.source.contains("://") {
        let path = std::path::absolute(&ring.source).unwrap_or_else(|_| (&ring.source).into());
        ring.source = path.display().to_string();
    }
    if ring.ring_cache.as_deref() == Some(Path::new(&ring.source)) {
        return Err(merged.error(
            "ring_cache",
            "this is the ring file itself, which the copy would replace: name another file",
        ));
    }
    Ok(())
}

/// Shows the flags without effect in `stats settings`.
fn show_idle_flags(flags: &CommandLine, settings: &mut Settings) {
    let figures = &mut settings.figures;
    if flags.protocol == Protocol::Ascii {
        figures.set("binding_protocol", "ascii");
    }
    if let Some(factor) = flags.slab_growth_factor {
        figures.set("growth_factor", format!("{factor:.2}"));
    }
    if let Some(size) = flags.slab_min_size {
        figures.set("chunk_size", size.to_string());
    }
    if let Some(ids) = flags.napi_ids {
        figures.set("num_napi_ids", ids.to_string());
    }
}

/// One line for each flag that is accepted and has no effect.
fn idle_flags(flags: &CommandLine) -> Vec<String> {
    let idle = [
        (flags.enable_largepages, "-L", "the system decides about large pages"),
        (flags.slab_growth_factor.is_some(), "-f", "memory is not divided into slabs"),
        (flags.slab_min_size.is_some(), "-n", "memory is not divided into slabs"),
        (flags.napi_ids.is_some(), "-N", "connections go to threads in turn"),
    ];
    let given = idle.iter().filter(|(given, ..)| *given);
    let mut warnings: Vec<String> =
        given.map(|(_, flag, why)| format!("{flag} has no effect: {why}")).collect();
    warnings
        .extend(flags.ignored.iter().map(|word| format!("{word:?} is ignored: it is not a flag")));
    warnings
}
