//! How a value is shown: as its bytes where a program reads them, as text where a person does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::escape::{is_plain, printable};

/// A value for a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Text without escape sequences, with a line end after it.
    pub(super) text: String,
    /// Whether bytes were replaced by what stands for them.
    pub(super) escaped: bool,
}

/// A value as a terminal can show it: what could steer the terminal is escaped as `\x1b`.
pub(super) fn for_terminal(value: &[u8]) -> Shown {
    let plain = |text: &String| text.chars().all(|c| is_plain(c) || matches!(c, '\n' | '\t'));
    // A carriage return by itself would have the line overwritten.
    let text = std::str::from_utf8(value).map(|text| text.replace("\r\n", "\n"));
    let text = text.ok().filter(plain);
    let escaped = text.is_none();
    let mut text = text.unwrap_or_else(|| value.escape_ascii().to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Shown { text, escaped }
}

/// A value, or a key, in JSON: as text where it is text, else in base64.
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
        assert_eq!(shown(b"one\rtwo"), ("one\\rtwo\n".into(), true));
        assert_eq!(shown(b""), ("\n".into(), false));
        assert_eq!(shown(b"\x1b[2J"), ("\\x1b[2J\n".into(), true));
        assert_eq!(shown(b"\xff\x00"), ("\\xff\\x00\n".into(), true));
        // What changes the direction of writing.
        assert_eq!(shown("a\u{202e}b".as_bytes()), ("a\\xe2\\x80\\xaeb\n".into(), true));
        // U+009B is an escape sequence's beginning as well.
        assert_eq!(shown("\u{9b}2J".as_bytes()), ("\\xc2\\x9b2J\n".into(), true));
    }

    #[test]
    fn json_has_text_or_base64() {
        assert_eq!(for_json("gr\u{fc}n".as_bytes()), Ok("gr\u{fc}n"));
        assert_eq!(for_json(b"\xff\x00"), Err("/wA=".into()));
    }
}
