//! A segment: records one after the other, in their order of arrival.
//!
//! Records are appended to an open segment, and changed in place if that needs no more room.
//! Removed and moved records are marked dead. Their room is lost until the whole segment is
//! evicted, or its living records are moved together with a neighbour's.

use super::table::State;
use crate::epochs::Epoch;
use crate::log::record::{NewRecord, Record};
use crate::{Cas, Expiry, Seconds};

/// The queue of a segment, see [`crate::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// For new items, which have yet to prove useful.
    Probation = 0,
    /// For items that were read again.
    Main = 1,
}

impl Queue {
    pub(crate) const BOTH: [Queue; 2] = [Queue::Probation, Queue::Main];
}

/// A segment. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) data: Vec<u8>,
    pub(crate) queue: Queue,
    /// Only [`super::table`] changes it.
    pub(super) state: State,
    /// Time of its first records, as a count of all segments ever opened.
    pub(crate) birth: u64,
    pub(crate) epoch: Epoch,
    /// Identifies the segment among all that ever existed.
    pub(crate) serial: u64,
    /// The CAS unique from which the distances of its records count.
    pub(crate) cas_base: Cas,
    /// Number of living records, and their bytes.
    pub(crate) live: u32,
    pub(crate) live_bytes: u32,
    /// Bytes charged for the large values of its living records.
    pub(crate) large: u64,
    /// No record expires before this second; the maximum if none expires.
    pub(crate) soonest: Seconds,
}

impl Segment {
    pub(crate) fn new(
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
            state: State::Open,
            birth,
            epoch,
            serial,
            cas_base,
            live: 0,
            live_bytes: 0,
            large: 0,
            soonest: Seconds::MAX,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Bytes of memory that the segment holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.data.capacity() as u64 + self.large
    }

    /// Bytes of dead records.
    pub(crate) fn garbage(&self) -> u64 {
        self.data.len() as u64 - u64::from(self.live_bytes)
    }

    /// Appends a record and returns its offset. The caller has made sure of the room.
    #[inline]
    pub(crate) fn append(&mut self, new: &NewRecord<'_>, large: u64) -> usize {
        let at = self.data.len();
        let data = &mut self.data;
        new.write(self.cas_base, |bytes| data.extend_from_slice(bytes));
        self.count(self.data.len() - at, large);
        self.note_expiry(new.meta.expiry);
        at
    }

    /// Writes a record over the one at `at`, which is at least as long, and fills the remaining
    /// bytes.
    pub(crate) fn overwrite(&mut self, at: usize, old_len: usize, new: &NewRecord<'_>) {
        let mut end = at;
        let data = &mut self.data;
        new.write(self.cas_base, |bytes| {
            data[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        });
        data[end..at + old_len].fill(0);
        self.discount(old_len, 0);
        self.count(end - at, 0);
        self.note_expiry(new.meta.expiry);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a segment has less than 2^32 bytes")]
    fn count(&mut self, len: usize, large: u64) {
        self.live += 1;
        self.live_bytes += len as u32;
        self.large += large;
    }

    #[expect(clippy::cast_possible_truncation, reason = "a segment has less than 2^32 bytes")]
    fn discount(&mut self, len: usize, large: u64) {
        self.live -= 1;
        self.live_bytes -= len as u32;
        self.large -= large;
    }

    /// Marks a record dead; its large value, if any, was charged `large`.
    pub(crate) fn kill(&mut self, record: &mut Record, large: u64) {
        record.kill(&mut self.data);
        self.discount(record.len(), large);
    }

    pub(crate) fn note_expiry(&mut self, expiry: Expiry) {
        if let Some(at) = expiry.unix() {
            self.soonest = self.soonest.min(at);
        }
    }

    /// The first living record at or after `at`, and its offset.
    #[inline]
    pub(crate) fn next_living(&self, mut at: usize) -> Option<(usize, Record)> {
        while at < self.data.len() {
            match Record::read(&self.data, at) {
                None => at += 1,
                Some(record) if record.is_dead() => at += record.len(),
                Some(record) => return Some((at, record)),
            }
        }
        None
    }

    /// All living records with their offsets.
    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, Record)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let (at, record) = self.next_living(from)?;
            from = at + record.len();
            Some((at, record))
        })
    }
}
