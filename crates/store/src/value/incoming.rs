//! A value on its way into the store, before any shard is locked. A large value is already cut.

use std::borrow::Cow;

use super::large::Pieces;
use super::{Cutting, Value};
use crate::{LargeValue, Piece};

/// A value to be stored. It owns its pieces until it is stored.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// Short enough for a record.
    Inline(&'a [u8]),
    /// Its pieces, if any, and the bytes after them, which fit a record.
    Large(Pieces, Cow<'a, [u8]>),
}

impl<'a> Incoming<'a> {
    #[inline]
    pub(crate) fn cut(value: &'a [u8], cutting: Cutting<'_>) -> Incoming<'a> {
        if value.len() <= cutting.inline {
            return Incoming::Inline(value);
        }
        let (pieces, rest) = Pieces::cut(value, cutting);
        Incoming::Large(pieces, Cow::Borrowed(rest))
    }

    /// A value that arrived in pieces.
    #[inline(never)]
    pub(crate) fn large(value: LargeValue, cutting: Cutting<'_>) -> Incoming<'a> {
        let mut len = value.len() - value.rest().len();
        let (mut pieces, mut rest) = value.into_parts();
        if rest.len() > cutting.inline {
            // The value was cut for another store.
            let (more, behind) = Pieces::cut(&rest, cutting);
            len += more.len();
            pieces.extend(more.into_vec());
            rest = behind.to_vec();
        }
        Incoming::Large(Pieces::new(pieces, len), Cow::Owned(rest))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Incoming::Inline(value) => value.len(),
            Incoming::Large(pieces, rest) => pieces.len() + rest.len(),
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        match self {
            Incoming::Inline(_) => &[],
            Incoming::Large(pieces, _) => pieces.as_slice(),
        }
    }

    pub(crate) fn pieces_mut(&mut self) -> Option<&mut Pieces> {
        match self {
            Incoming::Inline(_) => None,
            Incoming::Large(pieces, _) => Some(pieces),
        }
    }

    /// The bytes after the pieces.
    pub(crate) fn rest(&self) -> &[u8] {
        match self {
            Incoming::Inline(value) => value,
            Incoming::Large(_, rest) => rest,
        }
    }

    /// The value in the form in which a record stores it.
    #[inline]
    pub(crate) fn value(&mut self) -> Value<'_> {
        match self {
            Incoming::Inline(value) => Value::Inline(value, &[]),
            Incoming::Large(pieces, rest) => match pieces.as_slice() {
                [] => Value::Inline(rest, &[]),
                _ => Value::Large(pieces, rest),
            },
        }
    }
}
