//! The state that the connections of one worker share: their counters and the buffers they borrow.
//!
//! Tasks of one worker never run at the same time, so this state needs no lock.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::input::Input;
use crate::memory::Charge;
use crate::output::Output;
use crate::ring::{Link, Peer, View};
use crate::sampling::Sampler;
use crate::shared::Shared;
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

/// Unused buffers. Boxed, because each changes hands several times a request.
#[allow(clippy::vec_box, reason = "a buffer changes hands more often than it is made")]
type Spare<T> = Vec<Box<T>>;

/// The state that the connections of one worker share.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sampler: Sampler,
    spare_inputs: RefCell<Spare<Input>>,
    spare_outputs: RefCell<Spare<Output>>,
    /// The fewest spare buffers since the last [`Local::tidy`]: this many were not needed.
    unneeded: Cell<[usize; 2]>,
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
            spare_inputs: RefCell::default(),
            spare_outputs: RefCell::default(),
            unneeded: Cell::default(),
            spare,
            to_give_back: Cell::new(0),
            yielded: Cell::new(0),
            yielded_charge,
        }
    }

    /// Lends a read buffer.
    #[inline]
    pub(crate) fn take_input(&self) -> Box<Input> {
        let mut spare = self.spare_inputs.borrow_mut();
        let taken = spare.pop().unwrap_or_else(|| Box::new(Input::new()));
        let [inputs, outputs] = self.unneeded.get();
        self.unneeded.set([inputs.min(spare.len()), outputs]);
        taken
    }

    /// Takes a read buffer back.
    #[inline]
    pub(crate) fn give_input(&self, mut input: Box<Input>) {
        let mut spare = self.spare_inputs.borrow_mut();
        if input.reset() && spare.len() < MAX_SPARE {
            spare.push(input);
        } else {
            self.has_freed();
        }
    }

    /// Lends an output buffer.
    #[inline]
    pub(crate) fn take_output(&self) -> Box<Output> {
        let mut spare = self.spare_outputs.borrow_mut();
        let taken = spare.pop().unwrap_or_default();
        let [inputs, outputs] = self.unneeded.get();
        self.unneeded.set([inputs, outputs.min(spare.len())]);
        taken
    }

    /// Takes an output buffer back, and drops any answers left in it.
    #[inline]
    pub(crate) fn give_output(&self, mut output: Box<Output>) {
        let mut spare = self.spare_outputs.borrow_mut();
        if spare.len() < MAX_SPARE {
            output.clear();
            // Samples of answers that were never handed over, or of an output that no connection
            // owns.
            output.timed.clear();
            spare.push(output);
        } else {
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
        let mut inputs = self.spare_inputs.borrow_mut();
        let mut outputs = self.spare_outputs.borrow_mut();
        let [unneeded_inputs, unneeded_outputs] = self.unneeded.get();
        // The unused ones are at the bottom.
        let drop = unneeded_inputs.min(inputs.len());
        inputs.drain(..drop);
        inputs.shrink_to_fit();
        let drop = unneeded_outputs.min(outputs.len());
        outputs.drain(..drop);
        outputs.shrink_to_fit();
        if unneeded_inputs + unneeded_outputs > 0 {
            self.has_freed();
        }
        self.unneeded.set([inputs.len(), outputs.len()]);
        let bytes = inputs.iter().map(|input| input.uncounted()).sum::<usize>()
            + outputs.iter().map(|output| output.bytes.capacity()).sum::<usize>();
        self.spare.borrow_mut().set(bytes as u64);
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

    /// Serves no request if the node was paused, until the keeper has asked the peers what it
    /// missed. Must be called after requests were read and before they are carried out.
    #[inline]
    pub(crate) fn look_up(&self) {
        if let Some(ring) = &self.shared.ring
            && ring.pulse.is_old()
        {
            self.stand_back();
        }
    }

    #[cold]
    fn stand_back(&self) {
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
    use std::ffi::OsString;

    use super::*;
    use crate::server;
    use crate::settings::{self, Startup};

    #[test]
    fn a_link_to_a_peer_that_the_view_no_longer_names_stays_open_for_what_waits_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring.toml");
        let node = |name| format!("[[node]]\nname = \"{name}\"\naddress = \"{name}:11211\"\n");
        let ring = format!("version = 1\n{}{}{}", node("a"), node("b"), node("c"));
        std::fs::write(&path, ring).unwrap();
        let flags = ["ringbinderd", "--node", "a", "--ring"].map(OsString::from);
        let flags = flags.into_iter().chain([path.into_os_string()]);
        let Startup::Run { settings, .. } = settings::load(flags, []).unwrap() else {
            panic!("these flags ask to serve");
        };
        let guards = crate::guards::Guards::default();
        let dialer = crate::ring::Dialer::new(&guards, crate::settings::PeerTls::Off, Vec::new());
        let ring = crate::ring::start(settings.ring.as_ref().unwrap(), dialer).unwrap().node;
        let view = ring.view();
        let local = Local::new(server::prepare(*settings, guards, Some(ring), 0), 0);

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
        local.look_up();
        local.stand_back();
        local.stand_back();
        assert!(!local.view().as_ref().unwrap().joined, "it serves nothing after a sleep");
        assert_eq!(local.generation(), generation + 1);
    }
}
