//! Per-prefix statistics: `stats detail on`, `dump`, `off`, and `-D`.
//!
//! The prefix of a key is the part before the delimiter. A client that sends endless new prefixes
//! must not use up the memory, so their number is bounded and later ones are not recorded.
//!
//! A key in base64 may hold any byte, so prefixes are written in the same form as keys in other
//! dumps.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use ringbinder_protocol::answer;

use crate::net::output::PIECE;

/// The most prefixes that are recorded.
pub(crate) const MAX_PREFIXES: usize = 10_000;

#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// The prefixes, in the order in which they were first seen.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(Arc<[u8]>, Figures)>,
    places: HashMap<Arc<[u8]>, usize>,
    /// Requests for keys whose prefix was not recorded for lack of room.
    unrecorded: u64,
}

/// The fill level of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The number of recorded prefixes, at most [`MAX_PREFIXES`].
    pub(crate) prefixes: usize,
    /// Requests for keys whose prefix was not recorded for lack of room.
    pub(crate) unrecorded: u64,
}

/// The events on keys of each prefix while recording was on.
#[derive(Debug)]
pub(crate) struct Prefixes {
    enabled: AtomicBool,
    delimiter: u8,
    table: Mutex<Table>,
}

impl Prefixes {
    pub(crate) fn new(delimiter: u8, enabled: bool) -> Self {
        Prefixes { enabled: AtomicBool::new(enabled), delimiter, table: Mutex::default() }
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
        let Some(end) = memchr::memchr(self.delimiter, key) else { return };
        let prefix = &key[..end];
        let mut guard = self.table.lock();
        let table = &mut *guard;
        if let Some(&place) = table.places.get(prefix) {
            record(&mut table.rows[place].1);
        } else if table.rows.len() < MAX_PREFIXES {
            let prefix: Arc<[u8]> = prefix.into();
            let mut figures = Figures::default();
            record(&mut figures);
            table.places.insert(Arc::clone(&prefix), table.rows.len());
            table.rows.push((prefix, figures));
        } else {
            table.unrecorded += 1;
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
        *self.table.lock() = Table::default();
    }

    pub(crate) fn recorded(&self) -> Recorded {
        let table = self.table.lock();
        Recorded { prefixes: table.rows.len(), unrecorded: table.unrecorded }
    }

    /// Appends a piece of `PREFIX name get 1 hit 1 set 1 del 0` lines, from index `written` on, and
    /// `END` after the last one. Returns whether another piece follows.
    pub(crate) fn dump(&self, written: &mut usize, out: &mut Vec<u8>) -> bool {
        let table = self.table.lock();
        let begins = out.len();
        for (prefix, Figures { gets, hits, sets, deletes }) in table.rows.iter().skip(*written) {
            if out.len() - begins >= PIECE {
                return true;
            }
            out.extend_from_slice(b"PREFIX ");
            answer::uri_encode(out, prefix);
            // Writing to a vector cannot fail.
            let _ = write!(out, " get {gets} hit {hits} set {sets} del {deletes}\r\n");
            *written += 1;
        }
        answer::line(out, "END");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(prefixes: &Prefixes) -> Vec<u8> {
        let (mut written, mut out) = (0, Vec::new());
        while prefixes.dump(&mut written, &mut out) {}
        out
    }

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
        assert_eq!(whole(&prefixes), b"PREFIX user get 2 hit 1 set 1 del 1\r\nEND\r\n");
        prefixes.reset();
        assert_eq!(whole(&prefixes), b"END\r\n");
    }

    #[test]
    fn no_byte_of_a_prefix_is_written_as_it_is_unless_it_is_harmless() {
        let prefixes = Prefixes::new(b':', true);
        prefixes.set(b"a\r\nEND\r\n\x1b[2J:x");
        let text = b"PREFIX a%0D%0AEND%0D%0A%1B%5B2J get 0 hit 0 set 1 del 0\r\nEND\r\n";
        assert_eq!(whole(&prefixes), text);
    }

    #[test]
    fn the_number_of_prefixes_is_bounded() {
        let prefixes = Prefixes::new(b':', true);
        for number in 0..MAX_PREFIXES + 10 {
            prefixes.set(format!("{number}:x").as_bytes());
        }
        assert_eq!(prefixes.recorded(), Recorded { prefixes: MAX_PREFIXES, unrecorded: 10 });
    }

    #[test]
    fn a_dump_comes_in_pieces_of_bounded_length() {
        let prefixes = Prefixes::new(b':', true);
        for number in 0..MAX_PREFIXES {
            prefixes.set(format!("{number:0240}:x").as_bytes());
        }
        let (mut written, mut out, mut lines) = (0, Vec::new(), 0);
        loop {
            let goes_on = prefixes.dump(&mut written, &mut out);
            assert!(out.len() < PIECE + 1_000, "{}", out.len());
            lines += out.iter().filter(|&&byte| byte == b'\n').count();
            out.clear();
            if !goes_on {
                break;
            }
        }
        assert_eq!(lines, MAX_PREFIXES + 1);
    }
}
