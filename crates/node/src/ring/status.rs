//! What the keeper tells of itself, for `stats ring`.

use ringbinder_protocol::{Instance, Standing};
use ringbinder_ring::RingId;

use super::peer::Address;

/// What the keeper knows beyond the view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Where this node reads its ring.
    pub(crate) source: String,
    /// Where the ring in force came from.
    pub(crate) taken_from: String,
    /// Rings put in force since the start.
    pub(crate) changes: u64,
    /// Why the newest text of the source was not taken; empty where it was.
    pub(crate) last_error: String,
    /// How the source of the ring differs from the ring in force, a sentence; empty if it does not.
    pub(crate) drift: String,
    /// The version of the newest valid ring that the source had.
    pub(crate) file_version: Option<u64>,
    /// Peers that this node waits for before it serves some of its keys.
    pub(crate) awaited: Vec<Address>,
    /// Peers given up since the start.
    pub(crate) given_up: u64,
    /// What peers said last: the ring they hold.
    pub(crate) said: Vec<(Address, Option<RingId>)>,
    /// How this process stands to its place in the ring.
    pub(crate) standing: Standing,
    /// Why it does not serve, or what else is the matter with its place; empty if nothing is.
    pub(crate) standing_reason: String,
    /// The address that the ring gives this node, if it names it.
    pub(crate) address: Option<Address>,
    /// Another process that claims this node's place.
    pub(crate) rival: Option<Instance>,
}

impl Status {
    /// Records which ring a peer holds by its own word.
    pub(crate) fn has_said(&mut self, address: &Address, held: RingId) {
        if let Some((_, said)) = self.said.iter_mut().find(|(it, _)| it == address) {
            *said = Some(held);
        }
    }
}
