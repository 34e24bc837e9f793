//! A minimal DER (X.690) parser, sufficient to recognise kinds of keys and to read some fields of a
//! certificate. This module decides no question of trust.

/// Tags as encoded.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_ID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[1]` and `[2]`, primitive.
    pub(crate) const CONTEXT_1: u8 = 0x81;
    pub(crate) const CONTEXT_2: u8 = 0x82;
    /// `[0]` and `[3]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    pub(crate) const CONTEXT_3: u8 = 0xa3;
}

/// A reader of successive elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// Its tag.
    pub(crate) tag: u8,
    /// Its content.
    pub(crate) content: &'a [u8],
    /// The whole encoding, tag and length included.
    pub(crate) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether no bytes are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next element. `None` at the end, or if the next element is incomplete.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Element { tag, content, whole })
    }

    /// Reads the next element if it has this tag. Otherwise it stays the next element.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// Returns a reader for the content of the next element, if that is a sequence.
    pub(crate) fn sequence(&mut self) -> Option<Reader<'a>> {
        self.take(tag::SEQUENCE).map(|element| Reader(element.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_whole_or_none() {
        let mut reader = Reader::new(&[0x02, 1, 7, 0x30, 0x81, 2, 0x05, 0]);
        assert!(reader.take(tag::SEQUENCE).is_none());
        assert_eq!(reader.take(tag::INTEGER).unwrap().content, [7]);
        let sequence = reader.next().unwrap();
        assert_eq!((sequence.content, sequence.whole.len()), (&[0x05, 0][..], 5));
        assert!(reader.next().is_none());
        for torn in [&[][..], &[0x30], &[0x30, 2, 0], &[0x30, 0x80, 0, 0], &[0x30, 0x84, 1, 2]] {
            assert!(Reader::new(torn).next().is_none(), "{torn:?}");
        }
        let longest = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0];
        assert!(Reader::new(&longest).next().is_none());
    }
}
