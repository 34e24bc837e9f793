//! Keys by the node that owns them, so that a node that is away is found out once and not once for
//! every key.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use ringbinder_ring::Ring;

use crate::error::CliError;
use crate::key;

/// Keys of one node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share<'k> {
    /// The keys.
    pub(super) keys: Vec<&'k [u8]>,
    /// Where each stood among all.
    pub(super) places: Vec<usize>,
}

/// The keys of a command line, all of them checked before anything is sent.
///
/// # Errors
/// Where one is no key.
pub(super) fn checked(keys: &[OsString]) -> Result<Vec<&[u8]>, CliError> {
    for (place, key) in (1..).zip(keys) {
        key::check(key.as_bytes(), || format!("key {place}"))?;
    }
    Ok(keys.iter().map(|key| key.as_bytes()).collect())
}

/// The nodes that own any of these keys, in the order of the ring.
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
