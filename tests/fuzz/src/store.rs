//! Any bytes as a history of a small store, asked through the trait `Store` and held to the model of
//! `crates/store/tests/histories`: the same that random histories run for millions of steps, here with
//! decisions that coverage guides.

use crate::choices::Choices as Bytes;

use self::histories::choices::Choices;
use self::histories::{History, kinds};

#[allow(unreachable_pub, reason = "the store's tests have their own use of it")]
#[path = "../../../crates/store/tests/histories/mod.rs"]
mod histories;

/// Most operations of one history.
const MOST_STEPS: u32 = 2_000;

/// What happened in some histories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Operations.
    pub steps: u64,
    /// Items that left to make room.
    pub evicted: u64,
    /// Operations for which there was no room.
    pub refused: u64,
}

impl Choices for Bytes<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let bound = usize::try_from(bound).unwrap_or(usize::MAX);
        u32::try_from(Bytes::below(self, bound)).unwrap_or(0)
    }

    fn letters(&mut self) -> [u8; 13] {
        // Two bytes are enough to tell values apart; those of the input are scarce.
        let [first, second, ..] = Bytes::below(self, 26 * 26).to_le_bytes();
        let mut letter = first.wrapping_mul(7).wrapping_add(second);
        [0; 13].map(|_: u8| {
            letter = letter.wrapping_mul(5).wrapping_add(17);
            b'a' + letter % 26
        })
    }
}

/// Plays the history that the bytes mean.
///
/// # Panics
/// Where the store does anything but what the model allows.
pub fn check(data: &[u8]) -> Tally {
    let mut bytes = Bytes::new(data);
    let kinds = kinds::small();
    let kind = &kinds[Bytes::below(&mut bytes, kinds.len())];
    let mut history = History::new(kind, 1);
    for _ in 0..MOST_STEPS {
        if bytes.is_exhausted() {
            break;
        }
        history.step(&mut bytes);
    }
    history.finish();
    let tally = history.tally();
    Tally { steps: tally.steps, evicted: tally.evicted, refused: tally.refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_reached_and_keeps_to_the_model() {
        let mut sum = Tally::default();
        let mut state = 1_u64;
        for _ in 0..60 {
            let data: Vec<u8> = (0..30_000)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect();
            let tally = check(&data);
            sum.steps += tally.steps;
            sum.evicted += tally.evicted;
            sum.refused += tally.refused;
        }
        assert!(sum.steps > 10_000 && sum.evicted > 100, "{sum:?}");
    }

    #[test]
    fn the_corpus_keeps_to_the_model() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/store");
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpus).expect("a corpus") {
            check(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
            inputs += 1;
        }
        assert!(inputs > 10, "{inputs} inputs");
    }
}
