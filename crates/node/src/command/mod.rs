//! Carries out requests: from a parsed request to the store and the answer. This module never
//! waits.
//!
//! | file | purpose |
//! |---|---|
//! | `retrieval` | `get`, `gets`, `gat`, `gats` |
//! | `storage` | `set`, `add`, `replace`, `append`, `prepend`, `cas`; the checks before a value arrives |
//! | `removal`, `arithmetic` | `delete`, `touch`, `md`; `incr`, `decr`, `ma` |
//! | `meta_get`, `meta_store` | `mg`, `me`; `ms` |
//! | `admin` | commands that name no key |
//! | `ring` | the commands `ring` and `config get cluster` |
//! | `router` | whether a request is carried out here or sent to the key's owner |
//! | `forward_line` | a request in the form sent to the key's owner |
//! | `step`, `long` | work that the connection must do before further requests; answers in pieces |
//! | `sampled` | offering requests to the sampler |

mod admin;
mod arithmetic;
mod forward_line;
pub(crate) mod long;
mod meta_get;
mod meta_store;
mod removal;
mod retrieval;
pub(crate) mod ring;
mod router;
mod sampled;
pub(crate) mod step;
mod storage;

use ringbinder_protocol::{Keyed, MAX_KEY_LEN, Refusal, Storage, WatchFlags, answer};
use ringbinder_store::{Expiry, LargeValue, Miss, NewValue, Readiness, Seconds, Store as _};

use crate::net::output::Output;
use crate::process::clock::Nanos;
use crate::sampling::Sampler;
use crate::stats::Counters;
use crate::worker::shared::Shared;
use crate::worker::state::Local;

pub(crate) use admin::{execute as admin, flush_here, flush_store};
pub(crate) use arithmetic::echo;
pub(crate) use retrieval::{get, get_key, get_one};
pub(crate) use router::Router;
pub(crate) use storage::{admit, turned_away};

/// The context in which a request is carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) counters: &'a Counters,
    /// The number of the connection, as in logs.
    pub(crate) connection: u32,
    pub(crate) now: Seconds,
    /// The sampler, to which some of the requests are offered.
    pub(crate) sampler: &'a Sampler,
    /// The time at which the request was read; 0 if it was not measured.
    pub(crate) read_at: Nanos,
    /// The router of requests, if not every key is this node's.
    pub(crate) router: Option<Router<'a>>,
}

impl<'a> Context<'a> {
    /// The context of requests that a connection of this worker read at `read_at`.
    #[inline]
    pub(crate) fn new(
        local: &'a Local,
        connection: u32,
        read_at: Nanos,
        router: Option<Router<'a>>,
    ) -> Context<'a> {
        Context {
            shared: &local.shared,
            counters: &local.counters,
            connection,
            now: local.shared.clock.now(),
            sampler: &local.sampler,
            read_at,
            router,
        }
    }

    /// The time at which an item with this wire exptime expires.
    #[inline]
    fn expiry(&self, exptime: i64) -> Expiry {
        self.shared.clock.expiry(exptime, self.now)
    }

    /// Reports to watchers of reads what a command is about to find under its key. The command
    /// looks for itself, because another command may come first.
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

    /// Reports a read to its watchers.
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

    /// The CAS unique as clients see it: 0 if `-C` disabled it.
    #[inline]
    fn visible_cas(&self, cas: u64) -> u64 {
        if self.shared.settings.disable_cas { 0 } else { cas }
    }
}

/// Carries out a request that names one key, or leaves it to the key's owner.
#[inline]
pub(crate) fn keyed(context: &Context<'_>, keyed: &Keyed<'_>, out: &mut Output) {
    let served = if let Some(router) = context.router
        && !(keyed.is_lookup() && router.hits_are_ours())
        && router.divert(keyed, out)
    {
        false
    } else {
        carry_out(context, keyed, out)
    };
    context.offer_keyed(keyed, served, out);
}

/// Asks the store. Returns false if another node must answer, which a lookup learns from a miss.
#[inline]
fn carry_out(context: &Context<'_>, keyed: &Keyed<'_>, out: &mut Output) -> bool {
    match keyed {
        Keyed::MetaGet(meta) => return meta_get::get(context, meta, out),
        Keyed::Delete(delete) => removal::delete(context, delete, out),
        Keyed::Arithmetic(arithmetic) => arithmetic::classic(context, arithmetic, out),
        Keyed::Touch(touch) => removal::touch(context, touch, out),
        Keyed::MetaDelete(meta) => removal::meta_delete(context, meta, out),
        Keyed::MetaArithmetic(line) => arithmetic::meta(context, line, out),
        Keyed::MetaDebug(key) => meta_get::debug(context, *key, out),
    }
    true
}

/// Makes some room for a large value of a storage request. Returns whether the caller must call
/// again before it carries out the request. Does nothing for a key of another node.
pub(crate) fn make_ready(
    shared: &Shared,
    router: Option<Router<'_>>,
    storage: &Storage<'_>,
    value: &mut LargeValue,
) -> Readiness {
    let mut room = [0; MAX_KEY_LEN];
    let key = storage.key().bytes(&mut room);
    if router.is_some_and(|router| !router.serves(key)) {
        return Readiness::Ready;
    }
    shared.store.make_ready(key, storage::mode(storage.verb()), value, shared.clock.now())
}

/// Carries out a storage request whose value has arrived, or leaves it to the key's owner.
#[inline]
pub(crate) fn store(
    context: &Context<'_>,
    storage: &Storage<'_>,
    value: NewValue<'_>,
    out: &mut Output,
) {
    if let Some(router) = context.router
        && router.divert_storage(storage, &value, out)
    {
        context.offer_storage(storage, false, out);
        return;
    }
    context.offer_storage(storage, true, out);
    match storage {
        Storage::Classic(store) => storage::store(context, store, value, out),
        Storage::Meta(store) => meta_store::store(context, store, value, out),
    }
}

/// Answers a classic command, unless the client suppresses replies.
fn reply(out: &mut Output, noreply: bool, line: &str) {
    if !noreply {
        answer::line(&mut out.bytes, line);
    }
}

/// Refuses a classic command, unless the client suppresses replies.
fn refuse(out: &mut Output, noreply: bool, refusal: Refusal) {
    reply(out, noreply, refusal.line());
}
