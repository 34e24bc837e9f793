//! Finds the end of a word, eight bytes at a time.
//!
//! Words on the hot path have some tens of bytes. For these, starting a vectorised search costs
//! more than the search itself.

const LANES: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The byte in every lane.
const fn splat(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Marks lanes that are zero. The lowest mark is exact; a lane above a zero one may be marked
/// without being zero.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Marks lanes below `limit`, at most 128, with the same restriction.
#[inline]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(splat(limit)) & !word & HIGHS
}

/// Offset of the first byte that `mark` marks in its lane, or, in the remainder, for which `byte`
/// is true.
#[inline]
fn find(bytes: &[u8], mark: impl Fn(u64) -> u64, byte: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<LANES>() {
        let marks = mark(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += LANES;
        rest = behind;
    }
    at + rest.iter().position(|&one| byte(one)).unwrap_or(rest.len())
}

/// Length of the run of bytes at the front that are valid in a key.
#[inline]
pub(crate) fn key_len(bytes: &[u8]) -> usize {
    find(bytes, |word| below(word, 0x21) | zeros(word ^ splat(0x7f)), |byte| !in_key(byte))
}

/// Length of the run of bytes at the front that are not spaces.
#[inline]
pub(crate) fn word_len(bytes: &[u8]) -> usize {
    find(bytes, |word| zeros(word ^ splat(b' ')), |byte| byte == b' ')
}

/// Whether a byte is valid in a key.
#[inline]
pub(crate) const fn in_key(byte: u8) -> bool {
    byte > 0x20 && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_in_every_lane() {
        for byte in 0..=u8::MAX {
            for neighbour in [b'a', 0x80, 0xff, 0x21] {
                for at in 0..20 {
                    let mut bytes = [neighbour; 20];
                    bytes[at] = byte;
                    let key = if in_key(byte) { bytes.len() } else { at };
                    assert_eq!(key_len(&bytes), key, "{byte} at {at} among {neighbour}");
                    let word = if byte == b' ' { at } else { bytes.len() };
                    assert_eq!(word_len(&bytes), word, "{byte} at {at} among {neighbour}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_ends_the_run() {
        assert_eq!(key_len(b"abc\r\n   \x7f\x00abcdef"), 3);
        assert_eq!(word_len(b"abcdefghij  klm"), 10);
        assert_eq!((key_len(b""), word_len(b"")), (0, 0));
    }
}
