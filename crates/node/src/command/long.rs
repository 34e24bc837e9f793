//! Answers that can be long, in pieces.
//!
//! Their length depends on other data: on the items, the connections, the prefixes of keys, the
//! nodes of the ring. So no such answer is built as a whole. A piece is built after the previous
//! one has been sent, and in between the other connections of the worker have their turn. A client
//! that does not read holds one piece, and a client that reads quickly delays no other one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ringbinder_protocol::answer;
use ringbinder_ring::Ring;

use super::ring::begin_text;
use crate::net::output::PIECE;
use crate::observe::dump::{Items, Sizes};
use crate::worker::shared::Shared;
use crate::{ring, stats};

/// A long answer, and the part of it that has been written.
#[derive(Debug)]
pub(crate) enum Long {
    /// The items, one after another.
    Items(Items),
    /// `stats sizes`.
    Sizes(Sizes),
    /// `stats conns`: the id of the next connection; `None` before the listeners.
    Connections(Option<u32>),
    /// `stats detail dump`: the number of prefixes written.
    Prefixes(usize),
    /// `stats ring`: the number of peers written; `None` before the node itself.
    RingStatus(Option<usize>),
    /// `ring get`: the ring, and the bytes of its text that are written; `None` before the line
    /// ahead of the text.
    RingText(Arc<Ring>, Option<usize>),
}

impl Long {
    /// Appends the next piece, and returns whether another follows. `asker` is the number of the
    /// connection that asked.
    pub(crate) fn piece(&mut self, shared: &Shared, asker: u32, out: &mut Vec<u8>) -> bool {
        match self {
            Long::Items(items) => items.piece(shared, out),
            Long::Sizes(sizes) => sizes.piece(shared, out),
            Long::Connections(next) => stats::connections(shared, asker, next, out),
            Long::Prefixes(written) => shared.prefixes.dump(written, out),
            Long::RingStatus(written) => ring::report(shared, written, out),
            Long::RingText(ring, written) => ring_text(ring, written, out),
        }
    }

    /// Counts it among the runs of memcached's crawler until the result is dropped, if it is one.
    pub(crate) fn count_crawl<'a>(&self, crawls: &'a AtomicUsize) -> Option<Crawl<'a>> {
        matches!(self, Long::Items(items) if items.is_crawl()).then(|| {
            crawls.fetch_add(1, Relaxed);
            Crawl(crawls)
        })
    }
}

/// A dump that counts as a run of the crawler.
#[derive(Debug)]
pub(crate) struct Crawl<'a>(&'a AtomicUsize);

impl Drop for Crawl<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Builds the text again for every piece. It has at most 2 MiB, and keeping it would mean keeping
/// it for every client that asks and does not read.
fn ring_text(ring: &Ring, written: &mut Option<usize>, out: &mut Vec<u8>) -> bool {
    let text = ring.to_toml();
    if written.is_none() {
        begin_text(ring, text.len(), out);
    }
    let from = written.unwrap_or(0);
    let to = text.len().min(from + PIECE);
    out.extend_from_slice(&text.as_bytes()[from..to]);
    *written = Some(to);
    if to < text.len() {
        return true;
    }
    answer::line(out, "\r\nEND");
    false
}
