//! Any bytes into the request parser.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbinder_fuzz::parsing::check(data));
