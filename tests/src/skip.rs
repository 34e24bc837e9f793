//! Skips a test if this machine lacks a requirement.

use std::io::Write as _;

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
