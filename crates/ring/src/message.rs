//! Quotes foreign text in our messages: whatever a ring file holds, a message about it is one short
//! line that cannot disturb a terminal or a log.

use crate::printable::printable;

/// Most characters quoted of one value.
const MAX_VALUE: usize = 80;

/// Most characters quoted of a parser's message.
const MAX_LINE: usize = 400;

/// A value of the file in quotes.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// A parser's message as one line. Lines with a bar quote the input and are dropped; the others say
/// where and what.
pub(crate) fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let kept: Vec<&str> = lines.filter(|line| !line.is_empty() && !quotes(line)).collect();
    let line = kept.join(": ").replace(char::is_control, " ");
    let line = printable(&line);
    match line.char_indices().nth(MAX_LINE) {
        None => line.into_owned(),
        Some((end, _)) => format!("{}...", &line[..end]),
    }
}

/// `3 | name = x`, or a bar alone above and below it.
fn quotes(line: &str) -> bool {
    line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_input_is_left_out_of_the_line() {
        let toml =
            "TOML parse error at line 12, column 8\n   |\n12 | port = \n   |        ^\nno value\n";
        assert_eq!(one_line(toml), "TOML parse error at line 12, column 8: no value");
        assert_eq!(one_line("a|b is\tno key"), "a|b is no key");
        assert_eq!(one_line("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn no_message_is_long() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quoted(&"ä".repeat(80)), format!("\"{}\"", "ä".repeat(80)));
        assert_eq!(quoted(&"ä".repeat(81)), format!("\"{}\"...", "ä".repeat(80)));
        assert_eq!(one_line(&"ä".repeat(400)), "ä".repeat(400));
        assert_eq!(one_line(&"ä".repeat(401)), format!("{}...", "ä".repeat(400)));
    }
}
