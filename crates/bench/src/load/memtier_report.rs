//! Parser for the output of memtier_benchmark's `--json-out-file`.
//!
//! Its `Ops/sec` is not used: it divides by a duration that may differ by a whole second from the actual
//! duration of the load. The counts of each second (`Time-Serie`) are right. Only the last second, in which
//! the load ended, is left out.

use std::collections::HashMap;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Outcome;

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "ALL STATS")]
    all: All,
}

#[derive(Deserialize)]
struct All {
    #[serde(rename = "Totals")]
    totals: Totals,
}

#[derive(Deserialize)]
struct Totals {
    #[serde(rename = "Count")]
    count: u64,
    #[serde(rename = "Ops/sec")]
    per_second: f64,
    #[serde(rename = "Misses/sec", default)]
    misses_per_second: f64,
    #[serde(rename = "Connection Errors", default)]
    connection_errors: u64,
    #[serde(rename = "Percentile Latencies")]
    percentiles: Percentiles,
    #[serde(rename = "Time-Serie", default)]
    seconds: HashMap<u32, Second>,
}

/// Latencies in milliseconds.
#[derive(Deserialize)]
struct Percentiles {
    #[serde(rename = "p50.00")]
    p50: f64,
    #[serde(rename = "p99.00")]
    p99: f64,
    #[serde(rename = "p99.90")]
    p999: f64,
}

#[derive(Deserialize)]
struct Second {
    #[serde(rename = "Count")]
    count: u64,
}

/// The outcome of a load of this many seconds.
pub(super) fn parse(json: &[u8], seconds: u32) -> anyhow::Result<Outcome> {
    let report: Report =
        serde_json::from_slice(json).context("memtier's JSON has an unknown form")?;
    let totals = report.all.totals;
    if totals.count == 0 {
        bail!("memtier got no answer at all");
    }
    let whole = totals.seconds.iter().filter(|(at, _)| **at < seconds);
    let in_time: u64 = whole.map(|(_, second)| second.count).sum();
    if in_time == 0 {
        bail!("memtier counted nothing in any second");
    }
    let millis = |time: f64| time * 1000.0;
    let trouble = (totals.connection_errors > 0)
        .then(|| format!("{} connection errors", totals.connection_errors));
    Ok(Outcome {
        requests: totals.count,
        per_second: in_time as f64 / f64::from(seconds),
        p50: millis(totals.percentiles.p50),
        p99: millis(totals.percentiles.p99),
        p999: millis(totals.percentiles.p999),
        misses: misses(&totals)?,
        trouble,
    })
}

/// The number of misses. Both rates divide by the same duration, so their ratio is right even if the duration
/// is wrong.
fn misses(totals: &Totals) -> anyhow::Result<u64> {
    if totals.misses_per_second <= 0.0 || totals.per_second <= 0.0 {
        return Ok(0);
    }
    let misses = totals.misses_per_second / totals.per_second * totals.count as f64;
    // At least one: a run with a rate above zero is not clean.
    let rounded = format!("{misses:.0}");
    let misses: u64 = rounded.parse().with_context(|| format!("{rounded} misses"))?;
    Ok(misses.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An excerpt of memtier's output for two seconds of a 1:10 mix.
    fn json(misses: &str, errors: u32, count: u64) -> String {
        format!(
            r#"{{"configuration": {{"server": "127.0.0.1"}}, "ALL STATS": {{
            "Runtime": {{"Total duration": 2002, "Interrupted": "false"}},
            "Sets": {{"Count": 92365}},
            "Totals": {{
                "Count": {count}, "Ops/sec": 507509.75, "Hits/sec": 310537.83,
                "Misses/sec": {misses}, "Connection Errors": {errors}, "Latency": 0.0,
                "Time-Serie": {{
                    "0": {{"Count": 582167, "p50.00": 0.823}},
                    "1": {{"Count": 433253}},
                    "2": {{"Count": 512}}
                }},
                "Percentile Latencies": {{"p50.00": 0.839, "p99.00": 2.319, "p99.90": 10.047,
                    "Histogram log format": {{"Compressed Histogram": "HIST"}}}}
            }} }} }}"#
        )
    }

    #[test]
    fn whole_seconds_make_the_throughput() {
        let outcome = parse(json("0.00", 0, 1_015_932).as_bytes(), 2).unwrap();
        let wanted = Outcome {
            requests: 1_015_932,
            per_second: 507_710.0,
            p50: 839.0,
            p99: 2_319.0,
            p999: 10_047.0,
            misses: 0,
            trouble: None,
        };
        assert_eq!(outcome, wanted);
    }

    #[test]
    fn misses_and_errors_are_told() {
        let outcome = parse(json("150830.9", 2, 1_015_932).as_bytes(), 2).unwrap();
        assert_eq!(outcome.misses, 301_933);
        assert_eq!(outcome.trouble.unwrap(), "2 connection errors");
        let outcome = parse(json("0.01", 0, 1_015_932).as_bytes(), 2).unwrap();
        assert_eq!(outcome.misses, 1);
    }

    #[test]
    fn nothing_measured_is_an_error() {
        assert!(parse(json("0.0", 0, 0).as_bytes(), 2).is_err());
        assert!(parse(json("0.0", 0, 5).replace("Time-Serie", "x").as_bytes(), 2).is_err());
        assert!(parse(b"{}", 2).is_err());
        assert!(parse(b"", 2).is_err());
    }
}
