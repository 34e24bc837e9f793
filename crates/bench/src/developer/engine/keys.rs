//! Keys and values, which are generated before the clock starts.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Bytes of a key.
pub(super) const KEY: usize = 14;

/// The key for a number: hexadecimal digits that do not resemble those of neighbouring numbers.
pub(super) fn key(number: u64) -> [u8; KEY] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // An odd factor and a shift are invertible: two numbers below 2^56 never have the same key.
    let mixed = number.wrapping_mul(0x009e_3779_b97f_4a7d) & ((1 << 56) - 1);
    let mut rest = mixed ^ mixed >> 29;
    [(); KEY].map(|()| {
        let digit = DIGITS[usize::try_from(rest & 15).unwrap_or(0)];
        rest >>= 4;
        digit
    })
}

/// The keys of all numbers below `count`, in an order that depends on `seed`.
pub(super) fn shuffled(count: u64, seed: u64) -> Vec<[u8; KEY]> {
    let mut keys: Vec<_> = (0..count).map(key).collect();
    keys.shuffle(&mut StdRng::seed_from_u64(seed));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_key_of_its_own() {
        let keys = shuffled(100_000, 1);
        assert_ne!(keys[..100], shuffled(100_000, 2)[..100]);
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), 100_000);
        assert!(keys.iter().flatten().all(u8::is_ascii_hexdigit));
    }
}
