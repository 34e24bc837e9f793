//! Turns merged options into [`Settings`]: converts units, and applies the rules between settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::SettingsError;
use super::extended::Extended;
use super::flags::{CommandLine, Protocol};
use super::layers::{Merged, Origin};
use super::listen;
use super::model::{AdminSettings, ListenAddress, RingSettings, Settings};
use super::secure;
use super::text::text_of;
use super::tls::{Guard, TlsSettings, Verify};
use super::values::{ItemSize, Mebibytes};
use crate::memory::default_limit;

/// More worker threads than this rarely help. memcached warns at the same number.
const MANY_THREADS: u16 = 64;

/// Settings about the ring, which have no effect without one. `ring_cache` is not among them: it
/// names a path, which the packaged settings also set for nodes that get a ring later.
const RING_ONLY: [&str; 6] =
    ["node", "foreign_keys", "peer_timeout", "peer_give_up", "peer_secret_file", "peer_tls"];

/// Applies the rules. The second part of the result is warnings, one line each.
pub(super) fn resolve(
    merged: &Merged,
    flags: &CommandLine,
    extended: Extended,
) -> Result<(Settings, Vec<String>), SettingsError> {
    let options = &merged.options;
    let mut warnings = idle_flags(flags);
    let Extended { mut figures, warnings: idle_options, .. } = extended;
    warnings.extend(idle_options);
    if flags.protocol == Protocol::Ascii {
        figures.set("binding_protocol", "ascii");
    }
    if let Some(factor) = flags.slab_growth_factor {
        figures.set("growth_factor", format!("{:.2}", factor.0));
    }
    if let Some(size) = flags.slab_min_size {
        figures.set("chunk_size", size.0.to_string());
    }
    if let Some(ids) = flags.napi_ids {
        figures.set("num_napi_ids", ids.0.to_string());
    }

    let threads = options.threads.0;
    if threads > MANY_THREADS {
        warnings.push(format!(
            "{threads} worker threads (-t) are many; as many as the machine has cores are enough"
        ));
    }
    check_item_size(merged, options.max_item_size, options.memory_limit)?;

    // -1 asks the system to choose a port, which the system expresses as 0.
    let port = u16::try_from(options.port.0).unwrap_or(0);
    let tcp_is_off = options.port.0 == 0;
    let secure = options.enable_ssl.then(|| Verify::of(options.ssl_verify_mode.0));
    let (mut listen, listen_warnings) = listen::parse(&options.listen, port, secure)
        .map_err(|reason| merged.error("listen", reason))?;
    warnings.extend(listen_warnings);
    let unix_socket = text_of(merged, "unix_socket", options.unix_socket.as_deref())?;
    if tcp_is_off && unix_socket.is_none() {
        return Err(merged.error(
            "port",
            "0 turns TCP off, as in memcached, and there is no Unix socket (-s) to serve on; -1 lets \
             the system choose a port",
        ));
    }
    if unix_socket.is_some() {
        for key in ["listen", "port"] {
            let origin = merged.origin(key);
            let says_the_same = key == "port" && tcp_is_off;
            if *origin != Origin::Default && !says_the_same {
                warnings.push(format!(
                    "{} has no effect: -s, --unix-socket turns TCP off, as in memcached",
                    origin.place(key)
                ));
            }
        }
        listen.clear();
    }

    // A background process leaves the directory to which relative paths refer.
    let settle = |path: Option<PathBuf>| {
        path.map(|path| match options.daemon {
            true => std::path::absolute(&path).unwrap_or(path),
            false => path,
        })
    };
    let guards: Vec<Guard> = listen.iter().map(|ListenAddress::Tcp { guard, .. }| *guard).collect();
    let tls: Option<TlsSettings> = secure::resolve(merged, settle, &guards, &mut warnings)?;
    let ring = match &options.ring {
        None => None,
        Some(source) if source.is_empty() => {
            return Err(merged.error("ring", "the name of the ring file is missing"));
        }
        Some(source) => {
            let source = match source.contains("://") {
                true => source.clone(),
                false => settle(Some(source.into())).unwrap_or_default().display().to_string(),
            };
            let milliseconds = |ms: u32| Duration::from_millis(ms.into());
            let ring_cache = settle(text_of(merged, "ring_cache", options.ring_cache.as_deref())?);
            if ring_cache.as_deref() == Some(Path::new(&source)) {
                return Err(merged.error(
                    "ring_cache",
                    "this is the ring file itself, which the copy would replace: name another file",
                ));
            }
            Some(RingSettings {
                source,
                node: options.node.clone().filter(|name| !name.is_empty()),
                foreign_keys: options.foreign_keys,
                peer_timeout: milliseconds(options.peer_timeout.0),
                peer_give_up: milliseconds(options.peer_give_up.0),
                peer_secret_file: settle(text_of(
                    merged,
                    "peer_secret_file",
                    options.peer_secret_file.as_deref(),
                )?),
                peer_tls: options.peer_tls,
                ring_cache,
            })
        }
    };
    if ring.is_none() {
        for key in RING_ONLY {
            let origin = merged.origin(key);
            if *origin != Origin::Default {
                warnings.push(format!("{} has no effect without --ring", origin.place(key)));
            }
        }
    }
    let admin = admin(merged, &mut warnings)?;
    if options.snapshot_stale && options.snapshot.is_none() {
        warnings.push("--snapshot-stale has no effect without -e, --snapshot".to_owned());
    }
    if options.snapshot_strict && options.snapshot.is_none() {
        warnings.push("--snapshot-strict has no effect without -e, --snapshot".to_owned());
    }
    let settings = Settings {
        listen,
        port,
        interfaces: options.listen.join(","),
        unix_socket: settle(unix_socket),
        unix_mask: options.unix_mask.0,
        // -1 reaches the system as the largest number, which the system then reduces.
        listen_backlog: u32::try_from(options.listen_backlog.0).unwrap_or(i32::MAX.unsigned_abs()),
        conn_limit: options.conn_limit.0,
        maxconns_fast: options.maxconns_fast,
        idle_timeout: options.idle_timeout.0,
        max_reqs_per_event: options.max_reqs_per_event.0,
        threads,
        memory_limit_bytes: options.memory_limit.bytes(),
        connection_memory_bytes: options
            .connection_memory
            .map_or_else(|| default_limit(options.memory_limit.bytes()), Mebibytes::bytes),
        max_item_size: options.max_item_size.bytes(),
        evictions: !options.disable_evictions,
        cas_enabled: !options.disable_cas,
        lock_memory: options.lock_memory,
        flush_enabled: !options.disable_flush_all,
        dump_enabled: !options.disable_dumping,
        crawler_enabled: figures.get("lru_crawler") != Some("no"),
        watch_enabled: !options.disable_watch,
        shutdown_enabled: options.enable_shutdown,
        verbosity: options.verbose,
        prefix_delimiter: options.prefix_delimiter.map_or(b':', |delimiter| delimiter.0),
        detail_enabled: options.prefix_delimiter.is_some(),
        track_sizes: options.track_sizes,
        watcher_logbuf_size: options.watcher_logbuf_size.0 << 10,
        worker_logbuf_size: options.worker_logbuf_size.0 << 10,
        tls,
        auth_file: settle(text_of(merged, "auth_file", options.auth_file.as_deref())?),
        ring,
        admin,
        snapshot: settle(text_of(merged, "snapshot", options.snapshot.as_deref())?),
        snapshot_stale: options.snapshot_stale,
        snapshot_strict: options.snapshot_strict,
        hand_over: settle(text_of(merged, "hand_over", options.hand_over.as_deref())?),
        daemon: options.daemon,
        pidfile: settle(text_of(merged, "pidfile", options.pidfile.as_deref())?),
        user: options.user.clone(),
        coredumps: options.enable_coredumps,
        figures,
    };
    Ok((settings, warnings))
}

/// The admin port, if it is enabled.
fn admin(
    merged: &Merged,
    warnings: &mut Vec<String>,
) -> Result<Option<AdminSettings>, SettingsError> {
    let options = &merged.options;
    let listed = options.admin_hosts.iter().flat_map(|list| list.split(',')).map(str::trim);
    let mut hosts = Vec::new();
    for host in listed.filter(|host| !host.is_empty()) {
        hosts.push(listen::host_name(host).map_err(|reason| merged.error("admin_hosts", reason))?);
    }
    let Some(text) = options.admin.as_deref().map(str::trim) else {
        let origin = merged.origin("admin_hosts");
        if *origin != Origin::Default {
            warnings.push(format!("{} has no effect without --admin", origin.place("admin_hosts")));
        }
        return Ok(None);
    };
    let address = listen::parse_admin(text).map_err(|reason| merged.error("admin", reason))?;
    Ok(Some(AdminSettings { address, hosts }))
}

/// memcached's rule. The message names both numbers, because either may be the mistake.
fn check_item_size(
    merged: &Merged,
    item: ItemSize,
    memory: Mebibytes,
) -> Result<(), SettingsError> {
    if item.bytes() <= memory.bytes() / 2 {
        return Ok(());
    }
    // The error is about the value that was set; if both were, about the item size.
    let size_is_default = *merged.origin("max_item_size") == Origin::Default;
    let key = if size_is_default { "memory_limit" } else { "max_item_size" };
    Err(merged.error(
        key,
        format!(
            "the largest item ({item}, -I) may be at most half of the memory ({} MB, -m); \
             raise -m or lower -I",
            memory.bytes() >> 20
        ),
    ))
}

/// One line for each flag that is accepted and has no effect.
fn idle_flags(flags: &CommandLine) -> Vec<String> {
    let idle = [
        (flags.enable_largepages, "-L", "large pages are left to the system"),
        (flags.slab_growth_factor.is_some(), "-f", "memory is not divided into slabs"),
        (flags.slab_min_size.is_some(), "-n", "memory is not divided into slabs"),
        (flags.napi_ids.is_some(), "-N", "connections go to threads in turn"),
    ];
    let given = idle.iter().filter(|(given, ..)| *given);
    let mut warnings: Vec<String> =
        given.map(|(_, flag, why)| format!("{flag} has no effect: {why}")).collect();
    warnings.extend(flags.ignored.iter().map(|word| format!("{word:?} is ignored: it is no flag")));
    warnings
}
