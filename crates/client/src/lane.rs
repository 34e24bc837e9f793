//! A slot for one connection to a node: dialled when needed, and again after a failure.
//!
//! Dialling is a task of its own, on the client's runtime: a dropped caller does not interrupt it,
//! and all waiting callers share its outcome. So no caller waits longer than one attempt may take.

use std::sync::Arc;

use parking_lot::Mutex;
use ringbinder_ring::Node;
use tokio::sync::watch;

use crate::connection::Connection;
use crate::dial::{Undialled, dial};
use crate::error::Absence;
use crate::settings::LinkSettings;

/// The outcome of dialling; `None` until then.
type Outcome = Option<Result<Arc<Connection>, Undialled>>;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Empty,
    Dialled(watch::Receiver<Outcome>),
    Open(Arc<Connection>),
}

impl Lane {
    /// The connection; dials if there is none.
    #[inline]
    pub(crate) async fn connection(
        &self,
        node: &Node,
        settings: &LinkSettings,
    ) -> Result<Arc<Connection>, Undialled> {
        match self.open_or_dial(node, settings) {
            Ok(connection) => Ok(connection),
            Err(dialled) => outcome(dialled).await,
        }
    }

    #[inline]
    fn open_or_dial(
        &self,
        node: &Node,
        settings: &LinkSettings,
    ) -> Result<Arc<Connection>, watch::Receiver<Outcome>> {
        let mut place = self.place.lock();
        if let Place::Dialled(dialled) = &*place {
            let outcome = dialled.borrow().clone();
            match outcome {
                Some(Ok(connection)) => *place = Place::Open(connection),
                // In progress, unless its runtime has ended.
                None if dialled.has_changed().is_ok() => return Err(dialled.clone()),
                Some(Err(_)) | None => {}
            }
        }
        if let Place::Open(connection) = &*place
            && !connection.has_failed()
        {
            return Ok(Arc::clone(connection));
        }
        let dialled = begin(node.clone(), settings.clone());
        *place = Place::Dialled(dialled.clone());
        Err(dialled)
    }
}

async fn outcome(mut dialled: watch::Receiver<Outcome>) -> Result<Arc<Connection>, Undialled> {
    match dialled.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        Ok(None) | Err(_) => Err(Undialled::Away(Absence::NoRuntime)),
    }
}

fn begin(node: Node, settings: LinkSettings) -> watch::Receiver<Outcome> {
    let (sender, dialled) = watch::channel(None);
    let runtime = settings.runtime.clone();
    runtime.spawn(async move {
        let outcome = dial(&node, settings).await.map(Arc::new);
        sender.send_replace(Some(outcome));
    });
    dialled
}
