//! Values: pieces of large ones, and a value on its way into a record.
//!
//! | file | purpose |
//! |---|---|
//! | `piece`, `arriving` | a piece of a large value; a large value before it is stored |
//! | `large` | the large values of a shard |
//! | `incoming`, `join` | a value before it is stored; a value that is appended or prepended to another |
//! | `number` | decimal numbers |

pub(crate) mod arriving;
pub(crate) mod incoming;
pub(crate) mod join;
pub(crate) mod large;
pub(crate) mod number;
pub(crate) mod piece;

use std::sync::Arc;

use self::join::Join;
use self::large::Pieces;
use crate::Account;

/// How a store cuts values into pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutting<'a> {
    /// Most bytes that stay in the record.
    pub(crate) inline: usize,
    /// The account that counts pieces before they are stored.
    pub(crate) outside: &'a Arc<Account>,
}

/// A value on its way into a record.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// Short enough for a record, in two parts.
    Inline(&'a [u8], &'a [u8]),
    /// Large: its pieces, which are taken once the value is stored, and the bytes after them.
    Large(&'a mut Pieces, &'a [u8]),
    /// Large: a part joined to the present value, and the bytes after the pieces.
    Joined(Box<Join<'a>>, &'a [u8]),
}

impl Value<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Value::Inline(front, back) => front.len() + back.len(),
            Value::Large(pieces, rest) => pieces.len() + rest.len(),
            Value::Joined(join, rest) => join.len() + rest.len(),
        }
    }

    /// Bytes charged for the value's pieces.
    pub(crate) fn large_charge(&self) -> u64 {
        match self {
            Value::Inline(..) => 0,
            Value::Large(pieces, _) => pieces.charge(),
            Value::Joined(join, _) => join.charge(),
        }
    }
}
