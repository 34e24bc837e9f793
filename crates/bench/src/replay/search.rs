//! Search for the memory limit with which a server stays within an amount of resident memory.
//!
//! This module measures nothing. The caller tries the limit that [`Search::next`] returns and passes the
//! result to [`Search::note`].

/// A limit in megabytes that was tried, and the resulting peak of resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tried {
    limit: u64,
    peak: u64,
}

/// The state of the search.
#[derive(Debug)]
pub(super) struct Search {
    target: u64,
    /// The highest limit tried that stays within the target.
    fits: Option<Tried>,
    /// The lowest limit tried that exceeds the target.
    exceeds: Option<Tried>,
    /// The previous value of `exceeds`.
    exceeded: Option<Tried>,
    /// Whether the server would not use more memory.
    sated: bool,
}

impl Search {
    /// A search for a peak of at most this many bytes.
    pub(super) fn new(target: u64) -> Self {
        Self { target, fits: None, exceeds: None, exceeded: None, sated: false }
    }

    /// Records the peak with a limit, and whether items were evicted for lack of memory.
    pub(super) fn note(&mut self, limit: u64, peak: u64, evicted: bool) {
        let tried = Tried { limit, peak };
        if peak > self.target {
            if self.exceeds.is_none_or(|it| limit < it.limit) {
                self.exceeded = self.exceeds.replace(tried);
            }
        } else if self.fits.is_none_or(|it| limit > it.limit) {
            self.fits = Some(tried);
            self.sated = !evicted;
        }
    }

    /// The best limit so far.
    pub(super) fn best(&self) -> Option<u64> {
        self.fits.map(|it| it.limit)
    }

    /// The limit to try next; `None` if further runs would hardly come closer.
    pub(super) fn next(&self) -> Option<u64> {
        let scaled = |it: Tried| {
            let limit = u128::from(it.limit) * u128::from(self.target) / u128::from(it.peak.max(1));
            u64::try_from(limit).unwrap_or(u64::MAX)
        };
        match (self.fits, self.exceeds) {
            (None, None) => None,
            (Some(fits), None) => {
                let close = self.sated || fits.peak >= self.target - self.target / 100;
                // The process's fixed memory makes a low limit look worse than it is.
                let most = fits.limit.saturating_mul(4);
                (!close).then(|| scaled(fits).clamp(fits.limit + 1, most.max(fits.limit + 1)))
            }
            (None, Some(exceeds)) => (exceeds.limit > 1).then(|| {
                // Two points determine the process's fixed memory.
                let line = self.exceeded.and_then(|it| straight(exceeds, it, self.target));
                line.unwrap_or_else(|| scaled(exceeds)).clamp(1, exceeds.limit - 1)
            }),
            (Some(fits), Some(exceeds)) => {
                let gap = exceeds.limit.saturating_sub(fits.limit);
                let close = fits.peak >= self.target - self.target / 100;
                if gap <= 1 || gap <= fits.limit / 100 || close {
                    return None;
                }
                // Assumes that peaks grow in proportion, but takes at least an eighth of the gap.
                let (up, whole) = (self.target - fits.peak, exceeds.peak - fits.peak);
                let step = u128::from(gap) * u128::from(up) / u128::from(whole.max(1));
                let step = u64::try_from(step).unwrap_or(u64::MAX);
                let least = (gap / 8).max(1);
                Some(fits.limit + step.clamp(least, (gap - least).max(1)))
            }
        }
    }
}

/// The limit at which the line through two points meets the target below both of them; 0 if it does not meet
/// it. `None` if the line does not rise, as with memory that was never used.
fn straight(low: Tried, high: Tried, target: u64) -> Option<u64> {
    let rise = u128::from(high.peak.checked_sub(low.peak).filter(|&rise| rise > 0)?);
    let run = u128::from(high.limit.checked_sub(low.limit)?);
    let down = u128::from(low.peak.saturating_sub(target)) * run / rise + 1;
    Some(low.limit.saturating_sub(u64::try_from(down).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// Simulates a search on a server that needs `base` megabytes and `percent` of its limit.
    fn search(start: u64, target: u64, base: u64, percent: u64) -> (Option<u64>, usize) {
        let peak = |limit: u64| base * MB + limit * MB * percent / 100;
        let mut search = Search::new(target * MB);
        search.note(start, peak(start), true);
        let mut runs = 0;
        while let Some(limit) = search.next() {
            search.note(limit, peak(limit), true);
            runs += 1;
            assert!(runs < 30);
        }
        (search.best(), runs)
    }

    #[test]
    fn a_limit_close_below_the_target_is_found_in_few_runs() {
        for (start, target, base, percent) in
            [(64, 70, 5, 130), (1024, 1000, 10, 90), (64, 70, 40, 300), (16, 900, 3, 100)]
        {
            let (best, runs) = search(start, target, base, percent);
            let best = best.unwrap();
            let peak = |limit: u64| base + limit * percent / 100;
            assert!(peak(best) <= target, "{start} {target}: {best}");
            let near = peak(best) >= target - target / 100 - 1;
            assert!(near || peak(best + 1 + best / 100) > target, "{start} {target}: {best}");
            assert!(runs <= 6, "{start} {target}: {runs} runs");
        }
    }

    #[test]
    fn a_target_that_no_limit_meets_ends_at_the_least() {
        assert_eq!(search(64, 10, 20, 100).0, None);
    }

    #[test]
    fn memory_that_would_not_be_used_is_not_looked_for() {
        let mut search = Search::new(100 * MB);
        search.note(64, 20 * MB, false);
        assert_eq!((search.next(), search.best()), (None, Some(64)));
    }
}
