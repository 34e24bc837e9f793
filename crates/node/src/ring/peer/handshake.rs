//! Handshakes over control connections: one connection to each peer, kept from one handshake to the
//! next.
//!
//! A lasting connection gives more information than one for each handshake. It works while names do
//! not resolve and while the peer has no slot for another connection, so neither makes a healthy
//! peer look dead. It ends when the process behind it ends, which silence alone cannot prove.
//! Answers over it come from the same process as before, so an answer from another process over a
//! new connection is recognised as such.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Instance, PeerLine};
use ringbinder_ring::Ring;

use super::client::{PeerClient, PeerError, within};
use super::dial::{Dialer, repeated};
use super::secret::Secret;
use crate::ring::membership::stamp;

/// A node's handshake, and its timeout.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    pub(crate) name: String,
    pub(crate) instance: Instance,
    /// The process that it accepts at the address.
    pub(crate) seen: Option<Instance>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) secret: Option<Secret>,
    pub(crate) timeout: Duration,
}

/// The result of handshake one address.
#[derive(Debug)]
pub(crate) struct HandshakeResult {
    /// The connection for the next handshake.
    pub(crate) control: Option<PeerClient>,
    /// The answer over the existing connection.
    pub(crate) kept: Option<PeerLine>,
    /// The process at the other end closed the existing connection.
    pub(crate) closed: bool,
    /// The answer over a new connection, or the reason why there is none; `None` if no connection
    /// was made.
    pub(crate) dialled: Option<Result<PeerLine, PeerError>>,
    /// The reason why the existing connection gave no answer, if it gave none.
    pub(crate) error: Option<PeerError>,
}

/// Greets the peer at an address over the existing connection. Also makes a new one if there is
/// none or `afresh` asks for it, to find out which process the address leads to at present.
pub(crate) async fn greet(
    dialer: &Dialer,
    address: &str,
    control: Option<PeerClient>,
    afresh: bool,
    handshake: &Handshake,
) -> HandshakeResult {
    let mut greeted =
        HandshakeResult { control: None, kept: None, closed: false, dialled: None, error: None };
    if let Some(mut talk) = control {
        match within(handshake.timeout, ask(&mut talk, handshake)).await {
            Ok(line) => {
                greeted.kept = Some(line);
                greeted.control = Some(talk);
            }
            Err(error) => {
                greeted.closed = error.is_closed();
                // A silent connection may still end, and its end matters.
                let is_silent = matches!(error, PeerError::Timeout(_));
                greeted.control = is_silent.then_some(talk);
                greeted.error = Some(error);
            }
        }
    }
    if greeted.control.is_some() && !afresh {
        return greeted;
    }
    match begin(dialer, address, handshake).await {
        Ok((talk, line)) => {
            let is_other = handshake.seen.is_some_and(|seen| seen != line.instance);
            match &mut greeted.control {
                Some(old) if is_other && greeted.kept.is_some() => {
                    // This tells the accepted process which process has its address, so that it
                    // checks.
                    let notice = Handshake { seen: Some(line.instance), ..handshake.clone() };
                    match within(handshake.timeout, ask(old, &notice)).await {
                        Ok(answer) => greeted.kept = Some(answer),
                        Err(error) => {
                            greeted.closed = error.is_closed();
                            if greeted.closed {
                                greeted.control = None;
                            }
                        }
                    }
                }
                // The connection may still end.
                Some(_) if is_other => {}
                _ => greeted.control = Some(talk),
            }
            greeted.dialled = Some(Ok(line));
        }
        Err(error) => greeted.dialled = Some(Err(error)),
    }
    greeted
}

/// Finds out, over a connection of its own, which process an address leads to.
pub(crate) async fn find(
    dialer: &Dialer,
    address: &str,
    handshake: &Handshake,
) -> Result<PeerLine, PeerError> {
    begin(dialer, address, handshake).await.map(|(_, line)| line)
}

/// Makes a connection and greets over it. Tries again if the peer rejects it.
async fn begin(
    dialer: &Dialer,
    address: &str,
    handshake: &Handshake,
) -> Result<(PeerClient, PeerLine), PeerError> {
    repeated(handshake.timeout, || begin_once(dialer, address, handshake)).await
}

async fn begin_once(
    dialer: &Dialer,
    address: &str,
    handshake: &Handshake,
) -> Result<(PeerClient, PeerLine), PeerError> {
    let mut talk = PeerClient::begin(dialer, address).await?;
    let line = ask(&mut talk, handshake).await?;
    Ok((talk, line))
}

/// Sends this node's current ring and reads the peer's. If the peer's ring is older and there is a
/// secret for a proof, offers this node's ring.
async fn ask(talk: &mut PeerClient, handshake: &Handshake) -> Result<PeerLine, PeerError> {
    let Handshake { name, instance, seen, ring, secret, .. } = handshake;
    let ours = stamp(ring.id());
    let seen = seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string());
    let long = format!("ring greet {name} {ours} {instance} {seen}\r\n");
    let peer = match talk.peer_line(&long).await {
        // The peer is a node of an older version, which knows only the short form.
        Err(PeerError::Usage) => talk.peer_line(&format!("ring greet {name} {ours}\r\n")).await?,
        answer => answer?,
    };
    if let Some(secret) = secret.as_ref().filter(|_| peer.newest() < ours) {
        // A peer without a secret answers with an error. It gets the ring in another way.
        let _ = talk.offer(secret, ring).await;
    }
    Ok(peer)
}
