//! `--check-config`: reads the files that a start would read and tries the places where it would
//! write, without serving.
//!
//! It follows the order of a start and fails with a start's own errors, so the message and the exit
//! code are those of the start that would fail. It does not listen, asks no other machine, and
//! leaves nothing behind, so it may run beside the node that serves with the same settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Failure;
use crate::net::listen;
use crate::process::clock::Clock;
use crate::process::pidfile::PidFile;
use crate::process::user::{self, RunsAs};
use crate::ring;
use crate::security::guards::Guards;
use crate::settings::{ListenAddress, Settings};
use crate::snapshot;

/// Checks the files and places that these settings name. Returns warnings for the operator, one
/// line each.
///
/// Becomes the user named with `-u`, because a start would have that user's rights from there on.
///
/// # Errors
/// The error with which a start would end.
pub(crate) fn check(settings: &Settings) -> Result<Vec<String>, Failure> {
    let mut guards = Guards::load(settings, Clock::new().now())?;
    let mut warnings = std::mem::take(&mut guards.warnings);
    if let Some(path) = &settings.unix_socket {
        listen::check_unix(path)?;
    }
    // A start without `-u` warns that it stays root; a check need not.
    if settings.user.is_some()
        && let RunsAs::Root { warning } | RunsAs::Dropped { warning, .. } =
            user::drop_privileges(settings.user.as_deref())?
    {
        warnings.extend(warning);
    }
    warnings.extend(guards.lost());
    if let Some(path) = &settings.hand_over {
        listen::check_unix(path)?;
    }
    if let Some(path) = &settings.pidfile {
        warnings.extend(PidFile::check(path).err().map(|error| error.to_string()));
    }
    if let Some(ring) = &settings.ring {
        warnings.extend(ring::check(ring, listening(settings).as_deref())?);
    }
    if let Some(path) = &settings.snapshot {
        snapshot::check_file(path, settings.snapshot_strict)?;
    }
    Ok(warnings)
}

/// The addresses to listen on, if they are known without a resolver: `None` if there is a host name
/// among them, or a port that the system chooses.
fn listening(settings: &Settings) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for ListenAddress::Tcp { host, port, .. } in &settings.addresses {
        let ips: Vec<IpAddr> = match host.as_str() {
            "*" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            host => vec![host.parse().ok()?],
        };
        if *port == 0 {
            return None;
        }
        addresses.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, *port)));
    }
    Some(addresses)
}
