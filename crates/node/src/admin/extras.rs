//! Metrics of what only some nodes have: TLS, and snapshots.
//!
//! They are taken out of the node's own answer to `stats`, which leaves out what it does not have; a
//! metric that is not there alarms nobody.

use super::exposition::Exposition;
use super::figures::Answer;
use crate::shared::Shared;
use crate::stats;

/// Whether a metric goes up only.
#[derive(Clone, Copy)]
enum Goes {
    Up,
    UpAndDown,
}

/// The name in `stats`, the metric and its help.
const EXTRAS: [(&str, Goes, &str, &str); 5] = [
    (
        "ssl_handshake_errors",
        Goes::Up,
        "ringbinder_tls_handshake_errors_total",
        "TLS handshakes that failed.",
    ),
    (
        "snapshot_failures",
        Goes::Up,
        "ringbinder_snapshot_failures_total",
        "Snapshots that could not be written.",
    ),
    (
        "snapshot_last_success_time",
        Goes::UpAndDown,
        "ringbinder_snapshot_last_success_seconds",
        "When a snapshot was last written, Unix; 0 for never in this run.",
    ),
    (
        "restore_items",
        Goes::UpAndDown,
        "ringbinder_restored_items",
        "Items that this run took up from the one before.",
    ),
    (
        "restore_total_items",
        Goes::UpAndDown,
        "ringbinder_restored_items_offered",
        "Items that the one before left.",
    ),
];

/// Writes those that there are.
pub(super) fn extras(shared: &Shared, page: &mut Exposition) {
    let mut text = Vec::new();
    stats::general(shared, &mut text);
    write(&Answer::parse(&text), page);
}

fn write(said: &Answer, page: &mut Exposition) {
    for (stat, goes, name, help) in EXTRAS {
        let Some(value) = said.number(stat) else {
            continue;
        };
        match goes {
            Goes::Up => page.counter(name, help, value),
            Goes::UpAndDown => page.gauge(name, help, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Form;
    use super::*;

    #[test]
    fn what_a_node_does_not_have_is_left_out() {
        let mut page = Exposition::new(Form::accepted(""));
        write(
            &Answer::parse(b"STAT snapshot_failures 3\r\nSTAT restore_items x\r\nEND\r\n"),
            &mut page,
        );
        let text = page.finish();
        assert!(text.contains("ringbinder_snapshot_failures_total 3"), "{text}");
        assert!(!text.contains("restored"), "{text}");
    }
}
