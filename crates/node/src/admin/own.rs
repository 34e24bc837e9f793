//! This node's own report, without a connection to itself.

use ringbinder_protocol::stats::{Lines, NodeReport, lines};
use ringbinder_ring::printable::words;

use crate::ring;
use crate::sampling;
use crate::stats;
use crate::worker::shared::Shared;

/// The report. Counters and the ring are read from the lines that other nodes get, so that they mean
/// the same for every node; latency and hot keys are taken as they are.
pub(super) fn report(shared: &Shared) -> NodeReport {
    let (mut general, mut ring) = (Vec::new(), Vec::new());
    stats::general(shared, &mut general);
    let mut written = None;
    while ring::report(shared, &mut written, &mut ring) {}
    let (general, ring): (&Lines, &Lines) = (&lines(&general), &lines(&ring));
    let mut report = NodeReport::read(general, Some(ring), None, None, words);
    report.latency = Some(sampling::latency_report(shared));
    // What clients may not read is not shown on the page either.
    report.hot_keys = (!shared.settings.disable_dumping).then(|| shared.hot_keys());
    report
}
