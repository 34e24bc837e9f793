//! Text in SVG.

/// Escapes the characters that XML reserves. Characters that XML does not permit become U+FFFD.
pub(super) fn escape(text: &str) -> String {
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

/// Shortens a text to this number of characters. The middle is cut, since names tend to differ at both ends.
pub(super) fn cut(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let head = most.saturating_sub(1).div_ceil(2);
    let tail = most.saturating_sub(1) - head;
    let head: String = characters[..head].iter().collect();
    let tail: String = characters[characters.len() - tail..].iter().collect();
    format!("{head}\u{2026}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_would_take_for_itself_is_escaped() {
        assert_eq!(escape("a<b>&\"c\u{7}"), "a&lt;b&gt;&amp;&quot;c\u{fffd}");
    }

    #[test]
    fn the_middle_of_a_long_text_goes() {
        assert_eq!(cut("cache-1", 7), "cache-1");
        assert_eq!(cut("cache-rack7-12", 9), "cach\u{2026}7-12");
        assert_eq!(cut("abc", 1), "\u{2026}");
    }
}
