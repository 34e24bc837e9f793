//! A slot for one connection to a node: dialled when needed, and again after a failure.
//!
//! Dialling is a task of its own, on the client's runtime: a dropped caller does not interrupt it,
//! and all waiting callers share its outcome. So no caller waits longer than one attempt may take.

use std::sync::Arc;

use parking_lot::Mutex;
use ringbinder_ring::Node;
use tokio::sync::watch;

use crate::error::Absence;
use crate::link::connection::Connection;
use crate::link::dial::{DialError, dial};
use crate::settings::LinkSettings;

/// The outcome of dialling; `None` until then.
type Outcome = Option<Result<Arc<Connection>, DialError>>;

#[derive(Debug, Default)]
pub(crate) struct ConnectionSlot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    Dialled(watch::Receiver<Outcome>),
    Open(Arc<Connection>),
}

impl ConnectionSlot {
    /// The connection; dials if there is none.
    #[inline]
    pub(crate) async fn connection(
        &self,
        node: &Node,
        settings: &LinkSettings,
    ) -> Result<Arc<Connection>, DialError> {
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
        let mut state = self.state.lock();
        if let State::Dialled(dialled) = &*state {
            let outcome = dialled.borrow().clone();
            match outcome {
                Some(Ok(connection)) => *state = State::Open(connection),
                // In progress, unless its runtime has ended.
                None if dialled.has_changed().is_ok() => return Err(dialled.clone()),
                Some(Err(_)) | None => {}
            }
        }
        if let State::Open(connection) = &*state
            && !connection.has_failed()
        {
            return Ok(Arc::clone(connection));
        }
        let dialled = begin(node.clone(), settings.clone());
        *state = State::Dialled(dialled.clone());
        Err(dialled)
    }
}

async fn outcome(mut dialled: watch::Receiver<Outcome>) -> Result<Arc<Connection>, DialError> {
    match dialled.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        Ok(None) | Err(_) => Err(DialError::Away(Absence::NoRuntime)),
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
