//! Opens a link: dials the peer, and checks that it is the node that the ring names.
//!
//! Only a handshake is sent here, so a failed attempt may be repeated. A peer rejects a connection
//! while untrusted clients fill its slots, or while its accept queue is full. The requests that
//! wait for the link are then late, and fail only once `--peer-timeout` is over.

use std::rc::Rc;
use std::time::Duration;

use ringbinder_protocol::PeerLine;
use ringbinder_ring::printable::words;

use super::link::{Link, LinkError};
use crate::net::socket::Socket;
use crate::ring::manager::Hint;
use crate::ring::peer::NAMELESS;
use crate::ring::peer::dial::{self, AttemptError, DialError};
use crate::worker::state::Local;

/// Opens the connection. Tries again if the peer rejects it: requests wait, and none has been sent.
pub(crate) async fn within(
    timeout: Duration,
    local: &Rc<Local>,
    link: &Link,
) -> Result<Socket, LinkError> {
    dial::repeated(timeout, || open(local, link)).await
}

impl AttemptError for LinkError {
    fn timeout(timeout: Duration) -> LinkError {
        LinkError::Timeout(timeout)
    }

    fn is_passing(&self) -> bool {
        matches!(self, LinkError::Dial(error) if error.is_passing())
    }

    fn is_sign_of_life(&self) -> bool {
        matches!(self, LinkError::Dial(error) if error.is_sign_of_life())
    }
}

/// Connects, and checks that the peer is the node that the ring names.
async fn open(local: &Rc<Local>, link: &Link) -> Result<Socket, LinkError> {
    let Some(ring) = &local.shared.ring else { return Err(LinkError::Closed) };
    let mut socket = ring.dialer.dial(&link.peer.address).await?;
    let (greeting, names) = {
        let view = local.view();
        let Some(view) = &*view else { return Err(LinkError::Closed) };
        let stamp = crate::ring::membership::stamp(view.id());
        (format!("ring greet {} {stamp}\r\n", ring.name()), view.names_at(&link.peer.address))
    };
    let line = dial::ask(&mut socket, greeting.as_bytes()).await?;
    let Some(peer) = PeerLine::parse(&line) else {
        return Err(match DialError::of_answer(&line) {
            Some(error) => error.into(),
            None => LinkError::NoPeer(dial::shown(&line)),
        });
    };
    // A node that no ring lists as far as it knows serves no key. It answers `MOVED` until it holds
    // the same ring as this node.
    if peer.name != NAMELESS && !names.contains(&peer.name) {
        return Err(LinkError::OtherName(words(&peer.name)));
    }
    if link.peer.processes().accepted.is_some_and(|accepted| accepted != peer.instance) {
        // The node was restarted, or its address leads to another process. Each process knows
        // whether it may serve. The ring manager finds out which process to ask from this point on.
        ring.hint(Hint::Greeted { name: link.peer.name.clone(), unknown: true, doubts: false });
    }
    Ok(socket)
}
