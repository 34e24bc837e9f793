//! Words in shell syntax, for commands that people are asked to type.

use std::borrow::Cow;

/// A word as POSIX shells read it: unchanged if that is safe, else in single quotes.
///
/// ```
/// use ringbinder_ring::shell::quoted;
///
/// assert_eq!(quoted("target/debug/ringbinder"), "target/debug/ringbinder");
/// assert_eq!(quoted("my rings/it's.toml"), r"'my rings/it'\''s.toml'");
/// ```
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
    }
}
