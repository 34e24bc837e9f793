//! Any bytes as a history of a small store, checked against the model.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ringbinder_fuzz::store::check(data);
});
