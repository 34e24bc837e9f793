//! A hook that runs before the panic message. If a panic aborts the process, no destructor runs.

use std::panic;
use std::sync::Once;

/// Runs `first` before the message of a panic is printed. Only the first call has an effect: a process takes
/// its terminal for one view.
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
