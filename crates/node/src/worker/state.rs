//! The state that the connections of one worker share: their counters and the buffers they borrow.
//!
//! Tasks of one worker never run at the same time, so this state needs no lock.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::shared::Shared;
use crate::forward::Link;
use crate::memory::Charge;
use crate::net::input::Input;
use crate::net::output::Output;
use crate::ring::{Peer, View};
use crate::sampling::Sampler;
use crate::stats::Counters;

/// The number of spare buffers kept, of each kind. More than one is in use only if a turn needs the
/// buffer of another.
const MAX_SPARE: usize = 4;

/// How many times a worker gives memory back after it has freed some. At each attempt, the
/// allocator releases memory with a probability of nearly one half.
const GIVE_BACK: u8 = 16;

/// The memory that connections keep during the turns of others is counted in steps of this many
/// bytes, because it changes with every few requests.
const YIELDED: usize = 1 << 20;

/// Buffers that no connection uses. Boxed, because each changes hands several times a request.
#[derive(Debug)]
#[allow(clippy::vec_box, reason = "a buffer changes hands more often than it is made")]
struct Spare<T> {
    buffers: RefCell<Vec<Box<T>>>,
    /// The fewest buffers since the last [`Spare::tidy`]: this many were not needed.
    unneeded: Cell<usize>,
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Spare { buffers: RefCell::default(), unneeded: Cell::new(0) }
    }
}

impl<T> Spare<T> {
    #[inline]
    fn take(&self) -> Option<Box<T>> {
        let mut buffers = self.buffers.borrow_mut();
        let taken = buffers.pop();
        self.unneeded.set(self.unneeded.get().min(buffers.len()));
        taken
    }

    /// Keeps a buffer; returns false, and frees it, if there are enough.
    #[inline]
    fn keep(&self, buffer: Box<T>) -> bool {
        let mut buffers = self.buffers.borrow_mut();
        let has_room = buffers.len() < MAX_SPARE;
        if has_room {
            buffers.push(buffer);
        }
        has_room
    }

    /// Frees the buffers that were not needed since the last call. Returns their number and the
    /// bytes of the others.
    fn tidy(&self, bytes: impl Fn(&T) -> usize) -> (usize, usize) {
        let mut buffers = self.buffers.borrow_mut();
        let unneeded = self.unneeded.get().min(buffers.len());
        // The unused ones are at the bottom.
        buffers.drain(..unneeded);
        buffers.shrink_to_fit();
        self.unneeded.set(buffers.len());
        (unneeded, buffers.iter().map(|buffer| bytes(buffer)).sum())
    }
}

/// The state that the connections of one worker share.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sampler: Sampler,
    spare_inputs: Spare<Input>,
    spare_outputs: Spare<Output>,
    /// The charge for the spare buffers.
    spare: RefCell<Charge>,
    /// The number of times that freed memory must still be given back.
    to_give_back: Cell<u8>,
    /// Bytes of the buffers of connections that let others have their turn.
    yielded: Cell<usize>,
    /// The charge for them, in steps of [`YIELDED`].
    yielded_charge: RefCell<Charge>,
    /// The view of the ring that this worker acts by; `None` in a node without a ring.
    view: RefCell<Option<Arc<View>>>,
    /// By the address of the peer.
    links: RefCell<HashMap<Arc<str>, Rc<Link>>>,
    news: Notify,
    /// Counts the views.
    generation: Cell<u64>,
}

impl Local {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let counters = shared.counters.of_worker(index);
        let sampler = Sampler::new(&shared.key_counts, &shared.latency, index, rand::random());
        let view = shared.ring.as_ref().map(|ring| ring.view());
        let spare = RefCell::new(Charge::new(&shared.memory));
        let yielded_charge = RefCell::new(Charge::new(&shared.memory));
        Local {
            view: RefCell::new(view),
            links: RefCell::default(),
            news: Notify::new(),
            generation: Cell::new(0),
            shared,
            counters,
            sampler,
            spare_inputs: Spare::default(),
            spare_outputs: Spare::default(),
            spare,
            to_give_back: Cell::new(0),
            yielded: Cell::new(0),
            yielded_charge,
        }
    }

    /// Lends a read buffer.
    #[inline]
    pub(crate) fn take_input(&self) -> Box<Input> {
        self.spare_inputs.take().unwrap_or_else(|| Box::new(Input::new()))
    }

    /// Takes a read buffer back.
    #[inline]
    pub(crate) fn give_input(&self, mut input: Box<Input>) {
        if !(input.reset() && self.spare_inputs.keep(input)) {
            self.has_freed();
        }
    }

    /// Lends an output buffer.
    #[inline]
    pub(crate) fn take_output(&self) -> Box<Output> {
        self.spare_outputs.take().unwrap_or_default()
    }

    /// Takes an output buffer back, and drops any answers left in it.
    #[inline]
    pub(crate) fn give_output(&self, mut output: Box<Output>) {
        output.clear();
        // Samples of answers that were never handed over, or of an output that no connection owns.
        output.timed.clear();
        if !self.spare_outputs.keep(output) {
            self.has_freed();
        }
    }

    /// Records that memory was freed that must go back to the system.
    pub(crate) fn has_freed(&self) {
        self.to_give_back.set(GIVE_BACK);
    }

    /// Whether freed memory must be given back this time.
    pub(crate) fn is_to_give_back(&self) -> bool {
        let left = self.to_give_back.get();
        self.to_give_back.set(left.saturating_sub(1));
        left > 0
    }

    /// Frees buffers that were not needed since the last call, and counts the others. Must be
    /// called about once a second.
    pub(crate) fn tidy(&self) {
        let (inputs, input_bytes) = self.spare_inputs.tidy(Input::uncounted);
        let (outputs, output_bytes) = self.spare_outputs.tidy(|output| output.bytes.capacity());
        if inputs + outputs > 0 {
            self.has_freed();
        }
        self.spare.borrow_mut().set((input_bytes + output_bytes) as u64);
    }

    /// Records that a connection keeps this many bytes while others have their turn.
    #[inline]
    pub(crate) fn yields(&self, bytes: usize) {
        self.count_yielded(self.yielded.get() + bytes);
    }

    /// Records that a connection that kept this many bytes continues.
    #[inline]
    pub(crate) fn resumes(&self, bytes: usize) {
        self.count_yielded(self.yielded.get() - bytes);
    }

    #[inline]
    fn count_yielded(&self, bytes: usize) {
        let before = self.yielded.replace(bytes);
        if before / YIELDED != bytes / YIELDED {
            let counted = bytes / YIELDED * YIELDED;
            self.yielded_charge.borrow_mut().set(counted as u64);
        }
    }

    /// Notes the end of a read, if a sample may fall on the requests in it.
    #[inline]
    pub(crate) fn note_read(&self, input: &mut Input) {
        if self.sampler.is_near(input.unread().len()) {
            input.read_at = self.shared.clock.nanos();
        }
    }

    /// Notes the end of a read late, if its requests have to wait: meanwhile requests of other
    /// connections may make any of them the next sample. The error is the time that this turn has
    /// taken so far.
    pub(crate) fn note_late(&self, input: &mut Input) {
        if input.read_at == 0 {
            input.read_at = self.shared.clock.nanos();
        }
    }

    /// Counts the sampled requests whose answers were just handed over.
    #[cold]
    pub(crate) fn answered(&self, output: &mut Output) {
        self.sampler.answered(&mut output.timed, self.shared.clock.nanos());
    }

    /// Switches to another view of the ring.
    pub(crate) fn hold(&self, view: Arc<View>) {
        self.links.borrow_mut().retain(|_, link| {
            let named = view.has_peer(&link.peer);
            if !named {
                link.retire();
            }
            named
        });
        *self.view.borrow_mut() = Some(view);
        self.generation.set(self.generation.get() + 1);
        self.news.notify_waiters();
    }

    /// Serves no request if the node was paused, until the ring manager has asked the peers what it
    /// missed. Must be called after requests were read and before they are carried out.
    #[inline]
    pub(crate) fn check_for_pause(&self) {
        if let Some(ring) = &self.shared.ring
            && ring.pause_detector.is_old()
        {
            self.stop_serving();
        }
    }

    #[cold]
    fn stop_serving(&self) {
        let view = self.view.borrow().clone();
        if let Some(view) = view.filter(|view| view.joined) {
            self.hold(Arc::new(View { joined: false, ..(*view).clone() }));
        }
    }

    /// The view of the ring that this worker acts by, if there is a ring.
    #[inline]
    pub(crate) fn view(&self) -> Ref<'_, Option<Arc<View>>> {
        self.view.borrow()
    }

    /// The number of views so far.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Ready when another view comes after this call.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The link to a peer.
    pub(crate) fn link(&self, peer: &Arc<Peer>) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(&peer.address)
            && Arc::ptr_eq(&link.peer, peer)
        {
            return Rc::clone(link);
        }
        let link = Link::new(Arc::clone(peer));
        if !self.view().as_ref().is_some_and(|view| view.has_peer(peer)) {
            // The request was routed by a view that named the peer; the present view does not.
            link.retire();
        }
        if let Some(old) = links.insert(Arc::clone(&peer.address), Rc::clone(&link)) {
            old.retire();
        }
        link
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server;
    use crate::settings::of_flags;

    #[test]
    fn a_link_to_a_peer_that_the_view_no_longer_names_stays_open_for_what_waits_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring.toml");
        let node = |name| format!("[[node]]\nname = \"{name}\"\naddress = \"{name}:11211\"\n");
        let ring = format!("version = 1\n{}{}{}", node("a"), node("b"), node("c"));
        std::fs::write(&path, ring).unwrap();
        let settings = of_flags(&["--node", "a", "--ring", path.to_str().unwrap()]);
        let guards = crate::security::guards::Guards::default();
        let dialer = crate::ring::Dialer::new(&guards, crate::settings::PeerTls::Off, Vec::new());
        let ring = crate::ring::start(settings.ring.as_ref().unwrap(), dialer).unwrap().node;
        let view = ring.view();
        let local = Local::new(server::prepare(settings, guards, Some(ring), 0), 0);

        let [b, c] = [1, 2].map(|index| view.peers[index].clone().unwrap());
        assert!(!local.link(&b).is_retired() && !local.link(&c).is_retired());
        local.hold(Arc::new(View {
            joined: true,
            peers: vec![None, Some(Arc::clone(&b)), None],
            ..(*view).clone()
        }));
        assert!(!local.link(&b).is_retired());
        assert!(local.link(&c).is_retired());

        let generation = local.generation();
        local.check_for_pause();
        local.stop_serving();
        local.stop_serving();
        assert!(!local.view().as_ref().unwrap().joined, "it serves nothing after a sleep");
        assert_eq!(local.generation(), generation + 1);
    }
}
