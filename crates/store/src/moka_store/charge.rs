//! What an item costs in memory.
//!
//! The budget is a promise about the process, so an item is charged what the allocator really sets
//! aside for it: its own bytes, rounded as mimalloc rounds them, and a fixed sum for what moka
//! keeps of every entry.

use super::key::Key;
use super::value::SHARED_FROM;

/// Bytes per entry besides what the key and the value allocate: the cell and moka's own records.
/// Measured, not added up: `cargo run --release -p ringbinder-store --example entry_cost` prints
/// resident bytes per item beside the charge.
const RECORDS: usize = 380;

/// moka's table keeps the key of an entry that went, and with it our cell, until it next cleans up:
/// about 170 bytes each for up to a tenth of the table's places, 7 to 15 % of the items while items
/// come and go.
const TOMBSTONES: usize = 16;

/// Bytes that a counted value takes besides its own: its box and its reference count.
const SHARED_VALUE: usize = 64;

/// The charge for an item, as much as fits 32 bits (moka's own limit).
pub(super) fn of_item(key_len: usize, value_len: usize) -> u32 {
    let shared = if value_len >= SHARED_FROM { SHARED_VALUE } else { 0 };
    let whole = RECORDS
        + TOMBSTONES
        + rounded(Key::allocation(key_len))
        + rounded(value_len).saturating_add(shared);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// The charge for an item that was put into moka again: a second reference to its cell.
pub(super) fn reindexed(charge: u32, was_reindexed: bool) -> u32 {
    const KEY_REFERENCE: u32 = 32;
    if was_reindexed { charge.saturating_add(KEY_REFERENCE) } else { charge }
}

/// What mimalloc sets aside for an allocation: multiples of 16 up to 128 bytes, from there on four
/// sizes for every doubling, and whole 64 KiB slices where it asks the system itself.
pub(super) fn rounded(size: usize) -> usize {
    const SLICE: usize = 64 * 1024;
    match size {
        0 => 0,
        1..=128 => size.next_multiple_of(16),
        _ if size <= 4 * SLICE => {
            let step = 1 << ((size - 1).ilog2() - 2);
            size.next_multiple_of(step)
        }
        _ => size.next_multiple_of(SLICE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_the_allocators_classes() {
        let classes = [
            (0, 0),
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1_024, 1_024),
            (1_025, 1_280),
            (50_000, 57_344),
            (65_537, 81_920),
            (1_048_577, 1_114_112),
        ];
        for (size, class) in classes {
            assert_eq!(rounded(size), class, "{size}");
        }
    }
}
