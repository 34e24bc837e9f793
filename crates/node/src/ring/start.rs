//! The ring at the start of a node: reads it, and finds this node in it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use parking_lot::RwLock;
use ringbinder_protocol::Instance;
use ringbinder_ring::Ring;
use ringbinder_ring::source::{Origin, OriginError, Provenance, Source, SourceError};
use tokio::sync::mpsc;
use tracing::warn;

use super::membership::{Identity, Membership};
use super::pause::PauseDetector;
use super::peer::{Address, NAMELESS, Peers, address_of};
use super::status::Status;
use super::{Hint, MAX_HINTS, Posted, RingNode, RingSettings};
use crate::observe::log_limit::LogLimit;
use crate::process::exit::ExitCode;
use crate::ring::manager::drift::Drift;
use crate::ring::peer::dial::Dialer;
use crate::ring::peer::neighbours::Neighbours;
use crate::ring::peer::secret::Secret;

/// The reason why a node cannot start with its ring.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("--ring: {0}")]
    Origin(#[from] OriginError),
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("--peer-secret-file: {0}")]
    Secret(String),
    /// The system offers no means to watch the source.
    #[error(
        "cannot read the ring {origin}: cannot start a runtime: {reason}; check the limit of open \
         files (ulimit -n) and the free memory"
    )]
    Runtime { origin: String, reason: std::io::Error },
}

impl StartError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            StartError::Origin(_) => ExitCode::Usage,
            StartError::Source(error) if error.is_away() => ExitCode::OsError,
            StartError::Runtime { .. } => ExitCode::OsError,
            _ => ExitCode::Config,
        }
    }
}

/// A ring that was read, and the parts that continue from it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: Arc<RingNode>,
    pub(crate) source: Source,
    pub(crate) membership: Membership,
    pub(crate) hints: mpsc::Receiver<Hint>,
    pub(crate) drift: Drift,
}

/// A ring that was read for the first time.
struct First {
    ring: Arc<Ring>,
    /// The origin of the ring, and the content of the source.
    status: Status,
    /// Warnings for the operator, one line each.
    warnings: Vec<String>,
}

fn secret(settings: &RingSettings) -> Result<Option<Secret>, StartError> {
    let secret = settings.peer_secret_file.as_deref().map(Secret::read).transpose();
    secret.map_err(StartError::Secret)
}

/// The source of the ring, and the file for a copy of it.
fn source(settings: &RingSettings) -> Result<Source, StartError> {
    let origin = settings.source.parse()?;
    let cache = settings.ring_cache.clone().filter(|cache| may_keep(cache, &origin));
    Ok(Source::new(origin, cache))
}

/// Reads the ring.
fn first(source: &Source) -> Result<First, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|reason| StartError::Runtime { origin: source.origin().to_string(), reason })?;
    let (ring, provenance) = runtime.block_on(source.first())?;
    let mut status = Status {
        source: source.origin().to_string(),
        cache: source.cache().map(|cache| cache.path().display().to_string()).unwrap_or_default(),
        ..Status::default()
    };
    let mut warnings = Vec::new();
    let version = ring.id().version;
    match provenance {
        Provenance::Origin => {
            status.taken_from.clone_from(&status.source);
            status.file = Some(ring.id());
        }
        Provenance::Cache { path, why } => {
            warnings
                .push(format!("using the earlier copy of the ring in {}: {why}", path.display()));
            status.taken_from = path.display().to_string();
            status.file_fails = !why.is_away();
            status.last_error = why.to_string();
        }
        Provenance::Newer { path, file } => {
            let (source, path, older) = (&status.source, path.display(), file.version);
            warnings.push(format!(
                "{source} has ring {older}, but the copy in {path} has the newer ring {version}: \
                 using ring {version}. Write it to {source} (`ring get` prints it); to go back to \
                 the content of ring {older}, raise its version above {version}"
            ));
            status.taken_from = path.to_string();
            status.file = Some(file);
        }
    }
    let origin = source.origin();
    warnings.extend(ring.warnings().iter().map(|warning| format!("{origin}: {warning}")));
    Ok(First { ring: Arc::new(ring), status, warnings })
}

/// A warning if the ring does not list this node. That is not an error: a node may start before it
/// is in the ring.
fn absence(
    settings: &RingSettings,
    identity: &Identity,
    ring: &Ring,
    origin: &Origin,
) -> Option<String> {
    if identity.place_in(ring).is_some() {
        return None;
    }
    let who = match &settings.node {
        Some(name) => format!("no node has the name {name}"),
        None => "no node has an address on which this one listens (see --node)".into(),
    };
    Some(format!(
        "this node is not in ring {} of {origin}: {who}. Until the ring lists it, it owns no key \
         and forwards every request",
        ring.id().version
    ))
}

/// Checks the secret and the ring file that a start with these settings would read. etcd is not
/// asked. Returns warnings for the operator, one line each.
///
/// `listening` has the addresses that the node would listen on; `None` if they are not known.
///
/// # Errors
/// Those of [`start`].
pub(crate) fn check(
    settings: &RingSettings,
    listening: Option<&[SocketAddr]>,
) -> Result<Vec<String>, StartError> {
    secret(settings)?;
    let source = source(settings)?;
    if let Origin::Etcd { .. } = source.origin() {
        if cfg!(not(feature = "etcd")) {
            return Err(SourceError::NotBuilt.into());
        }
        return Ok(vec![format!(
            "did not read the ring {}: a check does not connect to etcd",
            settings.source
        )]);
    }
    let First { ring, mut warnings, .. } = first(&source)?;
    if settings.node.is_none() && listening.is_none() {
        warnings.push(
            "did not check whether the ring lists this node: a check does not resolve the host \
             names of -l and does not know a port that the system chooses (see --node)"
                .to_owned(),
        );
        return Ok(warnings);
    }
    let addresses = own_addresses(listening.into_iter().flatten().copied());
    let identity = Identity { name: settings.node.clone(), addresses };
    warnings.extend(absence(settings, &identity, &ring, source.origin()));
    Ok(warnings)
}

/// Reads the ring, and finds this node in it.
pub(crate) fn start(settings: &RingSettings, mut dialer: Dialer) -> Result<Started, StartError> {
    let secret = secret(settings)?;
    if let Some(secret) = &secret {
        dialer.proves(secret.clone());
    }
    let source = source(settings)?;
    let First { ring, mut status, warnings } = first(&source)?;
    let drift = Drift::at_start(status.file, status.file != Some(ring.id()));
    let identity =
        Identity { name: settings.node.clone(), addresses: own_addresses(dialer.listening()) };
    let absence = absence(settings, &identity, &ring, source.origin());
    for warning in warnings.into_iter().chain(absence) {
        warn!("{warning}");
    }
    let membership = Membership::new(identity, Instance(rand::random()), ring);
    dialer.settle(own_address(&membership).as_deref());
    status.standing = membership.standing();
    status.address = membership.claim().address().cloned();
    let peers = Peers::default();
    let view = Arc::new(membership.view(&peers));
    let (sender, hints) = mpsc::channel(MAX_HINTS);
    dialer.names().follow(membership.ring(), membership.rings());
    let posted = Posted {
        line: membership.peer_line(&name(settings, &membership)),
        view,
        rings: membership.rings().to_vec(),
        status,
    };
    let neighbours = Neighbours::default();
    neighbours.settle(membership.rings(), |_| Vec::new(), true);
    let node = Arc::new(RingNode {
        settings: settings.clone(),
        secret,
        neighbours,
        unproved: LogLimit::default(),
        dialer,
        peers,
        posted: RwLock::new(posted),
        hints: sender,
        pause_detector: PauseDetector::new(settings.peer_give_up),
        misrouted_logged: 0.into(),
        log_limit: LogLimit::default(),
    });
    Ok(Started { node, source, membership, hints, drift })
}

/// Whether a copy may be kept in a file. It may not if that is the ring file itself under another
/// name.
fn may_keep(cache: &Path, origin: &Origin) -> bool {
    let same = match origin {
        Origin::File(file) => {
            cache.canonicalize().is_ok_and(|cache| file.canonicalize().is_ok_and(|it| it == cache))
        }
        Origin::Etcd { .. } => false,
    };
    if same {
        let cache = cache.display();
        warn!(
            "cannot keep a copy of the ring in {cache}: that is the ring file itself (--ring-cache)"
        );
    }
    !same
}

/// This node's name: by the current ring, or as given at the start, or the placeholder for no name.
pub(crate) fn name(settings: &RingSettings, membership: &Membership) -> String {
    let placed = membership.me().map(|me| membership.ring().nodes()[me as usize].name.clone());
    placed.or_else(|| settings.node.clone()).unwrap_or_else(|| NAMELESS.to_owned())
}

/// This node's address by the current ring, if the ring lists the node.
pub(crate) fn own_address(membership: &Membership) -> Option<Address> {
    membership.me().map(|me| address_of(&membership.ring().nodes()[me as usize]))
}

/// The addresses that reach this node: those it listens on, and every address of the machine if it
/// listens on all.
pub(super) fn own_addresses(listening: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in listening {
        if !address.ip().is_unspecified() {
            addresses.push(address);
            continue;
        }
        for interface in getifaddrs().into_iter().flatten() {
            let Some(place) = interface.address else { continue };
            let ip = place
                .as_sockaddr_in()
                .map(|v4| v4.ip().into())
                .or_else(|| place.as_sockaddr_in6().map(|v6| v6.ip().into()));
            if let Some(ip) = ip {
                addresses.push(SocketAddr::new(ip, address.port()));
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_refuses_a_runtime_is_no_fault_of_the_ring_file() {
        let error = StartError::Runtime {
            origin: "ring.toml".into(),
            reason: nix::errno::Errno::EMFILE.into(),
        };
        assert_eq!(error.exit_code(), ExitCode::OsError);
        let message = error.to_string();
        assert!(message.contains("ring.toml") && message.contains("open files"), "{message}");
    }
}
