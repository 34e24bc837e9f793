//! Keys: at most 250 bytes, without spaces or control characters. A meta request may send a key in
//! base64, and then it may have any bytes.

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::scan::{in_key, key_len};

/// Longest key in bytes, before and after decoding (`protocol.txt`, "Keys").
pub const MAX_KEY_LEN: usize = 250;

/// Bytes of the longest key in base64.
const MAX_ENCODED_LEN: usize = MAX_KEY_LEN.div_ceil(3) * 4;

/// memcached's decoding: padding is required, stray low bits in the last symbol are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Whether a word is valid as a key. Accepts an empty word, which no request line can contain.
#[inline]
pub fn is_key(word: &[u8]) -> bool {
    word.len() <= MAX_KEY_LEN && key_len(word) == word.len()
}

/// Whether every word of a line is valid as a key, without splitting the line.
pub(crate) fn are_keys(line: &[u8]) -> bool {
    // Spaces between the words are allowed, and every other byte must be valid in a key.
    let foreign = line.iter().fold(false, |bad, &byte| bad | !(in_key(byte) | (byte == b' ')));
    if foreign {
        return false;
    }
    // No run of bytes without a space is longer than a key.
    let mut rest = line;
    while let Some(window) = rest.get(..=MAX_KEY_LEN) {
        let Some(space) = window.iter().rposition(|&byte| byte == b' ') else {
            return false;
        };
        rest = &rest[space + 1..];
    }
    true
}

/// Decodes a base64 key into `into`; `None` if it is empty or not base64.
pub(crate) fn decode_key<'b>(word: &[u8], into: &'b mut [u8; MAX_KEY_LEN]) -> Option<&'b [u8]> {
    // The library needs room for the padding too, so it decodes into a larger buffer first.
    let mut room = [0; MAX_KEY_LEN + 2];
    let len = BASE64.decode_slice(word, &mut room).ok()?;
    if len == 0 || len > MAX_KEY_LEN {
        return None;
    }
    into[..len].copy_from_slice(&room[..len]);
    Some(&into[..len])
}

/// Appends a key in base64.
pub fn encode_key(key: &[u8], out: &mut Vec<u8>) {
    let mut room = [0; MAX_ENCODED_LEN];
    if let Ok(len) = BASE64.encode_slice(key, &mut room) {
        out.extend_from_slice(&room[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_free_of_control_characters() {
        assert!(is_key(&[b'k'; 250]));
        assert!(!is_key(&[b'k'; 251]));
        assert!(is_key("schlüssel".as_bytes()));
        for bad in [&b"a\tb"[..], b"a\0b", b"a\rb", b"a\x7fb", b"a b"] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_line_of_keys_is_judged_like_its_words() {
        let fits = vec![b'k'; MAX_KEY_LEN];
        let over = vec![b'k'; MAX_KEY_LEN + 1];
        let spaces = vec![b' '; 3 * MAX_KEY_LEN];
        let words = [&fits[..], &over, b"a", b"", b"a\tb", b"\x7f", "\u{fc}".as_bytes(), &spaces];
        for first in words {
            for second in words {
                for third in words {
                    let line = [first, second, third].join(&b' ');
                    let each = crate::Tokens::new(&line).all(is_key);
                    assert_eq!(are_keys(&line), each, "{}", line.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn base64_keys_go_there_and_back() {
        for len in 1..=187u8 {
            let key: Vec<u8> = (0..len).collect();
            let mut encoded = Vec::new();
            encode_key(&key, &mut encoded);
            let mut room = [0; MAX_KEY_LEN];
            assert_eq!(decode_key(&encoded, &mut room), Some(&key[..]));
        }
        let mut encoded = Vec::new();
        encode_key(&[0xff; MAX_KEY_LEN], &mut encoded);
        assert_eq!(encoded.len(), MAX_ENCODED_LEN);
    }

    #[test]
    fn what_is_not_base64_is_no_key() {
        let mut room = [0; MAX_KEY_LEN];
        for bad in [&b"a"[..], b"abc", b"====", b"ab!=", b""] {
            assert_eq!(decode_key(bad, &mut room), None, "{bad:?}");
        }
        assert_eq!(decode_key(b"YR==", &mut room), Some(&b"a"[..]));
    }
}
