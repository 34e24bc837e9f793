//! Random histories of a full store agree with a model. Ten million steps: `examples/histories.rs`.

mod histories;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use histories::{Tally, kinds, run};

const STEPS: u64 = 50_000;

fn check(name: &str) -> Tally {
    let kind = kinds::all().into_iter().find(|kind| kind.name == name).expect("a kind");
    let mut last = Tally::default();
    for seed in 1..=2 {
        last = catch_unwind(AssertUnwindSafe(|| run(&kind, seed, STEPS))).unwrap_or_else(|panic| {
            eprintln!("kind {name:?}, seed {seed}, {STEPS} steps");
            resume_unwind(panic)
        });
        assert!(last.hits > STEPS / 20 && last.stored > STEPS / 20, "{last:?}");
        assert!(last.sweeps > 0 && last.forgets > 0 && last.resizes > 0, "{last:?}");
        assert!(last.restored + last.outdated > 0, "{last:?}");
    }
    last
}

macro_rules! evicting {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let tally = check($name);
            assert!(tally.evicted > 50, "{tally:?}");
        })*
    };
}

evicting! {
    a_store_of_default_sizing_agrees: "default",
    tiny_segments_agree: "tiny segments",
    many_shards_agree: "many shards",
    large_segments_agree: "large segments",
    a_large_store_made_small_agrees: "shrunk",
    items_beyond_the_budget_agree: "items beyond the budget",
    small_items_agree: "small items",
}

macro_rules! refusing {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let tally = check($name);
            assert_eq!(tally.evicted, 0);
        })*
    };
}

refusing! {
    without_eviction_nothing_is_missing: "no eviction",
    without_eviction_nothing_is_missing_in_shards: "no eviction, shards",
    without_eviction_no_small_item_is_missing: "no eviction, small items",
}
