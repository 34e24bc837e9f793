//! Sessions with a node, checked against the model.

#![no_main]

use std::cell::RefCell;

use ringbinder_fuzz::session::Sessions;

thread_local! {
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SESSIONS.with_borrow_mut(|sessions| {
        if let Err(mismatch) = sessions.run(data) {
            panic!("{mismatch}");
        }
    });
});
