//! Per-prefix statistics: `stats detail on`, `dump`, `off`, and `-D`.
//!
//! The prefix of a key is what stands before the delimiter. A client that sends endless new
//! prefixes must not eat the memory, so their number is bounded and later ones are not recorded.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// Most prefixes recorded.
const MAX_PREFIXES: usize = 10_000;

#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// What happened to keys of each prefix while recording was on.
#[derive(Debug)]
pub(crate) struct Prefixes {
    enabled: AtomicBool,
    delimiter: u8,
    figures: Mutex<HashMap<Box<[u8]>, Figures>>,
}

impl Prefixes {
    pub(crate) fn new(delimiter: u8, enabled: bool) -> Self {
        Prefixes { enabled: AtomicBool::new(enabled), delimiter, figures: Mutex::default() }
    }

    pub(crate) fn enable(&self, on: bool) {
        self.enabled.store(on, Relaxed);
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    #[inline]
    fn record(&self, key: &[u8], record: impl FnOnce(&mut Figures)) {
        if self.is_enabled() {
            self.enter(key, record);
        }
    }

    #[cold]
    fn enter(&self, key: &[u8], record: impl FnOnce(&mut Figures)) {
        let Some(end) = memchr::memchr(self.delimiter, key) else {
            return;
        };
        let mut figures = self.figures.lock();
        if let Some(known) = figures.get_mut(&key[..end]) {
            record(known);
        } else if figures.len() < MAX_PREFIXES {
            record(figures.entry(key[..end].into()).or_default());
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8], hit: bool) {
        self.record(key, |figures| {
            figures.gets += 1;
            figures.hits += u64::from(hit);
        });
    }

    #[inline]
    pub(crate) fn set(&self, key: &[u8]) {
        self.record(key, |figures| figures.sets += 1);
    }

    #[inline]
    pub(crate) fn delete(&self, key: &[u8]) {
        self.record(key, |figures| figures.deletes += 1);
    }

    pub(crate) fn reset(&self) {
        self.figures.lock().clear();
    }

    /// Appends `PREFIX name get 1 hit 1 set 1 del 0` lines and `END`.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        for (prefix, Figures { gets, hits, sets, deletes }) in self.figures.lock().iter() {
            out.extend_from_slice(b"PREFIX ");
            out.extend_from_slice(prefix);
            // Writing to a vector cannot fail.
            let _ = write!(out, " get {gets} hit {hits} set {sets} del {deletes}\r\n");
        }
        out.extend_from_slice(b"END\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_by_prefix_while_enabled() {
        let prefixes = Prefixes::new(b':', false);
        prefixes.set(b"user:1");
        prefixes.enable(true);
        prefixes.set(b"user:1");
        prefixes.get(b"user:1", true);
        prefixes.get(b"user:2", false);
        prefixes.delete(b"user:1");
        prefixes.get(b"plain", true);
        let mut out = Vec::new();
        prefixes.dump(&mut out);
        assert_eq!(out, b"PREFIX user get 2 hit 1 set 1 del 1\r\nEND\r\n");
    }

    #[test]
    fn the_number_of_prefixes_is_bounded() {
        let prefixes = Prefixes::new(b':', true);
        for number in 0..MAX_PREFIXES + 10 {
            prefixes.set(format!("{number}:x").as_bytes());
        }
        assert_eq!(prefixes.figures.lock().len(), MAX_PREFIXES);
    }
}
