//! Commands that visit every item, in pieces: `lru_crawler metadump`, `mgdump`, `stats cachedump`
//! and `stats sizes`.
//!
//! Between two pieces a dump holds only its position: neither the store nor another dump waits for
//! the client that reads it.

use std::collections::BTreeMap;
use std::io::Write;

use ringbinder_protocol::{Dump, answer};
use ringbinder_store::{Cursor, ItemRef, Seconds, Store, memcached_item_size};

use crate::net::output::PIECE;
use crate::process::clock::Clock;
use crate::worker::shared::Shared;

/// The most bytes of a cachedump, as in memcached.
const MAX_CACHEDUMP: usize = 2 * 1024 * 1024;

/// The most steps of a visit for one piece. If few of the items are shown, the other connections
/// must not wait longer for the piece.
const STEPS: usize = 16;

/// The number of sizes counted in one pass. If there are more, another pass over the items follows.
const MAX_SIZES: usize = 2_048;

/// The form in which a dump shows items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpForm {
    /// `lru_crawler metadump`, `mgdump`.
    Crawler(Dump),
    /// `stats cachedump`, with its limit (0 for none).
    Cachedump(u32),
}

/// A dump of items in progress.
#[derive(Debug)]
pub(crate) struct Items {
    form: DumpForm,
    /// The position of the next piece; `None` before the first.
    at: Option<Cursor>,
    items: u32,
    bytes: usize,
}

impl Items {
    pub(crate) fn new(form: DumpForm) -> Items {
        Items { form, at: None, items: 0, bytes: 0 }
    }

    /// Whether it counts as a run of memcached's crawler.
    pub(crate) fn is_crawl(&self) -> bool {
        matches!(self.form, DumpForm::Crawler(_))
    }

    /// Appends the next piece, and returns whether another follows.
    pub(crate) fn piece(&mut self, shared: &Shared, out: &mut Vec<u8>) -> bool {
        let begins = out.len();
        if self.at.is_none() && self.is_crawl() {
            answer::line(out, "OK");
        }
        let now = shared.clock.now();
        let mut at = self.at.unwrap_or_default();
        for _ in 0..STEPS {
            let next = shared.store.visit_some(at, now, &mut |item: &dyn ItemRef| {
                if !self.is_full() {
                    self.show(&shared.clock, item, out);
                }
            });
            match next {
                Some(next) if !self.is_full() => at = next,
                _ => {
                    let is_mg = self.form == DumpForm::Crawler(Dump::MetaGet);
                    answer::line(out, if is_mg { "EN" } else { "END" });
                    return false;
                }
            }
            if out.len() - begins >= PIECE {
                break;
            }
        }
        self.at = Some(at);
        true
    }

    fn show(&mut self, clock: &Clock, item: &dyn ItemRef, out: &mut Vec<u8>) {
        let before = out.len();
        match self.form {
            DumpForm::Crawler(Dump::Meta) => meta_line(clock, item, out),
            DumpForm::Crawler(Dump::MetaGet) => get_line(item, out),
            DumpForm::Cachedump(_) => cachedump_line(clock, item, out),
        }
        self.items += u32::from(out.len() > before);
        self.bytes += out.len() - before;
    }

    /// Whether the limit of the dump is reached.
    fn is_full(&self) -> bool {
        match self.form {
            DumpForm::Crawler(_) => false,
            DumpForm::Cachedump(limit) => {
                (limit != 0 && self.items >= limit) || self.bytes > MAX_CACHEDUMP - 512
            }
        }
    }
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

/// `mg key`, in a form that can be sent back.
fn get_line(item: &dyn ItemRef, out: &mut Vec<u8>) {
    let binary = item.meta().binary_key;
    out.extend_from_slice(b"mg ");
    answer::key_word(out, item.key(), binary);
    out.extend_from_slice(if binary { b" b\r\n" } else { b"\r\n" });
}

/// `ITEM key [5 b; 0 s]`. Keys that are not text are left out.
fn cachedump_line(clock: &Clock, item: &dyn ItemRef, out: &mut Vec<u8>) {
    let meta = item.meta();
    let is_word = |key: &[u8]| key.iter().all(|&byte| byte > b' ' && byte != 0x7f);
    if meta.binary_key || !is_word(item.key()) {
        return;
    }
    let expiry: Seconds = meta.expiry.unix().map_or(0, |at| clock.unix(at));
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key());
    // Writing to a vector cannot fail.
    let _ = write!(out, " [{} b; {expiry} s]\r\n", item.value().len());
}

/// `stats sizes` in progress: the number of items of each size, in steps of 32 bytes by memcached's
/// size of an item.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    at: Cursor,
    /// Smaller sizes are already written.
    from: usize,
    /// The smallest sizes from `from` on, at most [`MAX_SIZES`].
    counts: BTreeMap<usize, u64>,
    /// There are larger sizes.
    has_more: bool,
}

impl Sizes {
    /// Does the next piece of work, which may write nothing, and returns whether another follows.
    pub(crate) fn piece(&mut self, shared: &Shared, out: &mut Vec<u8>) -> bool {
        let now = shared.clock.now();
        for _ in 0..STEPS {
            let next = shared.store.visit_some(self.at, now, &mut |item: &dyn ItemRef| {
                let meta = item.meta();
                let size = memcached_item_size(item.key().len(), meta.flags, item.value().len());
                self.count(size);
            });
            match next {
                Some(next) => self.at = next,
                None => return self.write(out),
            }
        }
        true
    }

    fn count(&mut self, size: usize) {
        const STEP: usize = 32;

        let size = size.next_multiple_of(STEP);
        if size < self.from {
            return;
        }
        *self.counts.entry(size).or_default() += 1;
        if self.counts.len() > MAX_SIZES {
            self.counts.pop_last();
            self.has_more = true;
        }
    }

    /// Writes the counts, and returns whether there are larger sizes to count.
    fn write(&mut self, out: &mut Vec<u8>) -> bool {
        for (size, items) in std::mem::take(&mut self.counts) {
            answer::stat(out, &size.to_string(), items);
            self.from = size + 1;
        }
        self.at = Cursor::default();
        if std::mem::take(&mut self.has_more) {
            return true;
        }
        answer::line(out, "END");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_those_that_are_counted_at_a_time_come_in_another_pass() {
        let all: Vec<usize> = (1..=MAX_SIZES * 2 + 7).map(|number| number * 32).collect();
        let mut sizes = Sizes::default();
        let mut out = Vec::new();
        let mut passes = 0;
        loop {
            for &size in all.iter().rev() {
                sizes.count(size);
                sizes.count(size - 1);
                assert!(sizes.counts.len() <= MAX_SIZES);
            }
            passes += 1;
            if !sizes.write(&mut out) {
                break;
            }
        }
        assert_eq!(passes, 3);
        let text = String::from_utf8(out).unwrap();
        let wanted: String = all.iter().map(|size| format!("STAT {size} 2\r\n")).collect();
        assert_eq!(text, wanted + "END\r\n");
    }
}
