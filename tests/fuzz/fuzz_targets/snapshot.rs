//! Any bytes as a snapshot, and snapshots that something was done to.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ringbinder_fuzz::snapshot::check(data);
});
