//! The client: who is asked for which key.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ringbinder_protocol::{MAX_KEY_LEN, is_key};
use ringbinder_ring::Ring;
use tokio::runtime::Handle;
use tokio_util::sync::DropGuard;

use crate::error::{Error, KeyError};
use crate::fill::flight::Flights;
use crate::near::{Near, Reading, Writing};
use crate::settings::OnAway;
use crate::tls::{Connector, TlsError};
use crate::view::View;
use crate::wire::{Answer, Request};

/// A client of a ring of nodes. Clones share everything, and cost nothing to make.
///
/// Every command asks the owner of its key directly. Commands that are not awaited one after the
/// other may be carried out in any order.
///
/// A command that is dropped before it has its answer may still be carried out, even after commands
/// that were begun later: it is on its way on a connection, and they may be on another.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) view: Arc<ArcSwap<View>>,
    pub(crate) on_away: OnAway,
    /// The nodes are servers that a caller listed, not those of a ring.
    pub(crate) listed: bool,
    pub(crate) near: Option<Near>,
    pub(crate) flights: Flights,
    pub(crate) tls: Option<Arc<Connector>>,
    /// Where timers run, and what goes on without a caller.
    pub(crate) runtime: Handle,
    /// Ends what follows the ring.
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

    /// The ring in force here.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.inner.view.load().ring)
    }

    /// Reads the files of [`Builder::tls`](crate::Builder::tls) again, the system's CAs where none were
    /// named: for certificates that are renewed while the client runs. Connections that are open stay
    /// as they are, and those made from now on use what was read. Does nothing without TLS.
    ///
    /// It reads files, and so may block for a moment.
    ///
    /// # Errors
    /// Where one is not in order. Nothing changes then.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.inner.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.inner.view.load_full()
    }

    /// Asks the owner of a key, which has been checked; `None` where it is away and that is a miss.
    #[inline]
    pub(crate) async fn ask(
        &self,
        key: &[u8],
        request: &Request<'_>,
    ) -> Result<Option<Answer>, Error> {
        let view = self.view();
        self.present(view.link(key).call(request).await)
    }

    /// `None` in place of the error of an absent node, where that is a miss.
    #[inline]
    pub(crate) fn present<T>(&self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_away() && self.inner.on_away == OnAway::Miss => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the owner of a key answered is no answer to that.
    pub(crate) fn unexpected(&self, key: &[u8], answer: &Answer) -> Error {
        self.view().link(key).unexpected(answer)
    }

    #[inline]
    pub(crate) fn near_reading(&self, key: &[u8]) -> Option<(&Near, Reading)> {
        self.inner.near.as_ref().map(|near| (near, near.reading(key)))
    }

    /// To be held while a key is written.
    #[inline]
    pub(crate) fn near_writing(&self, key: &[u8]) -> Option<Writing<'_>> {
        self.inner.near.as_ref().map(|near| near.writing(key))
    }
}

/// Checks a key as servers do (`protocol.txt`, "Keys").
#[inline]
pub(crate) fn checked(key: &[u8]) -> Result<&[u8], KeyError> {
    match key.len() {
        0 => Err(KeyError::Empty),
        len if len > MAX_KEY_LEN => Err(KeyError::TooLong(len)),
        _ if !is_key(key) => Err(KeyError::Character),
        _ => Ok(key),
    }
}
