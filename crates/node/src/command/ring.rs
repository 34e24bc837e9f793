//! The commands `ring` and `config get cluster`.

use std::io::Write as _;
use std::sync::Arc;

use ringbinder_protocol::{Forwarding, Refusal, RingCommand, RingOffer, answer, to_hex};
use ringbinder_ring::Ring;

use super::long::Long;
use crate::command::{Context, flush_here};
use crate::net::output::Output;
use crate::ring::membership::{ring_id, stamp};
use crate::ring::peer::secret::Nonce;
use crate::ring::{Hint, RingNode};

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
pub(crate) fn execute(
    context: &Context<'_>,
    node: &RingNode,
    command: &RingCommand<'_>,
    session: &mut Option<Box<PeerSession>>,
    output: &mut Output,
) -> Option<Long> {
    let out = &mut output.bytes;
    match *command {
        RingCommand::Version => {
            let id = stamp(node.view().id());
            // Writing to a vector cannot fail.
            let _ = write!(out, "RING {} {:016x}\r\n", id.version, id.digest);
        }
        RingCommand::Get(None) => return Some(Long::RingText(Arc::clone(&node.view().ring), None)),
        RingCommand::Get(Some(wanted)) => match node.kept_ring(ring_id(wanted)) {
            Some(ring) => return Some(Long::RingText(ring, None)),
            None => answer::refusal(out, Refusal::UnknownRing),
        },
        RingCommand::Owner(key) => {
            let view = node.view();
            let owner = &view.ring.nodes()[view.ring.owner(key) as usize];
            let _ = write!(out, "OWNER {} {owner}\r\n", owner.name);
        }
        RingCommand::Flush { delay } => flush_here(context, delay, output),
        RingCommand::Greet { name, stamp, process } => {
            let line = node.greeted(name, stamp, process, context.shared.store.last_cas());
            let _ = write!(out, "{line}\r\n");
        }
        RingCommand::Nonce => {
            if !node.has_secret() {
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
            session.proved = match (node.secret(), nonce) {
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
    let proved = match (node.secret(), nonce) {
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
