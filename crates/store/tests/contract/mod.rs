//! The contract of every engine, one function per rule, written against the `Store` trait alone.
//! The rules of `budget.rs` are not part of the suite; they say why.

mod bookkeeping;
mod forgetting;
mod model;
mod reading;
mod whole;
mod writing;

pub(crate) use self::{bookkeeping::*, forgetting::*, model::*, reading::*, whole::*, writing::*};

use ringbinder_store::{
    Arithmetic, ArithmeticResult, Limits, Meta, MetaGet, Mode, NewValue, Seconds, Store, Write,
    WriteResult,
};

pub(crate) const MIB: u64 = 1 << 20;

/// Start time of a test.
pub(crate) const NOW: Seconds = 1_700_000_000;

pub(crate) const BUMP: MetaGet = MetaGet { bump: true, vivify: false, new_cas: None };

/// A budget with memcached's default largest item.
pub(crate) fn limits(max_bytes: u64) -> Limits {
    Limits { max_bytes, max_item: MIB, evict: true }
}

/// A store with no reason to evict.
pub(crate) fn roomy<S: Store>(make: fn(Limits) -> S) -> S {
    make(limits(64 * MIB))
}

/// A plain request; each test changes the fields that it needs.
pub(crate) fn write<'a>(mode: Mode, key: &'a [u8], value: &'a [u8]) -> Write<'a> {
    Write::plain(mode, key, NewValue::Slice(value))
}

/// Performs a write, which must succeed, and returns the CAS.
pub(crate) fn stored(store: &impl Store, write: Write<'_>) -> u64 {
    match store.write(write, NOW) {
        WriteResult::Stored { cas, .. } => cas,
        other => panic!("not stored: {other:?}"),
    }
}

pub(crate) fn set(store: &impl Store, key: &[u8], value: &[u8]) -> u64 {
    stored(store, write(Mode::Set, key, value))
}

pub(crate) fn value(store: &impl Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key, NOW, |item| item.value().to_vec()).ok()
}

pub(crate) fn meta(store: &impl Store, key: &[u8]) -> Meta {
    store.peek(key, NOW, |item| item.meta()).expect("an item")
}

pub(crate) fn add(delta: u64) -> Arithmetic {
    Arithmetic { increment: true, delta, compare: 0, new_cas: None, vivify: None }
}

pub(crate) fn sub(delta: u64) -> Arithmetic {
    Arithmetic { increment: false, ..add(delta) }
}

/// Performs an increment or decrement; on success returns the number, and the value as text.
pub(crate) fn calculate(
    store: &impl Store,
    key: &[u8],
    how: Arithmetic,
) -> ArithmeticResult<(u64, String)> {
    store.arithmetic(key, how, false, NOW, |item, number, _| {
        (number, String::from_utf8_lossy(&item.value().to_vec()).into_owned())
    })
}

/// Makes a test of every rule, except those of `budget`, for the engine that `$make` builds from
/// [`Limits`].
macro_rules! suite {
    ($make:path) => {
        $crate::contract::suite!(@rules $make;
            get_returns_what_was_set
            a_read_counts_after_the_callback_saw_the_item
            peek_has_no_effect
            get_and_touch_changes_the_expiry
            meta_get_bumps_only_when_asked_to
            meta_get_creates_once
            meta_get_lends_for_changing
            an_expired_item_is_gone_at_its_second
            large_values_are_shared
            keys_of_all_lengths_are_told_apart
            add_stores_only_what_is_absent
            replace_stores_only_what_is_there
            append_and_prepend_join
            append_compares_and_vivifies
            cas_stores_only_what_was_seen
            a_lower_cas_may_store_a_stale_value
            a_dead_item_is_absent_for_every_mode
            a_set_starts_afresh
            an_explicit_cas_is_kept_and_costs_none
            cas_numbers_rise_by_one
            what_is_too_large_is_refused_and_the_old_gone
            arithmetic_counts_up_and_down
            arithmetic_keeps_the_length
            arithmetic_refuses_what_is_no_number
            arithmetic_compares_before_it_parses
            arithmetic_creates
            delete_removes
            delete_compares_even_with_zero
            delete_can_mark_stale
            delete_can_drop_the_value
            touch_counts_as_an_access
            flush_takes_exactly_what_is_stored
            a_later_flush_waits_for_its_second
            a_flush_replaces_one_that_is_due
            forget_takes_exactly_the_lost_keys_stored_so_far
            a_forgotten_item_is_absent_for_every_operation
            what_is_made_of_an_item_after_a_forget_stays
            a_key_stored_again_outlives_forgets_of_others
            several_forgets_add_up
            for_each_does_not_meet_what_is_forgotten
            a_flush_after_a_forget_takes_the_rest
            a_forget_leaves_a_later_flush_due
            a_sweep_ends_a_forget
            what_is_made_of_an_item_during_a_forget_goes_with_it
            a_forget_during_a_sweep_waits_for_the_next
            a_resize_keeps_what_is_forgotten_forgotten
            an_item_on_its_way_in_outlives_a_sweep_of_others
            forgets_among_writers_take_the_old_and_leave_the_new
            for_each_meets_every_living_item_once
            for_each_stops_when_told_to
            steps_of_a_visit_are_short_and_meet_every_item_once
            what_operations_meet_dead_is_counted
            sweep_removes_the_dead
            sweep_passes_over_when_nothing_can_have_died
            an_item_larger_than_the_budget_is_refused
            without_evictions_a_full_store_refuses
            resize_keeps_the_newest
            resize_upwards_keeps_everything
            counters_count
            increments_from_several_threads_all_count
            writers_and_readers_leave_the_books_in_order
            random_histories_match_a_model
        );
    };
    (@rules $make:path; $($rule:ident)*) => {
        mod rules {
            $(#[test]
            fn $rule() {
                $crate::contract::$rule($make);
            })*
        }
    };
}
pub(crate) use suite;
