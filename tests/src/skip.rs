//! Skips a test if this machine lacks a requirement.

use std::io::Write as _;

use crate::Kind;

/// Ends the running test, and reports it as skipped, if this machine lacks a server: `needs!(Kind::Ringbinder);`.
#[macro_export]
macro_rules! needs {
    ($kind:expr) => {
        if !$crate::skip::available($kind) {
            return;
        }
    };
}

/// Whether a server can be started. Reports the running test as skipped if not.
pub fn available(kind: Kind) -> bool {
    let available = kind.available();
    if !available {
        // The test runner names its threads after the tests.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip(&test, &format!("no {}", kind.program().display()));
    }
    available
}

/// Reports prominently that the running test is skipped because `missing` is missing.
///
/// If everything must be present (`CI=true`), that is a failure. The line bypasses the test runner's capture
/// and goes directly to stderr, where `tests/run` counts it.
pub fn skip(test: &str, missing: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run: {missing} (CI=true, so this is a failure and not a skip)"
    );
    // Not eprintln!: the test runner swallows that for a test that passes.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test}: {missing}");
}
