//! Makes untrusted text safe to print.
//!
//! Text from nodes, peers and files reaches terminals, logs and pagers. This is the only place that
//! decides which characters may pass: those that show as themselves. Control characters, including
//! C1 and DEL, and characters that are invisible or change the writing direction are printed as
//! `\u{..}`.

use std::borrow::Cow;

/// Longest untrusted text in a sentence, in characters.
const MAX_WORDS: usize = 400;

/// The beginning of our own escape sequences (ECMA-48, 8.3.16).
const CSI: &str = "\u{1b}[";

/// Whether a character may be printed unescaped.
pub fn is_plain(char: char) -> bool {
    match char {
        ' '..='~' => true,
        // The standard library knows what is printable in Unicode.
        char => char.escape_debug().len() == 1,
    }
}

/// The text, with every character escaped that could control a terminal or mislead a reader.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |char| !is_plain(char))
}

/// As [`printable`], but keeps line ends and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |char| !is_plain(char) && !matches!(char, '\n' | '\t'))
}

/// [`printable`] text of bounded length, for a sentence.
pub fn words(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

/// As [`lines`], but keeps colours and weights (`ESC [ ... m`): for our own styled text, just
/// before it is printed. Foreign text in it should already be [`printable`]; this catches any that
/// is not.
pub fn styled(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((plain, styles)) = rest.split_once(CSI) {
        shown.push_str(&lines(plain));
        let len = styles.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
        if styles.as_bytes().get(len) == Some(&b'm') {
            shown.push_str(CSI);
            shown.push_str(&styles[..=len]);
            rest = &styles[len + 1..];
        } else {
            shown.push_str(&printable(CSI));
            rest = styles;
        }
    }
    shown.push_str(&lines(rest));
    Cow::Owned(shown)
}

/// JSON that is safe to show in a terminal. Its meaning does not change: the characters that JSON
/// permits unescaped and a terminal should not get occur only in strings.
pub fn json(json: &str) -> Cow<'_, str> {
    let is_escaped = |char: char| char != '\n' && !is_plain(char);
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if is_escaped(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(char);
        }
    }
    Cow::Owned(text)
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_escaped(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// A text for XML: reserved characters are escaped, and characters that XML does not permit become U+FFFD.
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(printable("a\u{1b}[31m\r\n\t\u{7f}"), "a\\u{1b}[31m\\u{d}\\u{a}\\u{9}\\u{7f}");
        // C1: one character that a terminal may treat as ESC [.
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
        // The text is escaped after it is cut: at most ten characters for each.
        assert!(words(&"\u{e0041}".repeat(1000)).len() <= MAX_WORDS * 10 + 3);
    }

    #[test]
    fn json_means_the_same_and_steers_no_terminal() {
        let text = "{\n  \"gr\u{fc}n\": \"a\u{9b}31m\u{7f}\u{202e}\u{e0041}\\n\"\n}";
        let shown = json(text);
        let escaped = "a\\u009b31m\\u007f\\u202e\\udb40\\udc41\\n";
        assert!(shown.contains(escaped) && shown.contains("gr\u{fc}n"), "{shown}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text));
        assert_eq!(shown.lines().count(), 3);
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(lines("a\tb\nc\r\u{1b}[2J"), "a\tb\nc\\u{d}\\u{1b}[2J");
    }

    #[test]
    fn styles_pass_and_nothing_else_does() {
        let ours = "\u{1b}[1mNODE\u{1b}[0m a\n\u{1b}[38;5;9mx\u{1b}[m";
        assert_eq!(styled(ours), ours);
        assert_eq!(styled("a\u{1b}[2J\u{1b}]0;t\u{7}"), "a\\u{1b}[2J\\u{1b}]0;t\\u{7}");
        assert_eq!(styled("\u{1b}[1\u{1b}[1m\u{9b}1m"), "\\u{1b}[1\u{1b}[1m\\u{9b}1m");
        assert_eq!(styled("\u{1b}["), "\\u{1b}[");
        assert_eq!(styled("\u{202e}\u{1b}"), "\\u{202e}\\u{1b}");
    }
}
