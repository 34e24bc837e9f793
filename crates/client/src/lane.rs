//! A place for one connection to a node: dialled when it is needed, and again when it has failed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_ring::Node;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::Absence;

/// How connections are made and how long they wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a connection, and for an answer.
    pub(crate) timeout: Duration,
    /// Longest value that is taken from a node, in bytes.
    pub(crate) max_value: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    open: Mutex<Option<Arc<Connection>>>,
    /// Held while dialling: whoever else needs the connection waits for it.
    dialling: tokio::sync::Mutex<()>,
}

impl Lane {
    /// The connection, made if there is none.
    #[inline]
    pub(crate) async fn connection(
        &self,
        node: &Node,
        limits: Limits,
    ) -> Result<Arc<Connection>, Absence> {
        match self.open() {
            Some(connection) => Ok(connection),
            None => self.dial(node, limits).await,
        }
    }

    #[inline]
    fn open(&self) -> Option<Arc<Connection>> {
        let mut open = self.open.lock();
        if open.as_ref().is_some_and(|connection| connection.has_failed()) {
            *open = None;
        }
        open.clone()
    }

    async fn dial(&self, node: &Node, limits: Limits) -> Result<Arc<Connection>, Absence> {
        let _dialling = self.dialling.lock().await;
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let dialled = TcpStream::connect((node.host.as_str(), node.port));
        let stream = match timeout(limits.timeout, dialled).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Absence::Unreachable(error.to_string())),
            Err(_) => return Err(Absence::Silent(limits.timeout)),
        };
        let connection = Arc::new(Connection::new(stream, limits.timeout, limits.max_value));
        *self.open.lock() = Some(Arc::clone(&connection));
        Ok(connection)
    }
}
