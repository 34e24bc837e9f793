//! Greetings over control connections: one connection to each peer that is kept from one greeting to
//! the next.
//!
//! A connection that lasts tells more than one that is made for each greeting. It goes on while names
//! do not resolve and while the peer has no place for another connection, so neither makes a healthy
//! peer look dead. It ends when the process behind it ends, which no silence can prove. And what
//! answers over it is the same process as before, so another one that answers a new connection is
//! known to be another.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Instance, PeerLine};
use ringbinder_ring::Ring;

use super::dial::{Attempts, Dialer};
use super::greeting::{Talk, TalkError, within};
use super::membership::stamp;
use super::secret::Secret;

/// What a node says of itself when it greets, and for how long it waits for the answer.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub(super) name: String,
    pub(super) instance: Instance,
    /// The process that it accepts at the address.
    pub(super) seen: Option<Instance>,
    pub(super) ring: Arc<Ring>,
    pub(super) secret: Option<Secret>,
    pub(super) patience: Duration,
}

/// What came of greeting one address.
#[derive(Debug)]
pub(super) struct Greeted {
    /// The connection to go on with.
    pub(super) control: Option<Talk>,
    /// The answer over the connection that there was.
    pub(super) kept: Option<PeerLine>,
    /// The process at the other end closed the connection that there was.
    pub(super) closed: bool,
    /// The answer over a new connection, or why there is none; `None` if none was made.
    pub(super) dialled: Option<Result<PeerLine, TalkError>>,
    /// Why the connection that there was gave no answer, if it did not.
    pub(super) error: Option<TalkError>,
}

/// Greets the peer at an address over the connection that there is, and over a new one if there is
/// none, or if `afresh` asks for it: to find out which process the address leads to now.
pub(super) async fn greet(
    dialer: &Dialer,
    address: &str,
    control: Option<Talk>,
    afresh: bool,
    greeting: &Greeting,
) -> Greeted {
    let mut greeted =
        Greeted { control: None, kept: None, closed: false, dialled: None, error: None };
    if let Some(mut talk) = control {
        match within(greeting.patience, ask(&mut talk, greeting)).await {
            Ok(line) => {
                greeted.kept = Some(line);
                greeted.control = Some(talk);
            }
            Err(error) => {
                greeted.closed = error.is_closed();
                // A connection on which nothing comes may still end, and tell so.
                let is_silent = matches!(error, TalkError::Timeout(_));
                greeted.control = is_silent.then_some(talk);
                greeted.error = Some(error);
            }
        }
    }
    if greeted.control.is_some() && !afresh {
        return greeted;
    }
    match begin(dialer, address, greeting).await {
        Ok((talk, line)) => {
            let is_other = greeting.seen.is_some_and(|seen| seen != line.instance);
            match &mut greeted.control {
                Some(old) if is_other && greeted.kept.is_some() => {
                    // The process that this node accepts is told which one has its address, and looks.
                    let told = Greeting { seen: Some(line.instance), ..greeting.clone() };
                    match within(greeting.patience, ask(old, &told)).await {
                        Ok(answer) => greeted.kept = Some(answer),
                        Err(error) => {
                            greeted.closed = error.is_closed();
                            if greeted.closed {
                                greeted.control = None;
                            }
                        }
                    }
                }
                // It may still end.
                Some(_) if is_other => {}
                _ => greeted.control = Some(talk),
            }
            greeted.dialled = Some(Ok(line));
        }
        Err(error) => greeted.dialled = Some(Err(error)),
    }
    greeted
}

/// Asks which process an address leads to now, over a connection of its own.
pub(super) async fn find(
    dialer: &Dialer,
    address: &str,
    greeting: &Greeting,
) -> Result<PeerLine, TalkError> {
    begin(dialer, address, greeting).await.map(|(_, line)| line)
}

/// Makes a connection and greets over it. Tries again if the peer turns it away.
async fn begin(
    dialer: &Dialer,
    address: &str,
    greeting: &Greeting,
) -> Result<(Talk, PeerLine), TalkError> {
    let mut attempts = Attempts::within(greeting.patience);
    let mut turned_away = None;
    let begun = within(greeting.patience, async {
        loop {
            match begin_once(dialer, address, greeting).await {
                Err(error) if error.is_passing() => {
                    if !attempts.next().await {
                        return Err(error);
                    }
                    turned_away = Some(error);
                }
                begun => return begun,
            }
        }
    });
    match begun.await {
        // That it lives is known, although the last attempt came to no end.
        Err(error @ TalkError::Timeout(_)) => {
            Err(turned_away.filter(TalkError::is_sign_of_life).unwrap_or(error))
        }
        begun => begun,
    }
}

async fn begin_once(
    dialer: &Dialer,
    address: &str,
    greeting: &Greeting,
) -> Result<(Talk, PeerLine), TalkError> {
    let mut talk = Talk::begin(dialer, address).await?;
    let line = ask(&mut talk, greeting).await?;
    Ok((talk, line))
}

/// Says which ring is in force here and hears the same of the peer. A peer that holds an older one is
/// offered this node's, if there is a secret to prove it by.
async fn ask(talk: &mut Talk, greeting: &Greeting) -> Result<PeerLine, TalkError> {
    let Greeting { name, instance, seen, ring, secret, .. } = greeting;
    let ours = stamp(ring.id());
    let seen = seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string());
    let long = format!("ring greet {name} {ours} {instance} {seen}\r\n");
    let peer = match talk.peer_line(&long).await {
        // A node of an older version, which knows the short form only.
        Err(TalkError::Usage) => talk.peer_line(&format!("ring greet {name} {ours}\r\n")).await?,
        answer => answer?,
    };
    if let Some(secret) = secret.as_ref().filter(|_| peer.newest() < ours) {
        // A peer without a secret says so; it gets the ring in another way.
        let _ = talk.offer(secret, ring).await;
    }
    Ok(peer)
}
