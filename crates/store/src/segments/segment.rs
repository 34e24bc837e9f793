//! A segment: records one behind the other, in the order in which they came.
//!
//! Records are appended at its end while it is open, and changed where they lie where that needs no
//! more room. What is removed or moved is marked dead and its room is lost until the whole segment is
//! given up, or its living records are moved together with a neighbour's.

use super::epochs::Epoch;
use super::record::{Draft, Record};
use crate::{Cas, Expiry, Seconds};

/// Which of the two queues a segment stands in, see [`super::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// What came lately and has yet to prove its use.
    Probation = 0,
    /// What was asked for again.
    Main = 1,
}

impl Queue {
    pub(super) const BOTH: [Queue; 2] = [Queue::Probation, Queue::Main];
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) data: Vec<u8>,
    pub(super) queue: Queue,
    /// When its first records came, on the scale of all segments ever opened.
    pub(super) birth: u64,
    pub(super) epoch: Epoch,
    /// Tells it from every other segment there ever was.
    pub(super) serial: u64,
    /// The CAS unique that those of its records are told from.
    pub(super) cas_base: Cas,
    /// Its living records, and their bytes.
    pub(super) live: u32,
    pub(super) live_bytes: u32,
    /// What its living records' values of their own are charged.
    pub(super) apart: u64,
    /// No record expires before this second; the end of time where none does.
    pub(super) soonest: Seconds,
}

impl Segment {
    pub(super) fn new(
        data: Vec<u8>,
        queue: Queue,
        birth: u64,
        epoch: Epoch,
        serial: u64,
        cas_base: Cas,
    ) -> Segment {
        Segment {
            data,
            queue,
            birth,
            epoch,
            serial,
            cas_base,
            live: 0,
            live_bytes: 0,
            apart: 0,
            soonest: Seconds::MAX,
        }
    }

    /// Bytes it holds in memory.
    pub(super) fn weight(&self) -> u64 {
        self.data.capacity() as u64 + self.apart
    }

    /// Bytes of records that are dead.
    pub(super) fn garbage(&self) -> u64 {
        self.data.len() as u64 - u64::from(self.live_bytes)
    }

    /// Appends a record and returns where it begins. There is room for it.
    #[inline]
    pub(super) fn append(&mut self, draft: &Draft<'_>, apart: u64) -> usize {
        let at = self.data.len();
        let data = &mut self.data;
        draft.write(self.cas_base, |bytes| data.extend_from_slice(bytes));
        self.count(self.data.len() - at, apart);
        self.note_expiry(draft.meta.expiry);
        at
    }

    /// Writes a record over the one at `at`, which is at least as long, and fills what is left.
    pub(super) fn overwrite(&mut self, at: usize, old_len: usize, draft: &Draft<'_>) {
        let mut end = at;
        let data = &mut self.data;
        draft.write(self.cas_base, |bytes| {
            data[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        });
        data[end..at + old_len].fill(0);
        self.discount(old_len, 0);
        self.count(end - at, 0);
        self.note_expiry(draft.meta.expiry);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a segment has less than 2^32 bytes")]
    fn count(&mut self, len: usize, apart: u64) {
        self.live += 1;
        self.live_bytes += len as u32;
        self.apart += apart;
    }

    #[expect(clippy::cast_possible_truncation, reason = "a segment has less than 2^32 bytes")]
    fn discount(&mut self, len: usize, apart: u64) {
        self.live -= 1;
        self.live_bytes -= len as u32;
        self.apart -= apart;
    }

    /// Marks a record dead whose value of its own, if any, was charged `apart`.
    pub(super) fn kill(&mut self, record: &mut Record, apart: u64) {
        record.kill(&mut self.data);
        self.discount(record.len(), apart);
    }

    pub(super) fn note_expiry(&mut self, expiry: Expiry) {
        if let Some(at) = expiry.unix() {
            self.soonest = self.soonest.min(at);
        }
    }

    /// The first living record at or behind `at`, and where it begins.
    #[inline]
    pub(super) fn next_living(&self, mut at: usize) -> Option<(usize, Record)> {
        while at < self.data.len() {
            match Record::read(&self.data, at) {
                None => at += 1,
                Some(record) if record.is_dead() => at += record.len(),
                Some(record) => return Some((at, record)),
            }
        }
        None
    }

    /// All living records, and where they begin.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, Record)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let (at, record) = self.next_living(from)?;
            from = at + record.len();
            Some((at, record))
        })
    }
}
