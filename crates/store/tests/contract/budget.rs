//! The budget at every moment.
//!
//! These rules need a process of their own. An engine may be unable to free evicted memory while
//! any thread of the process is in the middle of a read, and other tests have many such threads.

use ringbinder_store::{Limits, Store};

use crate::contract::{MIB, NOW, limits, set};

pub(crate) fn the_budget_holds_while_items_come<S: Store>(make: fn(Limits) -> S) {
    let budget = 4 * MIB;
    let store = make(limits(budget));
    for item in 0..20_000_usize {
        let value = vec![b'v'; item * 7 % 3_000];
        set(&store, format!("key{item}").as_bytes(), &value);
        assert!(store.counters().bytes <= budget);
    }
    store.validate(NOW);
    let counters = store.counters();
    assert!(counters.bytes > budget / 4 * 3, "the budget is made use of");
    assert!(counters.evictions > 10_000);
    assert_eq!(counters.evicted_unfetched, counters.evictions);
    assert_eq!(counters.evicted_nonzero, 0);
}

pub(crate) fn the_budget_holds_while_items_grow<S: Store>(make: fn(Limits) -> S) {
    let budget = 4 * MIB;
    let store = make(limits(budget));
    for turn in 0..4_000_usize {
        let value = vec![b'v'; turn * 16];
        set(&store, format!("key{}", turn % 500).as_bytes(), &value);
        assert!(store.counters().bytes <= budget, "at turn {turn}");
    }
    store.validate(NOW);
}
