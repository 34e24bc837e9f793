//! Chooses the ring for a start: the ring in the ring file, or the copy of the newest ring that was
//! current.
//!
//! The newer of the two wins, so a node does not go back to an older ring by itself. But a copy
//! left behind by another fleet must not win, however high its version. The copy belongs to the
//! file if
//!
//! - the file still holds the ring that it held when the copy was written: then the copy is a newer
//!   ring that other nodes have reported since; or
//! - more than half of the nodes of each ring are also in the other, by their addresses.
//!
//! Names prove nothing: many fleets have a `cache-a`. Neither does one common address: a machine
//! that moves to another fleet may keep its own.
//!
//! If the file holds no valid ring, there is nothing to compare the copy with. It is used if it was
//! kept for this very file.
//!
//! This module does no I/O.

use super::SourceError;
use super::cache::Kept;
use crate::{Ring, RingId};

/// Whether more than half of the nodes of each ring are also in the other.
pub(super) fn shares_most_nodes(one: &Ring, other: &Ring) -> bool {
    let common = one.nodes().iter().filter(|node| other.index_of(node).is_some()).count();
    2 * common > one.nodes().len().max(other.nodes().len())
}

/// The ring for a start, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The file's ring, with a remark about the copy if there is one to make.
    File(Ring, Option<Remark>),
    /// The copy, since the file holds an older ring.
    Newer { copy: Ring, file: RingId },
    /// The copy, since the file has no valid ring.
    Instead { copy: Ring, why: SourceError },
    /// No ring: the file has no valid ring, and the copy is of no use.
    Nothing { why: SourceError, copy: SourceError },
    /// No ring: the file has no valid ring, and the copy was kept for the source with this name.
    OtherSource { why: SourceError, source: String },
}

/// A remark about a copy that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// The copy is newer, and has other nodes.
    Foreign(RingId),
    /// The copy has the version of the file's ring, but other content.
    SameVersion(RingId),
    /// The copy exists but cannot be used.
    Useless(SourceError),
}

/// Chooses between the ring read from the file and the copy; `own` is whether the copy was kept for
/// this file.
pub(super) fn choose(
    file: Result<Ring, SourceError>,
    kept: Result<Kept, SourceError>,
    own: impl Fn(&Kept) -> bool,
) -> Choice {
    match (file, kept) {
        (Ok(file), Ok(kept)) => {
            let (ours, theirs) = (file.id(), kept.ring.id());
            if theirs.version > ours.version {
                let unchanged = kept.source_ring == Some(ours);
                match unchanged || shares_most_nodes(&file, &kept.ring) {
                    true => Choice::Newer { copy: kept.ring, file: ours },
                    false => Choice::File(file, Some(Remark::Foreign(theirs))),
                }
            } else if theirs.version == ours.version && theirs != ours {
                Choice::File(file, Some(Remark::SameVersion(theirs)))
            } else {
                Choice::File(file, None)
            }
        }
        (Ok(file), Err(SourceError::Missing(_))) => Choice::File(file, None),
        (Ok(file), Err(useless)) => Choice::File(file, Some(Remark::Useless(useless))),
        (Err(why), Err(copy)) => Choice::Nothing { why, copy },
        (Err(why), Ok(kept)) => match own(&kept) {
            true => Choice::Instead { copy: kept.ring, why },
            false => Choice::OtherSource { why, source: kept.source.unwrap_or_default() },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use crate::Format;

    /// A ring of nodes on hosts with these letters, named cache-0 and so on.
    fn ring(version: u64, hosts: &str) -> Ring {
        let mut text = format!("version = {version}\n");
        for (number, host) in hosts.chars().enumerate() {
            text += &format!("[[node]]\nname = \"cache-{number}\"\naddress = \"{host}:11211\"\n");
        }
        Ring::parse(&text, Format::Toml, "test").unwrap()
    }

    fn kept(ring: Ring, source_ring: Option<RingId>) -> Result<Kept, SourceError> {
        Ok(Kept { ring, source: Some("ring.toml".to_owned()), source_ring })
    }

    fn missing() -> SourceError {
        SourceError::Missing(Origin::File("x".into()))
    }

    fn chosen(file: &Ring, copy: &Ring, source_ring: Option<RingId>) -> Choice {
        choose(Ok(file.clone()), kept(copy.clone(), source_ring), |_| unreachable!())
    }

    #[test]
    fn the_newer_of_two_rings_of_one_fleet_wins() {
        let newer = |file: &Ring, copy: &Ring, source_ring| {
            let expected = Choice::Newer { copy: copy.clone(), file: file.id() };
            assert_eq!(chosen(file, copy, source_ring), expected);
        };
        let first = ring(1, "abc");
        newer(&first, &ring(2, "abcd"), None);
        newer(&first, &ring(3, "ab"), None);
        newer(&ring(1, "a"), &ring(2, "a"), None);
        // The file has not changed since other nodes reported a ring of quite different nodes.
        newer(&first, &ring(2, "xyz"), Some(first.id()));
        for (file, copy) in [(2, 1), (2, 2)] {
            let (file, copy) = (ring(file, "abc"), ring(copy, "abc"));
            assert_eq!(chosen(&file, &copy, None), Choice::File(file.clone(), None));
        }
    }

    #[test]
    fn a_copy_of_another_fleet_does_not_win() {
        // A machine that moved, kept its address and its name, and got another ring file.
        let (file, copy) = (ring(3, "axy"), ring(40, "abc"));
        for source_ring in [None, Some(ring(39, "abc").id())] {
            let expected = Choice::File(file.clone(), Some(Remark::Foreign(copy.id())));
            assert_eq!(chosen(&file, &copy, source_ring), expected);
        }
        for (file, copy) in [("a", "abc"), ("ab", "ac"), ("abc", "a"), ("abcd", "abxy")] {
            let (file, copy) = (ring(3, file), ring(40, copy));
            assert!(matches!(chosen(&file, &copy, None), Choice::File(_, Some(_))), "{copy:?}");
        }
    }

    #[test]
    fn of_one_version_the_file_wins() {
        let (file, copy) = (ring(2, "abc"), ring(2, "abd"));
        let remark = Remark::SameVersion(copy.id());
        assert_eq!(chosen(&file, &copy, None), Choice::File(file, Some(remark)));
    }

    #[test]
    fn a_file_without_a_ring_leaves_the_copy_if_that_is_its_own() {
        let copy = || kept(ring(2, "abc"), None);
        let taken = Choice::Instead { copy: ring(2, "abc"), why: missing() };
        assert_eq!(choose(Err(missing()), copy(), |_| true), taken);
        let source = "ring.toml".to_owned();
        let refused = Choice::OtherSource { why: missing(), source };
        assert_eq!(choose(Err(missing()), copy(), |_| false), refused);
        let nothing = Choice::Nothing { why: missing(), copy: missing() };
        assert_eq!(choose(Err(missing()), Err(missing()), |_| true), nothing);
    }

    #[test]
    fn a_copy_that_is_of_no_use_is_told_unless_there_is_none() {
        let file = || ring(1, "abc");
        let plain = Choice::File(file(), None);
        assert_eq!(choose(Ok(file()), Err(missing()), |_| true), plain);
        let empty = SourceError::Empty(Origin::File("x".into()));
        let expected = Choice::File(file(), Some(Remark::Useless(empty.clone())));
        assert_eq!(choose(Ok(file()), Err(empty), |_| true), expected);
    }
}
