//! What can go wrong between a ring and who needs it.

use std::io;
use std::path::PathBuf;

use super::Origin;
use crate::RingError;
use crate::shell::quoted;

/// Why a source gave no ring, by what is at fault. The message says what happened, to what, and
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such file, or no such key.
    #[error("{}", missing(.0))]
    Missing(Origin),
    /// There is nothing but white space in it.
    #[error("{0} is empty: write the ring into it")]
    Empty(Origin),
    /// It was read, and is no ring.
    #[error(transparent)]
    Invalid(RingError),
    /// The file is there and cannot be read.
    #[error("cannot read the ring file {}: {reason}; check what it is and who may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// For a program.
        kind: io::ErrorKind,
        /// For people.
        reason: String,
    },
    /// etcd cannot be reached, is too slow, or what answers is no etcd.
    #[error(
        "etcd gives no ring for {origin}: {reason}; check that it runs and is what listens there"
    )]
    Away {
        /// The key and its endpoints.
        origin: Origin,
        /// What was tried, and what came of it.
        reason: String,
    },
    /// etcd answered, and does not let this program read the key.
    #[error(
        "etcd refuses to give {origin}: {reason}; check ETCDCTL_USER and ETCDCTL_PASSWORD, and \
         that this user may read the key"
    )]
    Refused {
        /// The key and its endpoints.
        origin: Origin,
        /// etcd's words.
        reason: String,
    },
    /// The source gives no ring, and the copy that was kept for this case does not help.
    #[error("{away}; {}", no_copy(copy))]
    Stranded {
        /// What is the matter with the source.
        away: Box<SourceError>,
        /// What is the matter with the copy.
        copy: Box<SourceError>,
    },
    /// The copy that is to help out was kept for another source.
    #[error(
        "the copy of the ring in {} was kept for {source_name}: if that is the same ring, name that \
         source, or write the ring file; otherwise give each node a --ring-cache of its own",
        path.display()
    )]
    OtherSource {
        /// The copy.
        path: PathBuf,
        /// The source that it was kept for.
        source_name: String,
    },
    /// An origin in etcd, in a program that cannot read from it.
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

    /// Whether this is no news to somebody who was told `other`: another attempt to reach etcd may
    /// well fail in another way, and etcd is still away.
    pub(super) fn is_same_as(&self, other: &SourceError) -> bool {
        self == other || (self.is_away() && other.is_away())
    }
}

fn missing(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => {
            format!("there is no ring file {}: write it, or name another", path.display())
        }
        Origin::Etcd { endpoints, key } => format!(
            "there is no key {key} in etcd at {}: put the ring there (etcdctl put {} < ring.toml)",
            endpoints.join(","),
            quoted(key)
        ),
    }
}

fn no_copy(copy: &SourceError) -> String {
    match copy {
        SourceError::Missing(place) => format!("and there is no copy of the ring in {place} yet"),
        SourceError::OtherSource { .. } => copy.to_string(),
        other => format!("and the copy of the ring is of no use: {other}"),
    }
}
