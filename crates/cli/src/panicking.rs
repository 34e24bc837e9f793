//! What is to be done before a panic is told: where it ends the process at once, nothing is dropped.

use std::panic;
use std::sync::Once;

/// Has `first` done before the message of a panic is written. Of several calls the first counts: a
/// process takes its terminal for one view.
pub(crate) fn on_panic(first: fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            first();
            before(info);
        }));
    });
}
