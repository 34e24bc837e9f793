//! The guards of a node: the certificates of its listeners and links, and its users.

use std::sync::Arc;

use ringbinder_ring::regular;

use super::auth::{Auth, AuthError};
use super::tls::{Tls, TlsError};
use crate::process::exit::ExitCode;
use crate::settings::{ListenAddress, PeerTls, Settings};

/// The guards of the node's listeners, and of its links to other nodes.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) auth: Option<Arc<Auth>>,
    /// Warnings for the operator, one line each.
    pub(crate) warnings: Vec<String>,
}

impl Guards {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(crate) fn load(settings: &Settings, now: u32) -> Result<Guards, GuardError> {
        let mut guards = Guards::default();
        if let Some(tls) = settings.tls() {
            let listeners = settings.addresses.iter();
            let verify = listeners.filter_map(|ListenAddress::Tcp { guard, .. }| guard.verify());
            let dials = settings.ring.as_ref().is_some_and(|ring| ring.peer_tls != PeerTls::Off);
            let (tls, warnings) = Tls::load(tls, verify, dials, now)?;
            guards.tls = Some(Arc::new(tls));
            guards.warnings.extend(warnings);
        }
        if let Some(path) = &settings.auth_file {
            let (auth, warnings) = Auth::load(path)?;
            guards.auth = Some(Arc::new(auth));
            guards.warnings.extend(warnings);
        }
        Ok(guards)
    }

    /// The files that are no longer readable, because the process has become another user.
    pub(crate) fn lost(&self) -> Vec<String> {
        let tls = self.tls.iter().flat_map(|tls| tls.files());
        let all = tls.chain(self.auth.iter().map(|auth| auth.path()));
        let lost = all.filter_map(|path| Some((path, regular::open(path).err()?)));
        lost.map(|(path, error)| {
            format!(
                "cannot read {} again as the user that this node became ({error}): SIGHUP and \
                 refresh_certs will not see changes of the file",
                path.display()
            )
        })
        .collect()
    }
}

/// A file that guards the node and cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("-Y: {0}")]
    Auth(#[from] AuthError),
}

impl GuardError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            GuardError::Tls(error) => error.exit_code(),
            GuardError::Auth(error) => error.exit_code(),
        }
    }
}
