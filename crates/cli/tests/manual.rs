//! Test that `docs/cli.md` matches the flags.

use std::fs;
use std::path::Path;

#[test]
fn the_manual_is_made_from_the_flags() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = ringbinder_cli::manual::markdown();
    if std::env::var_os("RINGBINDER_WRITE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text,
        "docs/cli.md does not say what the flags are: write it anew with \
         RINGBINDER_WRITE_DOCS=1 cargo test -p ringbinder-cli --test manual"
    );
}
