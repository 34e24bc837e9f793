//! Formats values: as bytes for programs, as text for people.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::escape::{lines, printable};

/// A value for a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Text without escape sequences, with a final line break.
    pub(super) text: String,
    /// Whether any bytes are shown as escapes.
    pub(super) escaped: bool,
}

/// A value that is safe to show on a terminal: characters that could control it or mislead the reader are
/// escaped as `\u{1b}`, and invalid UTF-8 as `\xff`.
pub(super) fn for_terminal(value: &[u8]) -> Shown {
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
    Shown { text, escaped }
}

/// A value or a key in JSON: as text if it is valid UTF-8, else in base64.
pub(super) fn for_json(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| STANDARD.encode(bytes))
}

/// A key for people.
pub(super) fn key(key: &[u8]) -> String {
    printable(&String::from_utf8_lossy(key)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_could_steer_it() {
        let shown = |value: &[u8]| {
            let Shown { text, escaped } = for_terminal(value);
            (text, escaped)
        };
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
