//! A value as a cell keeps it.

use bytes::Bytes;

use crate::NewValue;

/// From this length on a value is kept counted, so that it can be written to a socket without a
/// copy. Below it a copy costs less than the counting, and a counted value 48 bytes more.
pub(super) const SHARED_FROM: usize = 8 * 1024;

/// An immutable value. 16 bytes: the counted kind is boxed because [`Bytes`] alone takes 32.
pub(super) enum Value {
    Owned(Box<[u8]>),
    Shared(Box<Bytes>),
}

impl Value {
    pub(super) fn empty() -> Value {
        Value::Owned(Box::default())
    }

    pub(super) fn new(value: NewValue<'_>) -> Value {
        match value {
            NewValue::Shared(bytes) if bytes.len() >= SHARED_FROM => Value::Shared(Box::new(bytes)),
            other => Value::copied(other.as_slice()),
        }
    }

    pub(super) fn copied(value: &[u8]) -> Value {
        if value.len() >= SHARED_FROM {
            Value::Shared(Box::new(Bytes::copy_from_slice(value)))
        } else {
            Value::Owned(value.into())
        }
    }

    /// Two parts, one behind the other.
    pub(super) fn joined(front: &[u8], back: &[u8]) -> Value {
        let mut whole = Vec::with_capacity(front.len() + back.len());
        whole.extend_from_slice(front);
        whole.extend_from_slice(back);
        if whole.len() >= SHARED_FROM {
            Value::Shared(Box::new(Bytes::from(whole)))
        } else {
            Value::Owned(whole.into_boxed_slice())
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Value::Owned(bytes) => bytes,
            Value::Shared(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn shared(&self) -> Option<Bytes> {
        match self {
            Value::Owned(_) => None,
            Value::Shared(bytes) => Some(Bytes::clone(bytes)),
        }
    }

    /// Writes `digits` over the start and pads the rest with spaces. The digits are not longer than
    /// the value.
    pub(super) fn overwrite(&mut self, digits: &[u8]) {
        let (front, rest) = match self {
            Value::Owned(bytes) => bytes.split_at_mut(digits.len()),
            Value::Shared(bytes) => {
                let mut copy = vec![b' '; bytes.len()];
                copy[..digits.len()].copy_from_slice(digits);
                **bytes = Bytes::from(copy);
                return;
            }
        };
        front.copy_from_slice(digits);
        rest.fill(b' ');
    }
}
