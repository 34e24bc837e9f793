//! Keys and values: checks by memcached's rules, keys grouped by owner, and their form for people and programs.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringbinder_protocol::MAX_KEY_LEN;
use ringbinder_ring::Ring;
use serde::Serialize;

use crate::error::CliError;
use crate::escape::{lines, printable};

/// Most bytes of a line that are read: enough to see that it is not a key.
pub(crate) const MAX_LINE: u64 = MAX_KEY_LEN as u64 + 3;

/// Checks a key before it is sent or placed. `place` names the place where it was written.
///
/// # Errors
/// If the key is empty, longer than [`MAX_KEY_LEN`], or contains a space or a control character.
pub(crate) fn check(key: &[u8], place: impl Fn() -> String) -> Result<(), CliError> {
    let reason = if key.is_empty() {
        "the key is empty; a key has at least one byte".to_owned()
    } else if key.len() > MAX_KEY_LEN {
        let start = String::from_utf8_lossy(&key[..24.min(key.len())]).into_owned();
        format!("the key {start:?}... is longer than {MAX_KEY_LEN} bytes, memcached's limit")
    } else if let Some(byte) = key.iter().find(|&&byte| byte <= b' ' || byte == 0x7f) {
        format!(
            "the key {:?} contains {}; memcached accepts neither spaces nor control characters",
            String::from_utf8_lossy(key),
            if *byte == b' ' { "a space" } else { "a control character" }
        )
    } else {
        return Ok(());
    };
    Err(CliError::Key { place: place(), reason })
}

/// Keys of one node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Share<'k> {
    /// Its keys.
    pub(crate) keys: Vec<&'k [u8]>,
    /// The position of each key among all keys.
    pub(crate) places: Vec<usize>,
}

/// The keys of a command line, all of them checked before anything is sent.
///
/// # Errors
/// If a key is invalid.
pub(crate) fn checked(keys: &[OsString]) -> Result<Vec<&[u8]>, CliError> {
    for (place, key) in (1..).zip(keys) {
        check(key.as_bytes(), || format!("key {place}"))?;
    }
    Ok(keys.iter().map(|key| key.as_bytes()).collect())
}

/// Groups keys by the nodes that own them, in the order of the ring.
pub(crate) fn by_owner<'k>(ring: &Ring, keys: &[&'k [u8]]) -> Vec<Share<'k>> {
    let mut shares: Vec<Share<'k>> =
        ring.nodes().iter().map(|_| Share { keys: Vec::new(), places: Vec::new() }).collect();
    for (place, &key) in keys.iter().enumerate() {
        let share = &mut shares[ring.owner(key) as usize];
        share.keys.push(key);
        share.places.push(place);
    }
    shares.retain(|share| !share.keys.is_empty());
    shares
}

/// A value that is safe to show on a terminal: characters that could control it or mislead the reader are
/// escaped as `\u{1b}`, and invalid UTF-8 as `\xff`. The text ends with a line break. The flag of the result
/// is true if anything is escaped.
pub(crate) fn for_terminal(value: &[u8]) -> (String, bool) {
    // A carriage return alone would overwrite the line.
    let text = std::str::from_utf8(value).map(|text| text.replace("\r\n", "\n"));
    let (mut text, escaped) = match text {
        Ok(text) => match lines(&text) {
            Cow::Borrowed(_) => (text, false),
            Cow::Owned(shown) => (shown, true),
        },
        Err(_) => (value.escape_ascii().to_string(), true),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    (text, escaped)
}

/// A value or a key in JSON: as text if it is valid UTF-8, else in base64.
pub(crate) fn for_json(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| STANDARD.encode(bytes))
}

/// A key and its owner in JSON.
#[derive(Default, Serialize)]
pub(crate) struct Owned<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    node: &'a str,
}

impl<'a> Owned<'a> {
    pub(crate) fn new(key: &'a [u8], node: &'a str) -> Owned<'a> {
        let text = for_json(key);
        Owned { key: text.as_ref().ok().copied(), key_base64: text.err(), node }
    }
}

/// A key for people.
pub(crate) fn shown(key: &[u8]) -> String {
    printable(&String::from_utf8_lossy(key)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_memcached_takes() {
        let good = |key: &[u8]| check(key, || "key 1".into()).is_ok();
        assert!(good(b"a"));
        assert!(good("schl\u{fc}ssel".as_bytes()));
        assert!(good(&[0xff; MAX_KEY_LEN]));
        for bad in [&b""[..], b"a b", b"a\n", b"\x00", b"\x7f", &[b'a'; MAX_KEY_LEN + 1]] {
            assert!(!good(bad), "{bad:?}");
        }
    }

    #[test]
    fn nothing_reaches_a_terminal_that_could_steer_it() {
        let shown = for_terminal;
        assert_eq!(shown(b"hello"), ("hello\n".into(), false));
        assert_eq!(shown("gr\u{fc}n\n\tblau\n".as_bytes()), ("gr\u{fc}n\n\tblau\n".into(), false));
        assert_eq!(shown(b"one\r\ntwo\r\n"), ("one\ntwo\n".into(), false));
        assert_eq!(shown(b"one\rtwo"), ("one\\u{d}two\n".into(), true));
        assert_eq!(shown(b""), ("\n".into(), false));
        assert_eq!(shown(b"\x1b[2J"), ("\\u{1b}[2J\n".into(), true));
        assert_eq!(shown(b"\xff\x00"), ("\\xff\\x00\n".into(), true));
        // Characters that change the writing direction.
        assert_eq!(shown("a\u{202e}b".as_bytes()), ("a\\u{202e}b\n".into(), true));
        // U+009B also begins an escape sequence.
        assert_eq!(shown("\u{9b}2J".as_bytes()), ("\\u{9b}2J\n".into(), true));
    }

    #[test]
    fn json_has_text_or_base64() {
        assert_eq!(for_json("gr\u{fc}n".as_bytes()), Ok("gr\u{fc}n"));
        assert_eq!(for_json(b"\xff\x00"), Err("/wA=".into()));
    }
}
