//! Checks of keys by memcached's rules.

use crate::error::CliError;

/// Longest key, in bytes: memcached's `KEY_MAX_LENGTH`.
pub(crate) const MAX_KEY: usize = 250;

/// Most bytes of a line that are read: enough to see that it is not a key.
pub(crate) const MAX_LINE: u64 = MAX_KEY as u64 + 3;

/// Checks a key before it is sent or placed. `place` names the place where it was written.
///
/// # Errors
/// If the key is empty, longer than [`MAX_KEY`], or contains a space or a control character.
pub(crate) fn check(key: &[u8], place: impl Fn() -> String) -> Result<(), CliError> {
    let reason = if key.is_empty() {
        "an empty key; a key has at least one byte".to_owned()
    } else if key.len() > MAX_KEY {
        let start = String::from_utf8_lossy(&key[..24.min(key.len())]).into_owned();
        format!(
            "the key {start:?}... is longer than {MAX_KEY} bytes, the most that memcached takes"
        )
    } else if let Some(byte) = key.iter().find(|&&byte| byte <= b' ' || byte == 0x7f) {
        format!(
            "the key {:?} has {}; memcached takes neither spaces nor control characters",
            String::from_utf8_lossy(key),
            if *byte == b' ' { "a space" } else { "a control character" }
        )
    } else {
        return Ok(());
    };
    Err(CliError::Key { place: place(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_memcached_takes() {
        let good = |key: &[u8]| check(key, || "key 1".into()).is_ok();
        assert!(good(b"a"));
        assert!(good("schl\u{fc}ssel".as_bytes()));
        assert!(good(&[0xff; MAX_KEY]));
        for bad in [&b""[..], b"a b", b"a\n", b"\x00", b"\x7f", &[b'a'; MAX_KEY + 1]] {
            assert!(!good(bad), "{bad:?}");
        }
    }
}
