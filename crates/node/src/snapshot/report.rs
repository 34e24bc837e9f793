//! The `stats` lines about snapshots.

use std::sync::atomic::{AtomicU64, Ordering};

use ringbinder_protocol::answer;

use super::Snapshots;
use super::progress::RestoreState;

/// Appends the `stats` lines about snapshots, if there are any.
pub(crate) fn stats(snapshots: &Snapshots, out: &mut Vec<u8>) {
    if !snapshots.are_used() {
        return;
    }
    let progress = &snapshots.progress;
    let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let (_, restore) = RestoreState::of(progress.restore.load(Ordering::Acquire));
    answer::stat(out, "restore_state", restore);
    for (name, value) in [
        ("restore_items", &progress.restore_items),
        ("restore_skipped", &progress.restore_skipped),
        ("restore_bytes", &progress.restore_bytes),
        ("restore_total_items", &progress.restore_total_items),
    ] {
        answer::stat(out, name, number(value));
    }
    if snapshots.path.is_none() {
        return;
    }
    let state = match progress.writing.load(Ordering::Relaxed) {
        true => "writing",
        false if progress.failed.load(Ordering::Relaxed) => "failed",
        false => "idle",
    };
    answer::stat(out, "snapshot_state", state);
    for (name, value) in [
        ("snapshot_items", &progress.snapshot_items),
        ("snapshot_bytes", &progress.snapshot_bytes),
        ("snapshot_failures", &progress.failures),
        ("snapshot_last_success_time", &progress.last_success),
        ("snapshot_last_duration_ms", &progress.last_duration_ms),
    ] {
        answer::stat(out, name, number(value));
    }
}
