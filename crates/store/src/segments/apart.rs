//! Values that live on their own, because they are too large for a segment.
//!
//! A record holds a handle in place of such a value, so it stands in the same queues as every other
//! and leaves when its turn comes. The values are counted references: a socket can be given one
//! without a copy, and one that is being written out outlives its item.

use bytes::Bytes;

/// From this length on a value is lent as a counted reference. Below it a copy costs less than the
/// counting.
pub(super) const SHARED_FROM: usize = 8 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Apart {
    values: Vec<Option<Bytes>>,
    free: Vec<u32>,
    len: usize,
}

impl Apart {
    /// Keeps a value and returns its handle.
    pub(super) fn insert(&mut self, value: Bytes) -> u32 {
        self.len += 1;
        if let Some(handle) = self.free.pop() {
            self.values[handle as usize] = Some(value);
            return handle;
        }
        self.values.push(Some(value));
        // More values than that would be more than any machine's memory.
        u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, handle: u32) -> Option<&Bytes> {
        self.values.get(handle as usize)?.as_ref()
    }

    /// Puts another value under a handle.
    pub(super) fn replace(&mut self, handle: u32, value: Bytes) {
        if let Some(kept) = self.values.get_mut(handle as usize) {
            *kept = Some(value);
        }
    }

    /// Lets go of a value.
    pub(super) fn remove(&mut self, handle: u32) -> Option<Bytes> {
        let value = self.values.get_mut(handle as usize)?.take()?;
        self.len -= 1;
        self.free.push(handle);
        if self.len == 0 {
            *self = Apart::default();
        }
        Some(value)
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// What a value of so many bytes is charged when it lives on its own: what the allocator sets aside
/// for it, its place here, and its reference count.
pub(super) fn charge(len: usize) -> u64 {
    const BOOKKEEPING: usize = 80;
    (rounded(len) + BOOKKEEPING) as u64
}

/// What mimalloc sets aside for an allocation: four sizes for every doubling, and whole 64 KiB slices
/// where it asks the system itself.
fn rounded(size: usize) -> usize {
    const SLICE: usize = 64 * 1024;
    match size {
        0 => 0,
        1..=128 => size.next_multiple_of(16),
        _ if size <= 4 * SLICE => {
            let step = 1 << ((size - 1).ilog2() - 2);
            size.next_multiple_of(step)
        }
        _ => size.next_multiple_of(SLICE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_the_allocators_classes() {
        for (size, class) in [
            (0, 0),
            (128, 128),
            (129, 160),
            (257, 320),
            (1_025, 1_280),
            (4_096, 4_096),
            (50_000, 57_344),
            (65_537, 81_920),
            (1_048_577, 1_114_112),
        ] {
            assert_eq!(rounded(size), class, "{size}");
        }
    }

    #[test]
    fn handles_are_used_again() {
        let mut apart = Apart::default();
        let (one, two) =
            (apart.insert(Bytes::from_static(b"one")), apart.insert(Bytes::from_static(b"two")));
        assert_eq!(apart.remove(one).unwrap(), "one");
        assert!(apart.remove(one).is_none() && apart.get(one).is_none());
        assert_eq!(apart.insert(Bytes::from_static(b"three")), one);
        apart.replace(two, Bytes::from_static(b"other"));
        assert_eq!((apart.get(two).unwrap().as_ref(), apart.len()), (&b"other"[..], 2));
    }
}
