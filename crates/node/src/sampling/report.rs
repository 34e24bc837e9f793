//! `stats hotkeys` and `stats latency`.

use std::io::Write;

use ringbinder_protocol::answer;
use ringbinder_protocol::stats::Latency;

use super::SAMPLED_EVERY;
use crate::worker::shared::Shared;

/// `stats hotkeys`
pub(crate) fn hot_keys(shared: &Shared, out: &mut Vec<u8>) {
    let hottest = shared.hot_keys();
    answer::stat(out, "window_seconds", hottest.window);
    answer::stat(out, "sampled_every", SAMPLED_EVERY);
    for (number, hot) in (1..).zip(&hottest.keys) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "STAT {number}:key ");
        answer::uri_encode(out, &hot.key);
        out.extend_from_slice(b"\r\n");
        answer::stat(out, &format!("{number}:rate"), format_args!("{:.1}", hot.rate));
        answer::stat(
            out,
            &format!("{number}:share"),
            format_args!("{:.6}", hot.share.unwrap_or(0.0)),
        );
    }
    answer::line(out, "END");
}

/// `stats latency`
pub(crate) fn latency(shared: &Shared, out: &mut Vec<u8>) {
    answer::stat(out, "sampled_every", SAMPLED_EVERY);
    for (class, histogram) in shared.latency().iter() {
        let name = class.name();
        let count = histogram.count();
        answer::stat(out, &format!("{name}:count"), count);
        answer::stat(out, &format!("{name}:sum_us"), histogram.sum / 1000);
        for (bound, samples) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "inf".to_owned(), |bound| format!("{bound}us"));
            answer::stat(out, &format!("{name}:le_{bound}"), samples);
        }
    }
    answer::line(out, "END");
}

/// The same as a report.
pub(crate) fn latency_report(shared: &Shared) -> Latency {
    let classes = shared.latency();
    let classes = classes.iter().map(|(class, histogram)| (class.name().to_owned(), *histogram));
    Latency { classes: classes.collect() }
}
