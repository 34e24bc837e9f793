//! The client: asks the node that owns a key.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ringbinder_protocol::{MAX_KEY_LEN, is_key};
use ringbinder_ring::Ring;
use tokio::runtime::Handle;
use tokio_util::sync::DropGuard;

use crate::error::{Error, KeyError};
use crate::fill::shared::SharedFills;
use crate::near::{Near, Reading, Writing};
use crate::settings::OnAway;
use crate::tls::{Connector, TlsError};
use crate::view::View;
use crate::wire::{Answer, Request};

/// A client of a ring of nodes. Clones share everything and are cheap.
///
/// Every command goes directly to the owner of its key. Commands that are not awaited one after the
/// other may be carried out in any order.
///
/// A command that is dropped before its answer may still be carried out, even after commands that
/// began later: it is on its way on one connection, and they may be on another.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) view: Arc<ArcSwap<View>>,
    pub(crate) on_away: OnAway,
    /// Whether the nodes are servers that a caller listed, not those of a ring.
    pub(crate) listed: bool,
    pub(crate) near: Option<Near>,
    pub(crate) shared_fills: SharedFills,
    pub(crate) tls: Option<Arc<Connector>>,
    /// The runtime for timers and background tasks.
    pub(crate) runtime: Handle,
    /// Ends the task that follows the ring.
    pub(crate) _stop: DropGuard,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring();
        f.debug_struct("Client")
            .field("ring_version", &ring.id().version)
            .field("nodes", &ring.nodes().len())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(inner: Inner) -> Client {
        Client { inner: Arc::new(inner) }
    }

    /// The current ring.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.inner.view.load().ring)
    }

    /// Reads the files of [`Builder::tls`](crate::Builder::tls) again, or the system's CAs if none
    /// were named: for certificates that are renewed while the client runs. Open connections do not
    /// change; new ones use the new certificates. Does nothing without TLS.
    ///
    /// This reads files, and so may block for a moment.
    ///
    /// # Errors
    /// If a file is missing or invalid. Nothing changes then.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.inner.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.inner.view.load_full()
    }

    /// Asks the owner of a key, which has been checked; `None` if the owner is unreachable and that
    /// is a miss.
    #[inline]
    pub(crate) async fn ask(
        &self,
        key: &[u8],
        request: &Request<'_>,
    ) -> Result<Option<Answer>, Error> {
        let view = self.view();
        self.present(view.link(key).call(request).await)
    }

    /// Replaces the error of an unreachable node by `None`, if that is a miss.
    #[inline]
    pub(crate) fn present<T>(&self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_away() && self.inner.on_away == OnAway::Miss => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The error for an answer of a key's owner that does not fit the request.
    pub(crate) fn unexpected(&self, key: &[u8], answer: &Answer) -> Error {
        self.view().link(key).unexpected(answer)
    }

    #[inline]
    pub(crate) fn near_reading(&self, key: &[u8]) -> Option<(&Near, Reading)> {
        self.inner.near.as_ref().map(|near| (near, near.reading(key)))
    }

    /// A guard to hold while a key is written.
    #[inline]
    pub(crate) fn near_writing(&self, key: &[u8]) -> Option<Writing<'_>> {
        self.inner.near.as_ref().map(|near| near.writing(key))
    }
}

/// Checks a key by the servers' rules (`protocol.txt`, "Keys").
#[inline]
pub(crate) fn checked(key: &[u8]) -> Result<&[u8], KeyError> {
    match key.len() {
        0 => Err(KeyError::Empty),
        len if len > MAX_KEY_LEN => Err(KeyError::TooLong(len)),
        _ if !is_key(key) => Err(KeyError::Character),
        _ => Ok(key),
    }
}
