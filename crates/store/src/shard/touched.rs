//! The keys used while items of a snapshot are restored: see `crate::engine::restore`.

use super::Hash;
use super::Shard;

/// The used keys of a shard: a set of bits, each shared by many keys.
#[derive(Debug)]
pub(crate) struct TouchedKeys {
    bits: Box<[u64]>,
    mask: u32,
}

impl TouchedKeys {
    /// A set of at least `bits` bits.
    pub(crate) fn new(bits: u64) -> TouchedKeys {
        let bits = bits.clamp(64, 1 << 32).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(1);
        TouchedKeys {
            bits: vec![0; words].into(),
            mask: u32::try_from(bits - 1).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.bits)
    }

    fn position(&self, hash: Hash) -> (usize, u64) {
        let bit = hash.tag() & self.mask;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    #[cold]
    pub(crate) fn set(&mut self, hash: Hash) {
        let (word, bit) = self.position(hash);
        self.bits[word] |= bit;
    }

    pub(crate) fn has(&self, hash: Hash) -> bool {
        let (word, bit) = self.position(hash);
        self.bits[word] & bit != 0
    }
}

impl Shard {
    /// Records, during a restore, that a key was used.
    #[inline]
    pub(crate) fn note_touched(&mut self, hash: Hash) {
        if let Some(touched) = &mut self.touched {
            touched.set(hash);
        }
    }
}
