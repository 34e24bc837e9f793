//! A key as a cell keeps it.

/// Bytes up to which a key costs no allocation of its own: as many as make a [`Key`] no larger
/// than a boxed slice and a length would be after rounding, 24 bytes.
const INLINE: usize = 22;

/// An immutable key: short ones in place, longer ones boxed.
pub(super) enum Key {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Key {
    pub(super) fn new(key: &[u8]) -> Key {
        match u8::try_from(key.len()) {
            Ok(len) if key.len() <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..key.len()].copy_from_slice(key);
                Key::Inline { len, bytes }
            }
            _ => Key::Boxed(key.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Key::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Key::Boxed(bytes) => bytes,
        }
    }

    /// Bytes that a key of this length allocates besides the [`Key`] itself.
    pub(super) fn allocation(len: usize) -> usize {
        if len <= INLINE { 0 } else { len }
    }
}
