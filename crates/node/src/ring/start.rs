//! The ring at the start of a node: read it, find this node in it.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use parking_lot::RwLock;
use ringbinder_protocol::Instance;
use ringbinder_ring::source::{OriginError, Provenance, Source, SourceError};
use tokio::sync::mpsc;
use tracing::warn;

use super::dial::Dialer;
use super::membership::{Identity, Membership};
use super::neighbours::Neighbours;
use super::peer::{Address, Peers, address_of};
use super::pulse::Pulse;
use super::secret::Secret;
use super::status::Status;
use super::{Hint, MAX_HINTS, Posted, RingNode, RingSettings, discovery};
use crate::process::exit::ExitCode;
use crate::sparing::Sparing;

/// What a node calls itself that no ring names and that was started without a name.
pub(crate) const NAMELESS: &str = "-";

/// Why a node cannot start with its ring.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("--ring: {0}")]
    Origin(#[from] OriginError),
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("--peer-secret-file: {0}")]
    Secret(String),
    /// The system gives nothing to wait for the source with.
    #[error(
        "cannot begin to read the ring {origin}: the system refuses what waiting for it takes \
         ({reason}); check the limit of open files (ulimit -n) and the memory that is free"
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

/// A ring that was read, and everything that goes on from there.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: Arc<RingNode>,
    pub(crate) source: Source,
    pub(crate) membership: Membership,
    pub(crate) hints: mpsc::Receiver<Hint>,
}

/// Reads the ring.
pub(crate) fn start(settings: &RingSettings, mut dialer: Dialer) -> Result<Started, StartError> {
    let secret = settings.peer_secret_file.as_deref().map(Secret::read).transpose();
    let secret = secret.map_err(StartError::Secret)?;
    if let Some(secret) = &secret {
        dialer.proves(secret.clone());
    }
    let source = Source::new(settings.source.parse()?, settings.ring_cache.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|reason| StartError::Runtime { origin: source.origin().to_string(), reason })?;
    let (ring, provenance) = runtime.block_on(source.first())?;
    let taken_from = match provenance {
        Provenance::Origin => source.origin().to_string(),
        Provenance::Cache { path, why } => {
            warn!("the ring is that of {}, kept from before: {why}", path.display());
            path.display().to_string()
        }
    };
    for warning in ring.warnings() {
        warn!("{}: {warning}", source.origin());
    }
    let identity =
        Identity { name: settings.node.clone(), addresses: own_addresses(dialer.listening()) };
    let ring = Arc::new(ring);
    if identity.place_in(&ring).is_none() {
        let who = match &settings.node {
            Some(name) => format!("no node is called {name}"),
            None => "none of its nodes has an address that this one listens on (see --node)".into(),
        };
        warn!(
            "this node is not in ring {} of {}: {who}. Until it is, it owns no key and leaves \
             every request to the others",
            ring.id().version,
            source.origin()
        );
    }
    let membership = Membership::new(identity, Instance(rand::random()), ring);
    dialer.settle(own_address(&membership).as_deref());
    let peers = Peers::default();
    let view = Arc::new(membership.view(&peers));
    let (sender, hints) = mpsc::channel(MAX_HINTS);
    let cluster = discovery::payload(membership.ring(), &Default::default()).into();
    let posted = Posted {
        line: membership.peer_line(&name(settings, &membership)),
        view,
        rings: membership.rings().to_vec(),
        cluster,
        status: Status {
            source: source.origin().to_string(),
            taken_from,
            standing: membership.standing(),
            address: membership.claim().address().cloned(),
            ..Status::default()
        },
    };
    let neighbours = Neighbours::default();
    neighbours.settle(membership.rings(), |_| Vec::new(), true);
    let node = Arc::new(RingNode {
        settings: settings.clone(),
        secret,
        neighbours,
        unproved: Sparing::default(),
        dialer,
        peers,
        posted: RwLock::new(posted),
        hints: sender,
        pulse: Pulse::new(settings.peer_give_up),
        misrouted_logged: 0.into(),
        sparing: Sparing::default(),
    });
    Ok(Started { node, source, membership, hints })
}

/// What this node is called: by the ring in force, or as it was started, or not at all.
pub(crate) fn name(settings: &RingSettings, membership: &Membership) -> String {
    let placed = membership.me().map(|me| membership.ring().nodes()[me as usize].name.clone());
    placed.or_else(|| settings.node.clone()).unwrap_or_else(|| NAMELESS.to_owned())
}

/// This node's address by the ring in force, if that names it.
pub(crate) fn own_address(membership: &Membership) -> Option<Address> {
    membership.me().map(|me| address_of(&membership.ring().nodes()[me as usize]))
}

/// The addresses that reach this node: those it listens on, and every one of the machine where it
/// listens on all.
pub(super) fn own_addresses(listening: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in listening {
        if !address.ip().is_unspecified() {
            addresses.push(address);
            continue;
        }
        for interface in getifaddrs().into_iter().flatten() {
            let Some(place) = interface.address else {
                continue;
            };
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
