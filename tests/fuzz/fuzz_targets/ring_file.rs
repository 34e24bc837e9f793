//! Any bytes as a ring file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ringbinder_fuzz::ring_file::check(data);
});
