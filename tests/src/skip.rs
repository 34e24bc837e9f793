//! What happens when something a test needs is not on this machine.

use std::io::Write as _;

/// Says loudly that the running test is skipped because `missing` is not here.
///
/// Where everything is expected to be present (`CI=true`) that is a failure. The line goes past
/// the test runner's capture, straight to stderr, where `tests/run` counts it.
pub fn skip(test: &str, missing: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run: {missing} (CI=true, so this is a failure and not a skip)"
    );
    // Not eprintln!: the test runner swallows that for a test that passes.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test}: {missing}");
}
