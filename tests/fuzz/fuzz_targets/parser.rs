//! Any bytes into the request parser, and what clients make of storage lines that they decide.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ringbinder_fuzz::parsing::check(data);
    ringbinder_fuzz::storage_line::check(data);
});
