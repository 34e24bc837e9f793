//! The contract of the budget, applied to the engine of segments, in a process without other
//! threads.

#![allow(dead_code, unused_imports, unused_macros, reason = "the other rules have their own file")]

#[path = "contract/budget.rs"]
mod budget;
mod contract;

use ringbinder_store::{Limits, SegmentStore};

fn store(limits: Limits) -> SegmentStore {
    SegmentStore::new(limits, None)
}

#[test]
fn the_budget_holds_at_every_moment() {
    budget::the_budget_holds_while_items_come(store);
    budget::the_budget_holds_while_items_grow(store);
}
