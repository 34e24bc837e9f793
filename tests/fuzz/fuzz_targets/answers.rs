//! Any bytes as a node's answer to the client.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ringbinder_fuzz::answers::check(data);
});
