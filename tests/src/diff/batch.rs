//! The bytes of a batch, framed or raw, cut at random positions.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::command::{Command, Side};

/// The bytes of a batch for one side. A raw batch also ends in a sentinel, which marks its end.
pub(super) fn bytes(commands: &[Command], raw: bool, side: Side) -> Vec<u8> {
    let mut out = Vec::new();
    for command in commands {
        out.extend_from_slice(&command.render(side));
        if !raw {
            out.extend_from_slice(b"mn\r\n");
        }
    }
    if raw {
        out.extend_from_slice(b"mn\r\n");
    }
    out
}

/// The positions of the cuts as shares of the whole, so that both sides are cut alike.
pub(super) fn cuts(rng: &mut StdRng) -> Vec<f64> {
    let count = if rng.random_ratio(1, 3) { 0 } else { rng.random_range(1..8) };
    let mut cuts: Vec<f64> = (0..count).map(|_| rng.random_range(0.0..1.0)).collect();
    cuts.sort_by(f64::total_cmp);
    cuts
}

/// Cuts bytes into pieces.
pub(super) fn pieces(bytes: &[u8], cuts: &[f64]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    let mut from = 0;
    for cut in cuts {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a length, between 0 and it"
        )]
        let to = (bytes.len() as f64 * cut) as usize;
        if to > from {
            pieces.push(bytes[from..to].to_vec());
            from = to;
        }
    }
    pieces.push(bytes[from..].to_vec());
    pieces
}

/// Splits a framed answer into the answers of its commands. `None` if there are not `count` of them.
pub(super) fn answers(mut all: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    use crate::conn::{SENTINEL, find};
    let mut answers = Vec::with_capacity(count);
    let mut searched = 0;
    while !all.is_empty() {
        let at = searched + find(&all[searched..], SENTINEL)?;
        if at > 0 && all[at - 1] != b'\n' {
            searched = at + 1;
            continue;
        }
        answers.push(&all[..at]);
        all = &all[at + SENTINEL.len()..];
        searched = 0;
    }
    (answers.len() == count).then_some(answers)
}
