//! Keys grouped by owner, so that an unreachable node costs one failure and not one for every key.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use ringbinder_ring::Ring;

use crate::error::CliError;
use crate::key;

/// Keys of one node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share<'k> {
    /// Its keys.
    pub(super) keys: Vec<&'k [u8]>,
    /// The position of each key among all keys.
    pub(super) places: Vec<usize>,
}

/// The keys of a command line, all of them checked before anything is sent.
///
/// # Errors
/// If a key is invalid.
pub(super) fn checked(keys: &[OsString]) -> Result<Vec<&[u8]>, CliError> {
    for (place, key) in (1..).zip(keys) {
        key::check(key.as_bytes(), || format!("key {place}"))?;
    }
    Ok(keys.iter().map(|key| key.as_bytes()).collect())
}

/// Groups keys by the nodes that own them, in the order of the ring.
pub(super) fn by_owner<'k>(ring: &Ring, keys: &[&'k [u8]]) -> Vec<Share<'k>> {
    let mut shares: Vec<Share<'k>> =
        ring.nodes().iter().map(|_| Share { keys: Vec::new(), places: Vec::new() }).collect();
    for (place, &key) in keys.iter().enumerate() {
        let share = &mut shares[ring.owner(key) as usize];
        share.keys.push(key);
        share.places.push(place);
    }
    shares.retain(|share| !share.keys.is_empty());
    shares
}
