//! `watch`: live log lines for connections that ask for them.
//!
//! Without a watcher, an event costs one load. Each watcher has a bounded buffer. Lines that do not
//! fit are counted and reported to the watcher, so a slow watcher loses only its own lines.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ringbinder_protocol::{WatchFlags, answer};
use tokio::sync::Notify;

use crate::net::connections::{CloseReason, Remote};

/// The most watchers at a time, as in memcached.
const MAX_WATCHERS: usize = 20;

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    skipped: u64,
}

/// One watching connection's side of the hub.
#[derive(Debug)]
pub(crate) struct Watcher {
    flags: WatchFlags,
    buffer: Mutex<Buffer>,
    filled: Notify,
}

impl Watcher {
    /// Waits for lines and moves them into `out`.
    pub(crate) async fn lines(&self, out: &mut Vec<u8>) {
        loop {
            let filled = self.filled.notified();
            {
                let mut buffer = self.buffer.lock();
                if buffer.skipped > 0 {
                    // Writing to a vector cannot fail.
                    let _ = writeln!(out, "skipped={}", buffer.skipped);
                    buffer.skipped = 0;
                }
                out.append(&mut buffer.lines);
            }
            if !out.is_empty() {
                return;
            }
            filled.await;
        }
    }
}

/// The hub that collects log lines.
#[derive(Debug)]
pub(crate) struct Watch {
    mask: AtomicU8,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    buffer_limit: usize,
    gid: AtomicU64,
    written: AtomicU64,
    skipped: AtomicU64,
    sent: AtomicU64,
}

impl Watch {
    /// A hub in which each watcher buffers at most `buffer_limit` bytes.
    pub(crate) fn new(buffer_limit: usize) -> Self {
        Watch {
            mask: AtomicU8::new(0),
            watchers: Mutex::default(),
            buffer_limit,
            gid: AtomicU64::new(0),
            written: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Whether any connection watches this stream.
    #[inline]
    pub(crate) fn wants(&self, stream: WatchFlags) -> bool {
        WatchFlags::from_bits(self.mask.load(Relaxed)).intersects(stream)
    }

    /// Adds a watcher; `None` if there are too many.
    pub(crate) fn add(self: &Arc<Self>, flags: WatchFlags) -> Option<Subscription> {
        let mut watchers = self.watchers.lock();
        if watchers.len() >= MAX_WATCHERS {
            return None;
        }
        let watcher = Arc::new(Watcher { flags, buffer: Mutex::default(), filled: Notify::new() });
        watchers.push(Arc::clone(&watcher));
        self.refresh(&watchers);
        Some(Subscription { watcher, watch: Arc::clone(self) })
    }

    fn refresh(&self, watchers: &[Arc<Watcher>]) {
        let flags =
            watchers.iter().fold(WatchFlags::default(), |all, watcher| all.with(watcher.flags));
        self.mask.store(flags.bits(), Relaxed);
    }

    pub(crate) fn watchers(&self) -> usize {
        self.watchers.lock().len()
    }

    /// The numbers of lines written, lines dropped, and bytes sent to watchers.
    pub(crate) fn figures(&self) -> (u64, u64, u64) {
        (self.written.load(Relaxed), self.skipped.load(Relaxed), self.sent.load(Relaxed))
    }

    /// Sends a line to the watchers of `stream`, with `ts=... gid=...` before it and a newline
    /// after it.
    fn publish(&self, stream: WatchFlags, write: impl FnOnce(&mut Vec<u8>)) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let gid = self.gid.fetch_add(1, Relaxed) + 1;
        let mut line = Vec::with_capacity(256);
        // Writing to a vector cannot fail.
        let _ = write!(line, "ts={}.{} gid={gid} ", at.as_secs(), at.subsec_micros());
        write(&mut line);
        line.push(b'\n');
        self.written.fetch_add(1, Relaxed);
        for watcher in self.watchers.lock().iter() {
            if !watcher.flags.intersects(stream) {
                continue;
            }
            let mut buffer = watcher.buffer.lock();
            if buffer.lines.len() + line.len() > self.buffer_limit {
                buffer.skipped += 1;
                self.skipped.fetch_add(1, Relaxed);
            } else {
                buffer.lines.extend_from_slice(&line);
                self.sent.fetch_add(line.len() as u64, Relaxed);
            }
            drop(buffer);
            watcher.filled.notify_one();
        }
    }

    /// Reports a look-up of an item.
    pub(crate) fn fetched(&self, key: &[u8], status: &str, len: usize, connection: u32) {
        self.publish(WatchFlags::FETCHERS, |line| {
            line.extend_from_slice(b"type=item_get key=");
            answer::uri_encode(line, key);
            let class = u8::from(status == "found");
            let _ = write!(line, " status={status} clsid={class} cfd={connection} size={len}");
        });
    }

    /// Reports a store, successful or not.
    pub(crate) fn stored(&self, stored: Stored<'_>) {
        let Stored { key, status, command, ttl, connection, len } = stored;
        self.publish(WatchFlags::MUTATIONS, |line| {
            line.extend_from_slice(b"type=item_store key=");
            answer::uri_encode(line, key);
            let _ = write!(
                line,
                " status={status} cmd={command} ttl={ttl} clsid=1 cfd={connection} size={len}"
            );
        });
    }

    /// Reports a deleted item.
    pub(crate) fn deleted(&self, key: &[u8], command: &str, len: usize) {
        self.publish(WatchFlags::DELETIONS, |line| {
            line.extend_from_slice(b"type=deleted key=");
            answer::uri_encode(line, key);
            let _ = write!(line, " cmd={command} clsid=1 size={len}");
        });
    }

    /// Reports an evicted item.
    pub(crate) fn evicted(&self, key: &[u8], fetched: bool, ttl: i64, idle: u32, len: usize) {
        self.publish(WatchFlags::EVICTIONS, |line| {
            line.extend_from_slice(b"type=eviction key=");
            answer::uri_encode(line, key);
            let fetched = if fetched { "yes" } else { "no" };
            let _ = write!(line, " fetch={fetched} ttl={ttl} la={idle} clsid=1 size={len}");
        });
    }

    /// Reports an opened connection.
    pub(crate) fn opened(&self, peer: &Remote, connection: u32) {
        self.connection("conn_new", peer, connection, None);
    }

    /// Reports a closed connection.
    pub(crate) fn closed(&self, peer: &Remote, connection: u32, reason: CloseReason) {
        self.connection("conn_close", peer, connection, Some(reason));
    }

    fn connection(&self, kind: &str, peer: &Remote, connection: u32, reason: Option<CloseReason>) {
        let (address, port, transport) = match peer {
            Remote::Tcp { from, .. } => (from.ip().to_string(), from.port(), "tcp"),
            Remote::Unix => ("unix".to_owned(), 0, "local"),
        };
        self.publish(WatchFlags::CONNEVENTS, |line| {
            let _ = write!(line, "type={kind} rip={address} rport={port} transport={transport}");
            if let Some(reason) = reason {
                let _ = write!(line, " reason={}", reason.as_str());
            }
            let _ = write!(line, " cfd={connection}");
        });
    }
}

/// The reported facts of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) status: &'static str,
    pub(crate) command: &'static str,
    /// The time to live in seconds as memcached logs it: 0 for never.
    pub(crate) ttl: u32,
    pub(crate) connection: u32,
    pub(crate) len: usize,
}

/// A watcher's entry in the hub, removed when dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    watcher: Arc<Watcher>,
    watch: Arc<Watch>,
}

impl std::ops::Deref for Subscription {
    type Target = Watcher;

    fn deref(&self) -> &Watcher {
        &self.watcher
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watchers = self.watch.watchers.lock();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.watch.refresh(&watchers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffered(subscription: &Subscription) -> (String, u64) {
        let buffer = subscription.watcher.buffer.lock();
        (String::from_utf8(buffer.lines.clone()).unwrap(), buffer.skipped)
    }

    #[test]
    fn lines_go_to_those_who_watch_the_stream() {
        let watch = Arc::new(Watch::new(10_000));
        assert!(!watch.wants(WatchFlags::FETCHERS));
        let fetchers = watch.add(WatchFlags::FETCHERS).unwrap();
        let deletions = watch.add(WatchFlags::DELETIONS).unwrap();
        assert!(watch.wants(WatchFlags::FETCHERS));
        assert!(!watch.wants(WatchFlags::EVICTIONS));
        watch.fetched(b"a b", "found", 3, 7);
        let (lines, _) = buffered(&fetchers);
        assert!(lines.starts_with("ts="), "{lines}");
        assert!(
            lines.ends_with(" gid=1 type=item_get key=a%20b status=found clsid=1 cfd=7 size=3\n"),
            "{lines}"
        );
        assert_eq!(buffered(&deletions).0, "");
        drop(fetchers);
        assert!(!watch.wants(WatchFlags::FETCHERS));
    }

    #[test]
    fn a_slow_watcher_loses_lines_and_the_loss_is_counted() {
        let watch = Arc::new(Watch::new(200));
        let slow = watch.add(WatchFlags::DELETIONS).unwrap();
        for _ in 0..10 {
            watch.deleted(b"key", "delete", 1);
        }
        let (lines, skipped) = buffered(&slow);
        assert!(lines.len() <= 200);
        assert_eq!(lines.lines().count() as u64 + skipped, 10);
        assert_eq!(watch.figures().1, skipped);
    }

    #[test]
    fn the_number_of_watchers_is_bounded() {
        let watch = Arc::new(Watch::new(1));
        let all: Vec<_> =
            (0..MAX_WATCHERS).map(|_| watch.add(WatchFlags::FETCHERS).unwrap()).collect();
        assert!(watch.add(WatchFlags::FETCHERS).is_none());
        drop(all);
        assert!(watch.add(WatchFlags::FETCHERS).is_some());
    }
}
