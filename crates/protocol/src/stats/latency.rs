//! The answer to `stats latency`, and the histogram that it is made of.

use std::collections::BTreeMap;

use super::{Lines, float};

/// The number of buckets: up to 1, 2, 4, ... 2^20 microseconds, and one without a bound.
pub const BUCKETS: usize = 22;

/// Most classes of commands that are kept; a node has about ten.
const MAX_CLASSES: usize = 32;

/// Longest name of a class, in bytes.
const MAX_CLASS_NAME: usize = 32;

/// Samples of a duration, by powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Samples in each bucket, not cumulative.
    pub buckets: [u64; BUCKETS],
    /// The sum of all samples, in nanoseconds.
    pub sum: u64,
}

impl Histogram {
    /// The upper bound of a bucket in microseconds; `None` for the last one.
    pub fn bound(bucket: usize) -> Option<u64> {
        (bucket < BUCKETS - 1).then(|| 1 << bucket)
    }

    /// The bucket with this upper bound: a power of two from 1 to 2^20.
    fn bucket(bound: u64) -> Option<usize> {
        (0..BUCKETS).find(|&bucket| Histogram::bound(bucket) == Some(bound))
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, samples| sum.saturating_add(*samples))
    }

    /// The upper bound of each bucket, and the samples up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let mut upto = 0u64;
        self.buckets.iter().enumerate().map(move |(bucket, samples)| {
            upto = upto.saturating_add(*samples);
            (Histogram::bound(bucket), upto)
        })
    }

    /// Adds the samples of another histogram.
    pub fn add(&mut self, other: &Histogram) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The samples since an earlier state. `None` if the counters were reset since.
    pub fn since(&self, earlier: &Histogram) -> Option<Histogram> {
        let mut since = *self;
        for (now, before) in since.buckets.iter_mut().zip(earlier.buckets) {
            *now = now.checked_sub(before)?;
        }
        since.sum = self.sum.saturating_sub(earlier.sum);
        Some(since)
    }

    /// The time in microseconds that `part` of all samples, from 0 to 1, did not exceed. Samples are
    /// assumed to be spread evenly over their bucket; those beyond the last bound count as that
    /// bound. `None` without samples.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = part.clamp(0.0, 1.0) * float(count);
        let (mut below, mut low) = (0.0, 0.0);
        for (bucket, &samples) in self.buckets.iter().enumerate() {
            let high = Histogram::bound(bucket).map_or(low, float);
            let samples = float(samples);
            if samples > 0.0 && below + samples >= wanted {
                let within = ((wanted - below) / samples).clamp(0.0, 1.0);
                return Some(low + (high - low) * within);
            }
            (below, low) = (below + samples, high);
        }
        Some(low)
    }
}

/// The latency of answers since a node's start or its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// By class of commands, at most 32.
    pub classes: BTreeMap<String, Histogram>,
}

impl Latency {
    /// Reads the answer: `get:le_64us 7` and `get:sum_us 99`.
    pub fn read(lines: &Lines) -> Latency {
        let mut classes: BTreeMap<&str, Histogram> = BTreeMap::new();
        for (name, value) in lines.iter().rev() {
            let Some((class, field)) = name.split_once(':') else { continue };
            let Ok(number) = value.parse::<u64>() else { continue };
            let bucket = match field.strip_prefix("le_") {
                Some("inf") => Some(BUCKETS - 1),
                Some(bound) => {
                    let bound = bound.strip_suffix("us").and_then(|bound| bound.parse().ok());
                    bound.and_then(Histogram::bucket)
                }
                None => None,
            };
            let is_name =
                class.len() <= MAX_CLASS_NAME && class.bytes().all(|b| b.is_ascii_graphic());
            let has_room = classes.len() < MAX_CLASSES || classes.contains_key(class);
            if !is_name || !has_room || (bucket.is_none() && field != "sum_us") {
                continue;
            }
            let histogram = classes.entry(class).or_default();
            match bucket {
                Some(bucket) => histogram.buckets[bucket] = number,
                None => histogram.sum = number.saturating_mul(1000),
            }
        }
        // Lines are cumulative. A line that is missing or too small counts as the one before.
        for histogram in classes.values_mut() {
            let mut highest = 0;
            for bucket in &mut histogram.buckets {
                let upto = highest.max(*bucket);
                (*bucket, highest) = (upto - highest, upto);
            }
        }
        let classes = classes.into_iter().map(|(class, it)| (class.to_owned(), it));
        Latency { classes: classes.collect() }
    }

    /// The samples since an earlier state. `None` if the counters were reset since.
    pub fn since(&self, earlier: &Latency) -> Option<Latency> {
        if !earlier.classes.keys().all(|class| self.classes.contains_key(class)) {
            return None;
        }
        let since = self.classes.iter().map(|(class, now)| match earlier.classes.get(class) {
            Some(earlier) => Some((class.clone(), now.since(earlier)?)),
            None => Some((class.clone(), *now)),
        });
        Some(Latency { classes: since.collect::<Option<_>>()? })
    }

    /// Adds the samples of another node.
    pub fn add(&mut self, other: &Latency) {
        for (class, more) in &other.classes {
            self.classes.entry(class.clone()).or_default().add(more);
        }
    }

    /// All classes in one histogram.
    pub fn together(&self) -> Histogram {
        let mut all = Histogram::default();
        for histogram in self.classes.values() {
            all.add(histogram);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    /// An answer with one class and these samples, each a bound and a number.
    fn answer(class: &str, samples: &[(u64, u64)]) -> Latency {
        let mut buckets = [0; BUCKETS];
        for (bound, number) in samples {
            buckets[Histogram::bucket(*bound).unwrap()] = *number;
        }
        let histogram = Histogram { buckets, sum: 0 };
        let lines = histogram.cumulative().map(|(bound, upto)| match bound {
            Some(bound) => format!("{class}:le_{bound}us {upto}\n"),
            None => format!("{class}:le_inf {upto}\n"),
        });
        Latency::read(&pairs(&lines.collect::<String>()))
    }

    #[test]
    fn classes_are_added_up_and_quantiles_lie_within_their_buckets() {
        let mut latency = answer("get", &[(64, 90), (128, 9)]);
        latency.add(&answer("set", &[(1024, 1)]));
        let all = latency.together();
        assert_eq!((latency.classes.len(), all.count()), (2, 100));
        for (part, micros) in [(0.45, 48.0), (0.90, 64.0), (0.99, 128.0), (1.0, 1024.0)] {
            let quantile = all.quantile(part).unwrap();
            assert!((quantile - micros).abs() < 0.5, "{quantile} at {part}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
        let lines = "get:count 10\nget:sum_us 30\nget:le_1us 2\nget:le_2us 6\nget:le_4us 10\n\
                     get:le_inf 10\nset:sum_us 9000000\nset:le_inf 1\n";
        let latency = Latency::read(&pairs(lines));
        let get = latency.classes["get"];
        assert_eq!((get.count(), get.sum, get.buckets[1]), (10, 30_000, 4));
        assert_eq!((get.quantile(0.5), get.quantile(1.0)), (Some(1.75), Some(4.0)));
        let beyond = Histogram::bound(BUCKETS - 2).map(float);
        assert_eq!(latency.classes["set"].quantile(0.5), beyond, "beyond the last bound");
    }

    #[test]
    fn differences_are_the_samples_in_between_unless_there_was_a_reset() {
        let then = answer("get", &[(2, 10)]);
        let mut now = answer("get", &[(2, 10), (512, 4)]);
        now.add(&answer("set", &[(1, 1)]));
        let new = now.since(&then).unwrap();
        assert_eq!(new.classes["get"], answer("get", &[(512, 4)]).classes["get"]);
        assert_eq!(new.together().count(), 5);
        assert_eq!(answer("get", &[(2, 9)]).since(&then), None);
        assert_eq!(then.since(&now), None, "a class is gone");
        let mut both = then.clone();
        both.add(&new);
        assert_eq!(both, now);
    }

    #[test]
    fn malformed_lines_are_left_out_and_sums_saturate() {
        let latency = Latency::read(&pairs(
            "get:le_3us 7\nget:le_0us 7\nget:le_2097152us 7\nget:le_us 7\nget:le_1us x\nle_1us 4\n\
             get:le_4us 5\nget:le_8us 3\nget:le_inf 18446744073709551615\n\
             set:le_inf 18446744073709551615\na\u{9b}b:le_inf 1\n",
        ));
        assert_eq!(latency.classes["get"].buckets[2], 5);
        let all = latency.together();
        assert_eq!((latency.classes.len(), all.count()), (2, u64::MAX));
        assert_eq!(all.quantile(0.99), Some(f64::from(1 << 20)));
        let falling = Latency::read(&pairs("get:le_1us 5\nget:le_inf 1\n"));
        assert_eq!(falling.classes["get"].count(), 5);
        let many: String = (0..1000).map(|class| format!("c{class}:le_inf 1\n")).collect();
        assert_eq!(Latency::read(&pairs(&many)).classes.len(), MAX_CLASSES);
    }
}
