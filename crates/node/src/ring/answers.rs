//! The commands `ring` and `config get cluster`.

use std::io::Write as _;
use std::sync::Arc;

use ringbinder_protocol::{
    Forwarding, Greeter, PeerProcess, Refusal, RingCommand, RingOffer, Stamp, answer, to_hex,
};
use ringbinder_ring::Ring;

use super::membership::{ring_id, stamp};
use super::{Hint, RingNode};
use crate::command::{Context, flush_here};
use crate::connection::long::Long;
use crate::connection::output::Output;
use crate::ring::peer::secret::Nonce;

/// The facts that a connection has presented about itself as a peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerSession {
    /// The ring by which the following requests were forwarded.
    pub(crate) forwarding: Option<Forwarding>,
    nonce: Option<Nonce>,
    /// It knows the peer secret.
    proved: bool,
}

impl PeerSession {
    /// Whether it knows the peer secret.
    pub(crate) fn is_proved(&self) -> bool {
        self.proved
    }

    /// Whether a ring may be offered: this node has issued a nonce.
    pub(crate) fn may_offer(&self) -> bool {
        self.nonce.is_some()
    }
}

/// Carries out a `ring` command. Returns an answer that must still be written, if there is one.
pub(crate) fn command(
    context: &Context<'_>,
    node: &RingNode,
    command: &RingCommand<'_>,
    session: &mut Option<Box<PeerSession>>,
    output: &mut Output,
) -> Option<Long> {
    let out = &mut output.bytes;
    match *command {
        RingCommand::Version => {
            let id = stamp(node.posted.read().view.id());
            // Writing to a vector cannot fail.
            let _ = write!(out, "RING {} {:016x}\r\n", id.version, id.digest);
        }
        RingCommand::Get(None) => return Some(Long::RingText(Arc::clone(&node.view().ring))),
        RingCommand::Get(Some(wanted)) => {
            let posted = node.posted.read();
            match posted.rings.iter().find(|ring| ring.id() == ring_id(wanted)) {
                Some(ring) => return Some(Long::RingText(Arc::clone(ring))),
                None => answer::refusal(out, Refusal::UnknownRing),
            }
        }
        RingCommand::Owner(key) => {
            let view = node.view();
            let owner = &view.ring.nodes()[view.ring.owner(key) as usize];
            let _ = write!(out, "OWNER {} {owner}\r\n", owner.name);
        }
        RingCommand::Flush { delay } => flush_here(context, delay, output),
        RingCommand::Greet { name, stamp, process } => {
            let last_cas = context.shared.store.last_cas();
            greet(node, name, stamp, process, last_cas, out);
        }
        RingCommand::Nonce => {
            if node.secret.is_none() {
                answer::refusal(out, Refusal::RingNotProved);
                return None;
            }
            let nonce: Nonce = rand::random();
            session.get_or_insert_default().nonce = Some(nonce);
            let _ = write!(out, "NONCE {}\r\n", to_hex(&nonce));
        }
        RingCommand::Prove(code) => {
            let session = session.get_or_insert_default();
            let nonce = session.nonce.take();
            session.proved = match (&node.secret, nonce) {
                (Some(secret), Some(nonce)) => secret.is_proof(&nonce, &code),
                _ => false,
            };
            if session.proved {
                answer::line(out, "PROVED");
            } else {
                answer::refusal(out, Refusal::PeerNotProved);
            }
        }
        RingCommand::Forward(forwarding) => {
            session.get_or_insert_default().forwarding = Some(forwarding);
        }
    }
    None
}

/// Answers a handshake, and sends the ring manager a hint if the handshake calls for a check. A
/// handshake from an untrusted client leads to questions at addresses of the ring, and to nothing
/// else.
fn greet(
    node: &RingNode,
    name: &str,
    theirs: Stamp,
    greeter: Option<Greeter>,
    last_cas: u64,
    out: &mut Vec<u8>,
) {
    let posted = node.posted.read();
    let own = posted.line.instance;
    let peer = posted.address_named(name).and_then(|address| node.peers.at(&address));
    let accepted = peer.as_ref().and_then(|peer| peer.processes().accepted);
    let is_own_name = name == posted.line.name && posted.view.me.is_some();
    let mut line = posted.line.clone();
    line.process = match (greeter, line.process) {
        (Some(_), Some(process)) => {
            let seen = if is_own_name { Some(own) } else { accepted };
            let list = node.names().epoch();
            Some(PeerProcess { seen, cas: last_cas, list, ..process })
        }
        _ => None,
    };
    // Writing to a vector cannot fail.
    let _ = write!(out, "{line}\r\n");
    let newer = ring_id(theirs) > posted.view.id();
    drop(posted);
    let came_back = peer.as_ref().is_some_and(|peer| peer.is_unreachable());
    let mut unknown = false;
    let mut doubts = false;
    if let Some(greeter) = greeter {
        if is_own_name && greeter.instance != own {
            return node.hint(Hint::Rivalled { instance: greeter.instance });
        }
        unknown = accepted != Some(greeter.instance);
        doubts = greeter.seen.is_some_and(|seen| seen != own);
    }
    if came_back || newer || unknown || doubts {
        node.hint(Hint::Greeted { name: name.to_owned(), unknown, doubts });
    }
}

/// Appends the line ahead of the text of a ring, which has `len` bytes.
pub(crate) fn begin_text(ring: &Ring, len: usize, out: &mut Vec<u8>) {
    let id = stamp(ring.id());
    // Writing to a vector cannot fail.
    let _ = write!(out, "RING {} {:016x} {len}\r\n", id.version, id.digest);
}

/// Accepts an offered ring if its proof is valid.
pub(crate) fn offer(
    node: &RingNode,
    offer: &RingOffer,
    text: &[u8],
    session: &mut Option<Box<PeerSession>>,
    out: &mut Output,
) {
    let nonce = session.as_mut().and_then(|session| session.nonce.take());
    let proved = match (&node.secret, nonce) {
        (Some(secret), Some(nonce)) => secret.verify(&nonce, text, &offer.mac),
        _ => false,
    };
    match (proved, std::str::from_utf8(text)) {
        (true, Ok(text)) => {
            node.hint(Hint::Offered { text: text.to_owned() });
            answer::line(&mut out.bytes, "ACCEPTED");
        }
        _ => answer::refusal(&mut out.bytes, Refusal::RingNotProved),
    }
}

/// `config get cluster`
pub(crate) fn cluster(node: &RingNode, out: &mut Output) {
    let payload = node.cluster();
    // Writing to a vector cannot fail.
    let _ = write!(out.bytes, "CONFIG cluster 0 {}\r\n", payload.len());
    out.text(payload);
    answer::line(&mut out.bytes, "\r\nEND");
}
