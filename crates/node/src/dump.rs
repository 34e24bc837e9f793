//! What takes a look at every item: `lru_crawler metadump`, `mgdump`, `stats cachedump` and `stats
//! sizes`.
//!
//! A dump runs on a thread of its own and hands chunks over a channel that holds few, so neither
//! the store nor the other connections wait for the client that reads it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::{Dump, answer};
use ringbinder_store::{ItemRef, Seconds, Store, memcached_item_size};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::Clock;
use crate::command::DumpKind;
use crate::shared::Shared;

/// A chunk is handed over when it has this many bytes.
const CHUNK: usize = 32 * 1024;

/// Most bytes of a cachedump, as in memcached.
const MAX_CACHEDUMP: usize = 2 * 1024 * 1024;

/// The one dump that may run; frees the place when dropped.
#[derive(Debug)]
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.dumping.store(false, Relaxed);
    }
}

/// Starts a dump; its chunks arrive at the receiver. `None` where one is under way or no thread can
/// be had.
pub(crate) fn start(shared: &Arc<Shared>, kind: DumpKind) -> Option<Receiver<Vec<u8>>> {
    if shared.dumping.swap(true, Relaxed) {
        return None;
    }
    let place = Place(Arc::clone(shared));
    let (sender, receiver) = channel(2);
    let thread = std::thread::Builder::new().name("dump".to_owned());
    thread.spawn(move || run(&place.0, kind, &sender)).ok().map(|_| receiver)
}

fn run(shared: &Shared, kind: DumpKind, sender: &Sender<Vec<u8>>) {
    if kind == DumpKind::Sizes {
        // A client that left does not want it any more.
        let _ = sender.blocking_send(sizes(shared));
        return;
    }
    let now = shared.clock.now();
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut items = 0u32;
    let mut bytes = 0;
    let mut listening = true;
    shared.store.for_each(now, &mut |item: &dyn ItemRef| {
        let before = chunk.len();
        match kind {
            DumpKind::Crawler(Dump::Meta) => meta_line(&shared.clock, item, &mut chunk),
            DumpKind::Crawler(Dump::MetaGet) => get_line(item, &mut chunk),
            DumpKind::Cachedump(_) | DumpKind::Sizes => {
                cachedump_line(&shared.clock, item, &mut chunk)
            }
        }
        items += u32::from(chunk.len() > before);
        bytes += chunk.len() - before;
        let full = match kind {
            DumpKind::Cachedump(limit) => {
                (limit != 0 && items >= limit) || bytes > MAX_CACHEDUMP - 512
            }
            DumpKind::Crawler(_) | DumpKind::Sizes => false,
        };
        if chunk.len() >= CHUNK {
            let ready = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            listening = sender.blocking_send(ready).is_ok();
        }
        listening && !full && !shared.stop.is_cancelled()
    });
    let end: &[u8] = match kind {
        DumpKind::Crawler(Dump::MetaGet) => b"EN\r\n",
        _ => b"END\r\n",
    };
    chunk.extend_from_slice(end);
    // A client that left does not want the end either.
    let _ = sender.blocking_send(chunk);
}

/// How many items there are of each size, in steps of 32 bytes as memcached counts an item.
fn sizes(shared: &Shared) -> Vec<u8> {
    const STEP: usize = 32;

    let mut histogram: BTreeMap<usize, u64> = BTreeMap::new();
    shared.store.for_each(shared.clock.now(), &mut |item: &dyn ItemRef| {
        let meta = item.meta();
        let size = memcached_item_size(item.key().len(), meta.flags, item.value().len());
        *histogram.entry(size.next_multiple_of(STEP)).or_default() += 1;
        !shared.stop.is_cancelled()
    });
    let mut out = Vec::new();
    for (size, items) in histogram {
        answer::stat(&mut out, &size.to_string(), items);
    }
    answer::line(&mut out, "END");
    out
}

/// `key=... exp=... la=... cas=... fetch=... cls=1 size=... flags=...`
fn meta_line(clock: &Clock, item: &dyn ItemRef, out: &mut Vec<u8>) {
    let meta = item.meta();
    out.extend_from_slice(b"key=");
    answer::uri_encode(out, item.key());
    let expiry = meta.expiry.unix().map_or(-1, |at| i64::from(clock.unix(at)));
    let fetched = if meta.fetched { "yes" } else { "no" };
    let size = memcached_item_size(item.key().len(), meta.flags, item.value().len());
    // Writing to a vector cannot fail.
    let _ = writeln!(
        out,
        " exp={expiry} la={} cas={} fetch={fetched} cls=1 size={size} flags={} ",
        clock.unix(meta.last_access),
        meta.cas,
        meta.flags,
    );
}

/// `mg key`, ready to be sent back.
fn get_line(item: &dyn ItemRef, out: &mut Vec<u8>) {
    let binary = item.meta().binary_key;
    out.extend_from_slice(b"mg ");
    answer::key_word(out, item.key(), binary);
    out.extend_from_slice(if binary { b" b\r\n" } else { b"\r\n" });
}

/// `ITEM key [5 b; 0 s]`; keys that are not text are left out.
fn cachedump_line(clock: &Clock, item: &dyn ItemRef, out: &mut Vec<u8>) {
    let meta = item.meta();
    if meta.binary_key {
        return;
    }
    let expiry: Seconds = meta.expiry.unix().map_or(0, |at| clock.unix(at));
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key());
    // Writing to a vector cannot fail.
    let _ = write!(out, " [{} b; {expiry} s]\r\n", item.value().len());
}
