//! Latency histograms of nodes over all commands: differences, sums and quantiles.

/// Bounds of the buckets in microseconds: 1, 2, 4, ... 2^20. The last bucket has no bound.
const BOUNDS: usize = 21;

/// Number of samples by duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latency {
    buckets: [u64; BOUNDS + 1],
}

impl Latency {
    /// Parses the answer to `stats latency`, all classes together. Invalid lines are left out.
    pub(super) fn parse(stats: &[(String, String)]) -> Latency {
        let mut latency = Latency::default();
        let mut class = "";
        let mut before = 0;
        for (name, value) in stats {
            let Some((of, bound)) = name.split_once(":le_") else { continue };
            let Ok(upto) = value.parse::<u64>() else { continue };
            let Some(at) = bucket(bound) else { continue };
            if of != class {
                (class, before) = (of, 0);
            }
            let bucket = &mut latency.buckets[at];
            *bucket = bucket.saturating_add(upto.saturating_sub(before));
            before = before.max(upto);
        }
        latency
    }

    /// The samples since `base`. `None` if the node has reset its counters since.
    pub(super) fn since(&self, base: &Latency) -> Option<Latency> {
        let mut latency = Latency::default();
        for ((new, now), then) in latency.buckets.iter_mut().zip(self.buckets).zip(base.buckets) {
            *new = now.checked_sub(then)?;
        }
        Some(latency)
    }

    /// Adds the samples of another histogram.
    pub(super) fn add(&mut self, other: &Latency) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Number of samples.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, samples| sum.saturating_add(*samples))
    }

    /// The time in microseconds that `part` of all samples (from 0 to 1) did not exceed. Samples are assumed
    /// to be spread evenly over their bucket. `None` without samples.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = part.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut low) = (0.0, 0.0);
        for (at, &samples) in self.buckets.iter().enumerate() {
            let high = (1u64 << at.min(BOUNDS - 1)) as f64;
            let samples = samples as f64;
            if samples > 0.0 && below + samples >= wanted {
                return Some(low + (high - low) * (wanted - below) / samples);
            }
            (below, low) = (below + samples, high);
        }
        Some(low)
    }
}

/// The bucket of a bound: `1us`, `2us`, ... and `inf`, as in the names `le_...`.
fn bucket(bound: &str) -> Option<usize> {
    if bound == "inf" {
        return Some(BOUNDS);
    }
    let micros: u64 = bound.strip_suffix("us")?.parse().ok()?;
    let at = usize::try_from(micros.checked_ilog2()?).ok()?;
    (micros.is_power_of_two() && at < BOUNDS).then_some(at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer with one class and these samples, each a bound and a number.
    pub(in crate::top) fn told(class: &str, samples: &[(u64, u64)]) -> Vec<(String, String)> {
        let mut sum = 0;
        let mut stats: Vec<_> = (0..BOUNDS)
            .map(|at| {
                let bound = 1u64 << at;
                sum += samples.iter().find(|(of, _)| *of == bound).map_or(0, |(_, count)| *count);
                (format!("{class}:le_{bound}us"), sum.to_string())
            })
            .collect();
        stats.push((format!("{class}:le_inf"), sum.to_string()));
        stats
    }

    #[test]
    fn classes_are_added_up_and_quantiles_lie_within_their_buckets() {
        let mut stats = told("get", &[(64, 90), (128, 9)]);
        stats.extend(told("set", &[(1024, 1)]));
        let latency = Latency::parse(&stats);
        assert_eq!(latency.count(), 100);
        let near = |part: f64, micros: f64| {
            let told = latency.quantile(part).unwrap();
            assert!((told - micros).abs() < 0.5, "{told} at {part}");
        };
        near(0.45, 48.0);
        near(0.90, 64.0);
        near(0.99, 128.0);
        near(1.0, 1024.0);
        assert_eq!(Latency::default().quantile(0.5), None);
    }

    #[test]
    fn differences_are_of_what_came_in_between() {
        let then = Latency::parse(&told("get", &[(2, 10)]));
        let now = Latency::parse(&told("get", &[(2, 10), (512, 4)]));
        let new = now.since(&then).unwrap();
        assert_eq!(new, Latency::parse(&told("get", &[(512, 4)])));
        assert_eq!(then.since(&now), None, "counted anew");
        let mut both = then;
        both.add(&new);
        assert_eq!(both, now);
    }

    #[test]
    fn nonsense_is_left_out_and_what_is_endless_stays_at_the_last_bound() {
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let stats = [
            line("get:le_3us", "7"),
            line("get:le_0us", "7"),
            line("get:le_2097152us", "7"),
            line("get:le_us", "7"),
            line("get:le_1us", "x"),
            line("get:le_4us", "5"),
            line("get:le_8us", "3"),
            line("get:le_inf", "18446744073709551615"),
            line("set:le_inf", "18446744073709551615"),
        ];
        let latency = Latency::parse(&stats);
        assert_eq!(latency.buckets[2], 5);
        assert_eq!(latency.count(), u64::MAX);
        assert_eq!(latency.quantile(0.99), Some(f64::from(1 << 20)));
    }
}
