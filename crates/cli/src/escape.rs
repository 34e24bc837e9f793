//! Text of nodes, safe to print.
//!
//! A node's words reach terminals, logs and pagers. [`printable`] is the one place that decides what
//! may pass: every character that shows as itself. Control characters, C1 and DEL among them, and
//! characters that are invisible or change the direction of writing are printed as `\u{..}`. Output
//! as JSON escapes the same characters as JSON does (see `output`), so nothing is lost there.

use std::borrow::Cow;

/// Longest text of a node within a sentence, in characters.
const MAX_WORDS: usize = 400;

/// Whether a character may be printed as it is.
pub(crate) fn is_plain(char: char) -> bool {
    match char {
        ' '..='~' => true,
        // The standard library knows what is printable in Unicode.
        char => char.escape_debug().len() == 1,
    }
}

/// The text, with everything escaped that could steer a terminal or mislead a reader.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_plain(char) {
            shown.push(char);
        } else {
            shown.extend(char.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// [`printable`] text of bounded length, for a sentence.
pub(crate) fn words(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(printable("a\u{1b}[31m\r\n\t\u{7f}"), "a\\u{1b}[31m\\u{d}\\u{a}\\u{9}\\u{7f}");
        // C1: one character that a terminal may take for ESC [.
        assert_eq!(printable("\u{9b}2J\u{80}"), "\\u{9b}2J\\u{80}");
        // Direction, joiners, line separators, byte order mark, tags.
        for char in ['\u{202e}', '\u{2066}', '\u{200d}', '\u{2028}', '\u{feff}', '\u{e0041}'] {
            assert!(printable(&char.to_string()).starts_with("\\u{"), "{char:?}");
        }
        for control in (0..=0x1f).chain(0x7f..=0x9f).filter_map(char::from_u32) {
            assert!(!is_plain(control), "{control:?}");
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "it's \"so\" \\ 100%", "Zürich, 東京", "-"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn words_are_bounded() {
        assert_eq!(words("short"), "short");
        assert_eq!(words(&"é".repeat(1000)).chars().count(), MAX_WORDS + 3);
        // Escaped after it was cut: at most ten characters for each.
        assert!(words(&"\u{e0041}".repeat(1000)).len() <= MAX_WORDS * 10 + 3);
    }
}
