//! Answers that can be long, in pieces.
//!
//! Their length depends on other data: on the items, the connections, the prefixes of keys, the
//! nodes of the ring. So no such answer is built as a whole. A piece is built after the previous
//! one has been sent, and in between the other connections of the worker have their turn. A client
//! that does not read holds one piece, and a client that reads quickly delays no other one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::answer;
use ringbinder_ring::Ring;

use crate::observe::dump::{Form, Items, Sizes};
use crate::ring;
use crate::server::shared::Shared;
use crate::stats;

/// The approximate size of a piece in bytes.
pub(crate) const PIECE: usize = 32 * 1024;

/// The kind of a long answer.
#[derive(Clone, Debug)]
pub(crate) enum Long {
    /// The items, one after another.
    Items(Form),
    /// `stats sizes`.
    Sizes,
    /// `stats conns`.
    Connections,
    /// `stats detail dump`.
    Prefixes,
    /// `stats ring`.
    RingStatus,
    /// `ring get`.
    RingText(Arc<Ring>),
}

/// The progress of a long answer.
#[derive(Debug)]
enum Progress {
    Items(Items),
    Sizes(Sizes),
    /// The id of the next connection; `None` before the listeners.
    Connections(Option<u32>),
    /// The number of prefixes written.
    Prefixes(usize),
    /// The number of peers written; `None` before the node itself.
    RingStatus(Option<usize>),
    /// The ring, and the bytes of its text that are written; `None` before the line ahead of the
    /// text.
    RingText(Arc<Ring>, Option<usize>),
}

/// A long answer in progress.
#[derive(Debug)]
pub(crate) struct Answer {
    shared: Arc<Shared>,
    /// The connection that asked.
    asker: u32,
    /// Whether it counts as a run of memcached's crawler.
    crawls: bool,
    progress: Progress,
}

impl Answer {
    /// An answer for the connection of this number.
    pub(crate) fn new(long: Long, shared: &Arc<Shared>, asker: u32) -> Answer {
        let crawls = matches!(long, Long::Items(Form::Crawler(_)));
        let progress = match long {
            Long::Items(form) => Progress::Items(Items::new(form)),
            Long::Sizes => Progress::Sizes(Sizes::default()),
            Long::Connections => Progress::Connections(None),
            Long::Prefixes => Progress::Prefixes(0),
            Long::RingStatus => Progress::RingStatus(None),
            Long::RingText(ring) => Progress::RingText(ring, None),
        };
        if crawls {
            shared.crawls.fetch_add(1, Relaxed);
        }
        Answer { shared: Arc::clone(shared), asker, crawls, progress }
    }

    /// Appends the next piece, and returns whether another follows.
    pub(crate) fn piece(&mut self, out: &mut Vec<u8>) -> bool {
        let shared = &*self.shared;
        match &mut self.progress {
            Progress::Items(items) => items.piece(shared, out),
            Progress::Sizes(sizes) => sizes.piece(shared, out),
            Progress::Connections(next) => stats::connections(shared, self.asker, next, out),
            Progress::Prefixes(written) => shared.prefixes.dump(written, out),
            Progress::RingStatus(written) => ring::report(shared, written, out),
            Progress::RingText(ring, written) => ring_text(ring, written, out),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.crawls {
            self.shared.crawls.fetch_sub(1, Relaxed);
        }
    }
}

/// Builds the text again for every piece. It has at most 2 MiB, and keeping it would mean keeping
/// it for every client that asks and does not read.
fn ring_text(ring: &Ring, written: &mut Option<usize>, out: &mut Vec<u8>) -> bool {
    let text = ring.to_toml();
    if written.is_none() {
        ring::begin_text(ring, text.len(), out);
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
