//! The header of a snapshot.

use super::{MAGIC, Reader, SnapshotError, VERSION};
use crate::{Cas, Seconds};

/// Maximum bytes of the fields.
const MAX_FIELDS: usize = 2048;

/// Maximum bytes of a node's name; the encoder truncates a longer one.
const MAX_NAME: usize = 1024;

const CLEAN: u8 = 1;
const ORIGIN: u8 = 2;

/// The header of a snapshot: facts about its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether the store served no clients any more while it was written, so that the snapshot has
    /// the newest state of every item.
    pub is_clean: bool,
    /// Time of writing.
    pub written_at: Seconds,
    /// The last CAS unique that the store assigned.
    pub last_cas: Cas,
    /// Number of items when writing began: about as many as follow.
    pub items: u64,
    /// Time of a pending flush, if there is one.
    pub flush_due: Option<Seconds>,
    /// The division of keys under which the store held its items; `None` for a store that stood
    /// alone.
    pub origin: Option<Origin>,
}

/// A division of keys among stores, and one store in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Version of the division.
    pub version: u64,
    /// Digest of the division's content.
    pub digest: u64,
    /// The store's name in the division; up to 1,024 bytes, a longer one is truncated.
    pub node: String,
}

impl Header {
    /// Appends the header to `out` and returns its checksum.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        let origin = self.origin.clone().unwrap_or_default();
        let name = &origin.node.as_bytes()[..origin.node.len().min(MAX_NAME)];
        let mut marks = 0;
        if self.is_clean {
            marks |= CLEAN;
        }
        if self.origin.is_some() {
            marks |= ORIGIN;
        }
        let mut fields = vec![marks];
        fields.extend_from_slice(&self.written_at.to_le_bytes());
        fields.extend_from_slice(&self.last_cas.to_le_bytes());
        fields.extend_from_slice(&self.items.to_le_bytes());
        fields.extend_from_slice(&self.flush_due.unwrap_or(0).to_le_bytes());
        fields.extend_from_slice(&origin.version.to_le_bytes());
        fields.extend_from_slice(&origin.digest.to_le_bytes());
        fields.extend_from_slice(name);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32::try_from(fields.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&fields);
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        crc
    }

    /// Reads the header at the beginning of `input`. Returns the header, its length in bytes and
    /// its checksum, or the minimum number of bytes needed to go on.
    pub(super) fn read(input: &[u8]) -> Result<Result<(Header, usize, u32), usize>, SnapshotError> {
        const FRONT: usize = 16;

        let damaged = SnapshotError::Damaged { block: None };
        let seen = input.len().min(MAGIC.len());
        if input[..seen] != MAGIC[..seen] {
            return Err(SnapshotError::Foreign);
        }
        let mut reader = Reader(&input[seen..]);
        let Some(version) = reader.u32() else { return Ok(Err(FRONT)) };
        if version > VERSION {
            return Err(SnapshotError::Newer { version });
        }
        let Some(len) = reader.u32() else { return Ok(Err(FRONT)) };
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_FIELDS).ok_or(damaged)?;
        let (Some(fields), Some(crc)) = (reader.take(len), reader.u32()) else {
            return Ok(Err(FRONT + len + 4));
        };
        if version == 0 || crc32fast::hash(&input[..FRONT + len]) != crc {
            return Err(damaged);
        }
        let header = Header::fields(fields).ok_or(damaged)?;
        Ok(Ok((header, FRONT + len + 4, crc)))
    }

    fn fields(fields: &[u8]) -> Option<Header> {
        let mut reader = Reader(fields);
        let marks = reader.u8()?;
        let (written_at, last_cas, items) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let flush_due = Some(reader.u32()?).filter(|due| *due != 0);
        let (version, digest) = (reader.u64()?, reader.u64()?);
        let node = String::from_utf8_lossy(reader.0).into_owned();
        if marks & !(CLEAN | ORIGIN) != 0 {
            return None;
        }
        Some(Header {
            is_clean: marks & CLEAN != 0,
            written_at,
            last_cas,
            items,
            flush_due,
            origin: (marks & ORIGIN != 0).then_some(Origin { version, digest, node }),
        })
    }
}
