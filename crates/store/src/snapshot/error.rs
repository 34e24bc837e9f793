//! Errors of reading a snapshot.

use std::fmt;

/// The reason why bytes are not a complete snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes do not begin like a snapshot.
    Foreign,
    /// A newer version of this program wrote the snapshot.
    Newer {
        /// The version of the snapshot's format.
        version: u32,
    },
    /// A header or block does not match its checksum, or does not follow from the block before.
    Damaged {
        /// The block's number; `None` for the header.
        block: Option<u32>,
    },
    /// The snapshot ends too soon.
    CutOff,
    /// The end does not agree with the blocks before it.
    Inconsistent,
    /// Bytes follow the end.
    Trailing,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Foreign => f.write_str("it is no snapshot"),
            SnapshotError::Newer { version } => write!(
                f,
                "its format has version {version}, and this program knows those up to {}",
                super::VERSION
            ),
            SnapshotError::Damaged { block: None } => f.write_str("its header is damaged"),
            SnapshotError::Damaged { block: Some(number) } => {
                write!(f, "block {number} is damaged")
            }
            SnapshotError::CutOff => f.write_str("it is cut off"),
            SnapshotError::Inconsistent => f.write_str("its end does not agree with the rest"),
            SnapshotError::Trailing => f.write_str("something follows its end"),
        }
    }
}

impl std::error::Error for SnapshotError {}
