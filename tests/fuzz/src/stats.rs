//! The promises of the reader of `stats`, checked on any bytes in place of a node's answers.
//!
//! - It never panics.
//! - Reports are bounded: peers, keys, classes of commands, and texts.
//! - Ratios, shares and quantiles lie within their ranges, and rates are finite.
//!
//! An input is read as the lines of an answer, and as choices that make nearly valid lines, since
//! random bytes seldom make one.

use std::time::Duration;

use ringbinder_protocol::stats::{
    BUCKETS, Histogram, Latency, MAX_HOT_KEYS, MAX_PEERS, NodeReport, Rates, key_text, lines, merge,
};

use crate::choices::Choices;

/// Longest text that the checks permit, in characters.
const MAX_TEXT: usize = 16;

const NAMES: &str = "pid uptime cmd_get get_hits get_misses foreign_get_failed foreign_failed \
    ringbinder_version ring_version ring_digest ring_node ring_rival ring_settled ring_standing \
    foreign_gets peer:a:state peer:a:rival peer:b:1:reason get:le_1us get:le_64us get:le_inf \
    get:sum_us window_seconds 1:key 1:rate 1:share";

const VALUES: &str = "0 1 7 18446744073709551615 18446744073709551616 -1 NaN inf 1e308 - away yes \
    00000000000000ff a%2";

/// Checks all promises for these bytes.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (before, now) = (nearly(&mut choices), nearly(&mut choices));
    let raw = report(data);
    let [before, now] = [before, now].map(|answer| report(answer.as_bytes()));
    for report in [&raw, &before, &now] {
        one(report);
    }
    for (before, now) in [(&before, &now), (&now, &before), (&now, &now), (&raw, &now)] {
        if let Some(rates) = Rates::between(before, now, Duration::from_millis(1)) {
            let ratios = [rates.hit_ratio(), rates.failed_share()];
            assert!(ratios.iter().flatten().all(|ratio| (0.0..=1.0).contains(ratio)), "{rates:?}");
            assert!(rates.requests.is_finite() && rates.traffic.is_finite(), "{rates:?}");
        }
        let latency = now.latency.as_ref().zip(before.latency.as_ref());
        if let Some(new) = latency.and_then(|(now, before)| now.since(before)) {
            histogram(&new.together());
        }
    }
    let hot = [&raw, &before, &now].into_iter().enumerate();
    for key in merge(hot.filter_map(|(node, report)| Some((node, report.hot_keys.as_ref()?)))) {
        assert!(key.share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{key:?}");
        assert!(key.rate >= 0.0 && key.nodes.len() <= 3, "{key:?}");
        assert!(key_text(&key.key).bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// Lines with known names and unusual values.
fn nearly(choices: &mut Choices<'_>) -> String {
    let [names, values] = [NAMES, VALUES].map(|words| words.split_whitespace().collect::<Vec<_>>());
    let mut answer = String::new();
    for _ in 0..choices.below(24) {
        answer += &format!("STAT {} {}\r\n", choices.pick(&names), choices.pick(&values));
    }
    answer
}

fn report(answer: &[u8]) -> NodeReport {
    let lines = lines(answer);
    let words = |text: &str| text.chars().take(MAX_TEXT).collect();
    NodeReport::read(&lines, Some(&lines), Some(&lines), Some(&lines), words)
}

fn one(report: &NodeReport) {
    let is_bounded = |text: &str| text.chars().count() <= MAX_TEXT;
    assert!(report.general.program().is_none_or(is_bounded));
    if let Some(ring) = &report.ring {
        assert!(ring.peers.len() <= MAX_PEERS && ring.peers.values().all(|it| it.has_problem()));
        assert!(ring.disputed().all(is_bounded));
        assert!(ring.unreached().all(|(name, reason)| is_bounded(name) && is_bounded(reason)));
    }
    if let Some(Latency { classes }) = &report.latency {
        assert!(classes.len() <= 32 && classes.keys().all(|class| class.len() <= 32));
        classes.values().for_each(histogram);
    }
    let keys = report.hot_keys.iter().flat_map(|hot| &hot.keys);
    assert!(keys.clone().count() <= MAX_HOT_KEYS);
    assert!(keys.map(|hot| hot.rate).all(|rate| rate.is_finite() && rate >= 0.0));
}

fn histogram(histogram: &Histogram) {
    let parts = [0.0, 0.5, 0.99, 1.0];
    let quantiles: Vec<f64> = parts.iter().filter_map(|part| histogram.quantile(*part)).collect();
    assert_eq!(quantiles.is_empty(), histogram.count() == 0);
    assert!(quantiles.is_sorted(), "{histogram:?}: {quantiles:?}");
    let highest = Histogram::bound(BUCKETS - 2).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "2^20")]
    let range = 0.0..=highest as f64;
    assert!(quantiles.iter().all(|quantile| range.contains(quantile)), "{quantiles:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn nearly_valid_answers_keep_the_promises() {
        let mut state = 1u64;
        for _ in 0..1_000 {
            let data: Vec<u8> = (0..120)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_be_bytes()[0]
                })
                .collect();
            super::check(&data);
        }
    }
}
