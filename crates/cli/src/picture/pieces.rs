//! The key space as pieces, each with its owner before and after.

use ringbinder_ring::{Comparison, Point, Ring};

/// A part of the circle whose keys have the same owners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// Its start and end, in turns from 0 to 1.
    pub(super) start: f64,
    pub(super) end: f64,
    /// Its owner before: index in [`Comparison::nodes`].
    pub(super) from: usize,
    /// Its owner after: index in [`Comparison::nodes`].
    pub(super) to: usize,
}

/// Most pieces that are distinguishable on a circle of this size. If there are more, this number of evenly
/// spaced points represents them.
const MOST: u32 = 1440;

const TURN: f64 = (1u64 << 32) as f64;

/// The circle in pieces, in order and without gaps.
pub(super) fn pieces(old: &Ring, new: &Ring, comparison: &Comparison) -> Vec<Piece> {
    let mut places = vec![0; old.nodes().len()];
    for (place, node) in comparison.nodes().iter().enumerate() {
        if let Some(index) = node.old {
            places[index as usize] = place;
        }
    }
    let mut ends: Vec<u32> =
        old.arcs().into_iter().chain(new.arcs()).map(|(end, _)| end.0).collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.len() > MOST as usize {
        let step = u32::MAX / MOST;
        ends = (1..=MOST).map(|slot| if slot == MOST { u32::MAX } else { slot * step }).collect();
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut first = 0;
    for end in ends {
        let middle = Point(first + (end - first) / 2);
        let from = places[old.owner_at(middle) as usize];
        let to = new.owner_at(middle) as usize;
        let until = (f64::from(end) + 1.0) / TURN;
        match pieces.last_mut() {
            Some(last) if (last.from, last.to) == (from, to) => last.end = until,
            _ => pieces.push(Piece { start: f64::from(first) / TURN, end: until, from, to }),
        }
        first = end.wrapping_add(1);
    }
    pieces
}
