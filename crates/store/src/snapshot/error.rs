//! Why bytes are no snapshot that can be taken up.

use std::fmt;

/// Why bytes are no snapshot, or none that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It begins with something else.
    Foreign,
    /// It was written by a newer version of this program.
    Newer {
        /// The version of its format.
        version: u32,
    },
    /// A header or block is not what its checksum, or the one before it, says.
    Damaged {
        /// The block's number; `None` for the header.
        block: Option<u32>,
    },
    /// It ends too soon.
    CutOff,
    /// Its end does not agree with what came before.
    Inconsistent,
    /// Something follows its end.
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
