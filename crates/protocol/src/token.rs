//! Words of a request line: runs of bytes between spaces.

use crate::scan::word_len;

/// The words left in a line. Several spaces count as one; leading and trailing spaces are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// The words of a line without its line end.
    pub fn new(line: &'a [u8]) -> Self {
        Tokens { rest: line }
    }

    /// The last word, if any.
    pub fn last_word(self) -> Option<&'a [u8]> {
        let end = self.rest.iter().rposition(|&byte| byte != b' ')? + 1;
        let start = self.rest[..end].iter().rposition(|&byte| byte == b' ').map_or(0, |at| at + 1);
        Some(&self.rest[start..end])
    }

    /// Whether the client wants no answer, in the form of the classic commands.
    pub(crate) fn ends_in_noreply(self) -> bool {
        self.last_word() == Some(b"noreply")
    }

    /// The line from the next word on, as a whole.
    pub fn remainder(self) -> &'a [u8] {
        self.rest
    }

    /// Whether no word is left.
    pub fn is_exhausted(self) -> bool {
        self.rest.iter().all(|&byte| byte == b' ')
    }

    /// The next words if there are exactly `N`, else `None`.
    pub fn exactly<const N: usize>(mut self) -> Option<[&'a [u8]; N]> {
        let mut words = [&b""[..]; N];
        for word in &mut words {
            *word = self.next()?;
        }
        self.is_exhausted().then_some(words)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let mut rest = self.rest;
        while let [b' ', behind @ ..] = rest {
            rest = behind;
        }
        if rest.is_empty() {
            return None;
        }
        let (word, rest) = rest.split_at(word_len(rest));
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Vec<&[u8]> {
        Tokens::new(line).collect()
    }

    #[test]
    fn spaces_separate_and_never_make_empty_words() {
        assert_eq!(words(b"get a b"), [&b"get"[..], b"a", b"b"]);
        assert_eq!(words(b"  get   a  "), [&b"get"[..], b"a"]);
        assert!(words(b"   ").is_empty());
        assert!(words(b"").is_empty());
    }

    #[test]
    fn last_word_ignores_spaces_behind_it() {
        assert_eq!(Tokens::new(b"set a noreply  ").last_word(), Some(&b"noreply"[..]));
        assert_eq!(Tokens::new(b"one").last_word(), Some(&b"one"[..]));
        assert_eq!(Tokens::new(b"  ").last_word(), None);
    }

    #[test]
    fn exactly_takes_neither_more_nor_fewer() {
        assert_eq!(Tokens::new(b"a b ").exactly::<2>(), Some([&b"a"[..], b"b"]));
        assert_eq!(Tokens::new(b"a b c").exactly::<2>(), None);
        assert_eq!(Tokens::new(b"a").exactly::<2>(), None);
    }
}
