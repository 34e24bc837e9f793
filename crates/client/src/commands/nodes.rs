//! Commands to nodes instead of keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use ringbinder_protocol::Refusal;
use ringbinder_ring::{Node, Ring, RingId};

use crate::client::Client;
use crate::error::Error;
use crate::link::Link;
use crate::near::Near;
use crate::rings;
use crate::ttl::Ttl;
use crate::wire::{Answer, Line, Request, shown};

/// One node of the current ring. An unreachable node is always an error here.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    link: Arc<Link>,
}

impl Client {
    /// The nodes of the current ring, in the order of the ring.
    pub fn nodes(&self) -> Vec<NodeHandle> {
        self.view().links.iter().map(|link| NodeHandle { link: Arc::clone(link) }).collect()
    }

    /// Empties all nodes that can be reached; returns the failures.
    ///
    /// Each node of the current ring gets [`NodeHandle::flush`]. The servers of
    /// [`Client::with_servers`] may stand for others, as a load balancer does. They get a
    /// `flush_all`, which a node of a ring passes on to all others.
    pub async fn flush_all(&self) -> Vec<Error> {
        let nodes = self.nodes();
        let _clearing = self.inner.near.as_ref().map(Near::clearing);
        let flushed = join_all(nodes.iter().map(async |node| {
            if self.inner.listed { node.flush_line("flush_all").await } else { node.flush().await }
        }));
        flushed.await.into_iter().filter_map(Result::err).collect()
    }
}

impl NodeHandle {
    /// The node's entry in the ring.
    pub fn node(&self) -> &Node {
        &self.link.node
    }

    /// `stats`, or `stats` with an argument; names and values as the node writes them.
    ///
    /// # Errors
    /// If the node refuses, or is unreachable.
    pub async fn stats(&self, argument: &str) -> Result<Vec<(String, String)>, Error> {
        match self.ask(&Request::Stats { argument: single_line(argument)? }).await? {
            Answer::Stats(stats) => Ok(stats),
            // `stats reset`
            Answer::Line(Line::Ok) => Ok(Vec::new()),
            answer => Err(self.link.unexpected(&answer)),
        }
    }

    /// The version that the node reports.
    ///
    /// # Errors
    /// If the node is unreachable.
    pub async fn version(&self) -> Result<String, Error> {
        let line = self.command("version").await?;
        Ok(line.strip_prefix("VERSION ").unwrap_or(&line).to_owned())
    }

    /// The identity of the node's ring.
    ///
    /// # Errors
    /// If the node has no ring, or is unreachable.
    pub async fn ring_id(&self) -> Result<RingId, Error> {
        let stamp = rings::ask_version(&self.link).await?;
        Ok(RingId { version: stamp.version, digest: stamp.digest })
    }

    /// The node's ring.
    ///
    /// # Errors
    /// See [`NodeHandle::ring_id`].
    pub async fn ring(&self) -> Result<Ring, Error> {
        rings::ask_ring(&self.link).await
    }

    /// Empties this node and no other. Values in a near cache stay; [`Client::flush_all`] drops
    /// these too.
    ///
    /// # Errors
    /// If the node refuses, or is unreachable.
    pub async fn flush(&self) -> Result<(), Error> {
        self.flush_after(Duration::ZERO).await
    }

    /// As [`NodeHandle::flush`], after this delay; until then every value can be read. Fractions of
    /// a second are rounded up.
    ///
    /// # Errors
    /// If the node refuses, or is unreachable.
    pub async fn flush_after(&self, delay: Duration) -> Result<(), Error> {
        let delay = match delay {
            Duration::ZERO => String::new(),
            delay => format!(" {}", Ttl::In(delay).exptime(SystemTime::now)),
        };
        match self.flush_line(&format!("ring flush{delay}")).await {
            Err(Error::Refused { says, .. }) if has_no_ring_flush(&says) => {
                self.flush_line(&format!("flush_all{delay}")).await
            }
            flushed => flushed,
        }
    }

    async fn flush_line(&self, line: &str) -> Result<(), Error> {
        match self.ask(&Request::Line { line }).await? {
            Answer::Line(Line::Ok) => Ok(()),
            answer => Err(self.link.unexpected(&answer)),
        }
    }

    /// Makes the node read its certificates again (`refresh_certs`). Existing connections do not
    /// change.
    ///
    /// # Errors
    /// [`Error::Refused`] with the node's reason if its files cannot be used, or it has no TLS; it
    /// then keeps its certificates. Any other error if the node is unreachable.
    pub async fn refresh_certs(&self) -> Result<(), Error> {
        match self.ask(&Request::Line { line: "refresh_certs" }).await? {
            Answer::Line(Line::Ok) => Ok(()),
            // Only this command reports an error without `SERVER_`.
            Answer::Line(Line::Other(line)) if line.starts_with("Error ") => {
                let says = shown(line.trim_start_matches("Error "));
                Err(Error::Refused { node: Arc::clone(&self.link.title), says })
            }
            answer => Err(self.link.unexpected(&answer)),
        }
    }

    /// Sends any command with an answer of one line, such as `verbosity 1`, and returns that line.
    ///
    /// # Errors
    /// If the command is not a single line, or the node refuses it or is unreachable. A command
    /// with an answer of more than one line ends the connection.
    pub async fn command(&self, line: &str) -> Result<String, Error> {
        match self.ask(&Request::Line { line: single_line(line)? }).await? {
            Answer::Line(Line::Other(line)) => Ok(line),
            Answer::Line(Line::Ok) => Ok("OK".to_owned()),
            Answer::Line(Line::Number(number)) => Ok(number.to_string()),
            answer => Err(self.link.unexpected(&answer)),
        }
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.link.call(request).await
    }
}

/// Whether this answer to `ring flush` is from a server whose `flush_all` affects only itself: one
/// without a ring, an older node, or memcached.
fn has_no_ring_flush(says: &str) -> bool {
    says == Refusal::NoRing.line()
        || says.starts_with("CLIENT_ERROR usage: ring")
        || says == "ERROR"
}

/// Checks that a text does not end the line that contains it.
fn single_line(text: &str) -> Result<&str, Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::Line(text.to_owned()));
    }
    Ok(text)
}
