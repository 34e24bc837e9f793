//! Errors of reading a ring from its source.

use std::io;
use std::path::PathBuf;

use super::Origin;
use crate::RingError;
use crate::shell::quoted;

/// The reason why a source gave no ring, by fault. The message says what happened, to what, and
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The file or key does not exist.
    #[error("{}", missing(.0))]
    Missing(Origin),
    /// The file or key holds nothing but white space.
    #[error("{0} is empty: write the ring into it")]
    Empty(Origin),
    /// The text was read, but is not a valid ring.
    #[error(transparent)]
    Invalid(RingError),
    /// The file exists but cannot be read.
    #[error("cannot read the ring file {}: {reason}; check what it is and who may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason for a program.
        kind: io::ErrorKind,
        /// The reason for people.
        reason: String,
    },
    /// etcd cannot be reached, is too slow, or the answer is not from an etcd.
    #[error("cannot read {origin} from etcd: {reason}; check that etcd runs there")]
    Away {
        /// The key and its endpoints.
        origin: Origin,
        /// The attempts, and their results.
        reason: String,
    },
    /// etcd answered, but does not permit this program to read the key.
    #[error(
        "etcd refuses access to {origin}: {reason}; check ETCDCTL_USER and ETCDCTL_PASSWORD, and \
         that this user may read the key"
    )]
    Refused {
        /// The key and its endpoints.
        origin: Origin,
        /// etcd's message.
        reason: String,
    },
    /// The source gives no ring, and the copy kept for this case is of no use.
    #[error("{away}; {}", no_copy(copy))]
    Stranded {
        /// The fault of the source.
        away: Box<SourceError>,
        /// The fault of the copy.
        copy: Box<SourceError>,
    },
    /// The copy kept for this case belongs to another source.
    #[error(
        "the copy of the ring in {} was kept for {source_name}: if that is the same ring, name that \
         source, or write the ring file; otherwise give each node a --ring-cache of its own",
        path.display()
    )]
    OtherSource {
        /// The path of the copy.
        path: PathBuf,
        /// The source for which it was kept.
        source_name: String,
    },
    /// An origin in etcd, in a program built without etcd.
    #[error(
        "this program was built without etcd: build it with --features etcd (which needs protoc)"
    )]
    NotBuilt,
}

impl SourceError {
    /// Whether the source could not be asked at all, and so may still hold a good ring.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Away { .. } => true,
            Self::Stranded { away, .. } => away.is_away(),
            _ => false,
        }
    }

    /// Whether this failure need not be reported after `other`: another attempt to reach etcd may
    /// fail in another way, but etcd is still unreachable.
    pub(super) fn is_same_as(&self, other: &SourceError) -> bool {
        self == other || (self.is_away() && other.is_away())
    }
}

fn missing(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => {
            format!("cannot find the ring file {}: write it, or name another", path.display())
        }
        Origin::Etcd { endpoints, key } => format!(
            "cannot find the key {key} in etcd at {}: put the ring there (etcdctl put {} < ring.toml)",
            endpoints.join(","),
            quoted(key)
        ),
    }
}

fn no_copy(copy: &SourceError) -> String {
    match copy {
        SourceError::Missing(place) => format!("and there is no copy of the ring in {place} yet"),
        SourceError::OtherSource { .. } => copy.to_string(),
        other => format!("and the copy of the ring cannot be used: {other}"),
    }
}
