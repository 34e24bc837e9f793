//! Carrying out requests: from a parsed request to the store and the answer. Nothing here waits.

mod admin;
mod arithmetic;
mod meta_get;
mod meta_store;
mod removal;
mod retrieval;
mod sampled;
mod storage;

use ringbinder_protocol::{MAX_KEY_LEN, Refusal, Request, WatchFlags, answer};
use ringbinder_store::{Expiry, LargeValue, Miss, NewValue, Readiness, Seconds, Store as _};

use crate::connections::CloseReason;
use crate::long::Long;
use crate::output::Output;
use crate::ring::Desk;
use crate::sampling::{Nanos, Sampler};
use crate::shared::Shared;
use crate::stats::Counters;

pub(crate) use admin::{flush_here, flush_store};
pub(crate) use arithmetic::echo;
pub(crate) use retrieval::get_one;
pub(crate) use storage::{Incoming, admit, turned_away};

/// What a request is carried out with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) counters: &'a Counters,
    /// Number of the connection, as logs name it.
    pub(crate) connection: u32,
    pub(crate) now: Seconds,
    /// What some of the requests are offered to.
    pub(crate) sampler: &'a Sampler,
    /// When the request was read; 0 where nobody looked.
    pub(crate) read_at: Nanos,
    /// Who carries out requests, where that is not always this node.
    pub(crate) desk: Option<Desk<'a>>,
}

impl Context<'_> {
    /// When an item with this wire exptime dies.
    #[inline]
    fn expiry(&self, exptime: i64) -> Expiry {
        self.shared.clock.expiry(exptime, self.now)
    }

    /// Tells those who watch reads what a command is about to find under its key. The command finds out
    /// for itself: others may be faster.
    #[inline]
    fn looks_up(&self, key: &[u8]) {
        if self.shared.watch.wants(WatchFlags::FETCHERS) {
            self.tell_looks_up(key);
        }
    }

    #[cold]
    fn tell_looks_up(&self, key: &[u8]) {
        self.tell_fetched(key, self.shared.store.peek(key, self.now, |item| item.value().len()));
    }

    /// Tells those who watch reads.
    #[inline]
    fn fetched(&self, key: &[u8], found: Result<usize, Miss>) {
        if self.shared.watch.wants(WatchFlags::FETCHERS) {
            self.tell_fetched(key, found);
        }
    }

    #[cold]
    fn tell_fetched(&self, key: &[u8], found: Result<usize, Miss>) {
        let (status, len) = match found {
            Ok(len) => ("found", len),
            Err(Miss::Absent) => ("not_found", 0),
            Err(Miss::Expired) => ("expired", 0),
            Err(Miss::Flushed) => ("flushed", 0),
        };
        self.shared.watch.fetched(key, status, len, self.connection);
    }

    /// The CAS unique as clients see it: 0 where `-C` turned it off.
    #[inline]
    fn visible_cas(&self, cas: u64) -> u64 {
        if self.shared.settings.cas_enabled { cas } else { 0 }
    }
}

/// What the connection does after a request.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Go on with the next request.
    Continue,
    /// Write what there is, then carry out the same request again, telling it that `done` bytes of
    /// its keys are dealt with.
    Pause {
        /// Bytes of the keys, as [`Request::Get`] holds them.
        done: usize,
    },
    /// Write what there is and close.
    Close(CloseReason),
    /// Become a watcher.
    Watch(WatchFlags),
    /// Write an answer that may be long.
    Long(Long),
    /// Empty every node of the ring, this one included.
    FlushAll(FlushAll),
    /// Read the certificates anew.
    Refresh,
    /// Close and stop the node.
    Shutdown,
}

/// A `flush_all` that is for every node of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushAll {
    /// The delay as an exptime; not positive is now.
    pub(crate) delay: i64,
    /// The client wants no answer.
    pub(crate) noreply: bool,
}

/// Carries out a request that brings no value. `done` is 0, or what [`Next::Pause`] said before.
#[inline]
pub(crate) fn execute(
    context: &Context<'_>,
    request: &Request<'_>,
    done: usize,
    out: &mut Output,
) -> Next {
    if let Some(desk) = context.desk {
        match request {
            // Each of their keys goes its own way.
            Request::Get(_) | Request::GetAndTouch(_) => {}
            // What only reads finds out by a miss.
            Request::MetaGet(meta) if desk.hits_are_ours() && !meta.has(b'N') => {}
            request if desk.divert(request, None, out) => {
                context.offer_request(request, false, out);
                return Next::Continue;
            }
            _ => {}
        }
    }
    match request {
        // They are offered where it is found out who serves them.
        Request::Get(_) | Request::GetAndTouch(_) | Request::MetaGet(_) => {}
        request => context.offer_request(request, true, out),
    }
    match request {
        Request::Get(get) => return retrieval::get(context, get, done, out),
        Request::GetAndTouch(get) => return retrieval::get_and_touch(context, get, done, out),
        Request::MetaGet(meta) => meta_get::get(context, meta, out),
        Request::Delete(delete) => removal::delete(context, delete, out),
        Request::Arithmetic(arithmetic) => arithmetic::classic(context, arithmetic, out),
        Request::Touch(touch) => removal::touch(context, touch, out),
        Request::MetaDelete(meta) => removal::meta_delete(context, meta, out),
        Request::MetaArithmetic(meta) => arithmetic::meta(context, meta, out),
        Request::MetaDebug(key) => meta_get::debug(context, *key, out),
        Request::MetaNoop => answer::line(&mut out.bytes, "MN"),
        Request::Admin(admin) => return admin::execute(context, admin, out),
        Request::Ring(_) | Request::ConfigGetCluster => {
            debug_assert!(false, "the connection answers for the ring");
        }
        Request::Store(_) | Request::MetaStore(_) | Request::RingOffer(_) => {
            debug_assert!(false, "a storage request comes with its value");
        }
    }
    Next::Continue
}

/// Makes some room for a large value that a storage request brings, and says whether it is to be done
/// again before the request is carried out. Nothing is done for a key of another node.
pub(crate) fn make_ready(
    shared: &Shared,
    desk: Option<Desk<'_>>,
    request: &Request<'_>,
    value: &mut LargeValue,
) -> Readiness {
    let mut room = [0; MAX_KEY_LEN];
    let (key, mode) = match request {
        Request::Store(store) => (store.key, storage::mode(store.verb)),
        Request::MetaStore(store) => {
            (store.meta.key.bytes(&mut room), meta_store::mode(&store.meta))
        }
        _ => return Readiness::Ready,
    };
    if desk.is_some_and(|desk| !desk.serves(key)) {
        return Readiness::Ready;
    }
    shared.store.make_ready(key, mode, value, shared.clock.now())
}

/// Carries out a storage request whose value is here.
#[inline]
pub(crate) fn store(
    context: &Context<'_>,
    request: &Request<'_>,
    value: NewValue<'_>,
    out: &mut Output,
) {
    if let Some(desk) = context.desk
        && desk.divert(request, Some(&value), out)
    {
        context.offer_request(request, false, out);
        return;
    }
    context.offer_request(request, true, out);
    match request {
        Request::Store(store) => storage::store(context, store, value, out),
        Request::MetaStore(store) => meta_store::store(context, store, value, out),
        _ => debug_assert!(false, "only a storage request comes with a value"),
    }
}

/// Answers a classic command, unless the client wants no answer.
fn reply(out: &mut Output, noreply: bool, line: &str) {
    if !noreply {
        answer::line(&mut out.bytes, line);
    }
}

/// Refuses a classic command, unless the client wants no answer.
fn refuse(out: &mut Output, noreply: bool, refusal: Refusal) {
    reply(out, noreply, refusal.line());
}
