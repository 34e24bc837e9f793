//! How a key is filled.

use std::time::Duration;

use crate::ttl::{MAX_RELATIVE, Ttl, rounded_up};

/// Longest times that are taken; a server reads longer ones as dates.
const LONGEST: Duration = Duration::from_secs(MAX_RELATIVE - 1);

/// A ttl at least this many times the lease is long enough for early refreshes.
const REFRESH_FROM: u32 = 10;

/// How [`Client::get_or_fill`](crate::Client::get_or_fill) fills a key. A [`Duration`] or a [`Ttl`]
/// becomes one, with the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fill {
    ttl: Ttl,
    flags: u32,
    lease: Duration,
    refresh_before: Option<Duration>,
    patience: Option<Duration>,
}

impl Fill {
    /// Filled values live for `ttl`.
    pub fn new(ttl: impl Into<Ttl>) -> Fill {
        Fill {
            ttl: ttl.into(),
            flags: 0,
            lease: Duration::from_secs(10),
            refresh_before: None,
            patience: None,
        }
    }

    /// How long the one caller that fills has for it before another takes its place; 10 s.
    ///
    /// It should be longer than the fill ever takes: what is filled later than this is returned to
    /// its caller and not stored. A client that dies while it fills makes the others wait for the
    /// end of its lease. Servers count in seconds, so a lease lasts up to two seconds longer. At
    /// most 30 days.
    pub fn lease(mut self, lease: Duration) -> Fill {
        self.lease = lease.min(LONGEST);
        self
    }

    /// How long before the end of its life a value is refreshed: then one caller fills it anew, while
    /// all others go on getting the value that is there. Zero for never, at most 30 days.
    ///
    /// It should be longer than the fill takes and much shorter than the ttl: a value whose whole
    /// life is within it is filled by whoever asks next. If left out it is the lease, where the ttl
    /// is a [`Ttl::In`] of at least ten leases, and zero otherwise.
    pub fn refresh_before(mut self, refresh_before: Duration) -> Fill {
        self.refresh_before = Some(refresh_before.min(LONGEST));
        self
    }

    /// How long a caller waits for another's fill; twice the lease if left out, at most 30 days.
    ///
    /// After it the caller fills for itself alone, and nothing is stored. With less than the lease
    /// (and the two seconds that may come on top) a slow fill, or a client that dies while it fills,
    /// lets all waiting callers fill at once.
    pub fn patience(mut self, patience: Duration) -> Fill {
        self.patience = Some(patience.min(LONGEST));
        self
    }

    /// The client flags that values are stored with; 0.
    pub fn flags(mut self, flags: u32) -> Fill {
        self.flags = flags;
        self
    }

    pub(super) fn ttl(&self) -> Ttl {
        self.ttl
    }

    pub(super) fn client_flags(&self) -> u32 {
        self.flags
    }

    /// Seconds for which a server keeps a lease. Its clock ticks once a second, so an item may lose
    /// up to one of its seconds at birth.
    pub(super) fn lease_seconds(&self) -> u64 {
        rounded_up(self.lease) + 1
    }

    /// Seconds before the end of its life at which a value is refreshed; 0 for never.
    pub(super) fn refresh_seconds(&self) -> u64 {
        let refresh_before = self.refresh_before.unwrap_or_else(|| match self.ttl {
            Ttl::In(ttl) if ttl >= self.lease.saturating_mul(REFRESH_FROM) => self.lease,
            _ => Duration::ZERO,
        });
        rounded_up(refresh_before)
    }

    pub(super) fn longest_wait(&self) -> Duration {
        self.patience.unwrap_or((self.lease * 2).min(LONGEST))
    }
}

impl From<Duration> for Fill {
    fn from(ttl: Duration) -> Fill {
        Fill::new(ttl)
    }
}

impl From<Ttl> for Fill {
    fn from(ttl: Ttl) -> Fill {
        Fill::new(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn long_lives_are_refreshed_a_lease_before_their_end() {
        for (fill, expected) in [
            (Fill::new(seconds(100)), 10),
            (Fill::new(seconds(99)), 0),
            (Fill::new(Ttl::Never), 0),
            (Fill::new(seconds(99)).lease(seconds(2)), 2),
            (Fill::new(seconds(100)).refresh_before(Duration::ZERO), 0),
            (Fill::new(seconds(100)).refresh_before(Duration::from_millis(10)), 1),
        ] {
            assert_eq!(fill.refresh_seconds(), expected, "{fill:?}");
        }
    }

    #[test]
    fn a_server_keeps_a_lease_no_shorter_than_asked_and_never_reads_it_as_a_date() {
        assert_eq!(Fill::new(Ttl::Never).lease(Duration::from_millis(1200)).lease_seconds(), 3);
        let most = Fill::new(Ttl::Never).lease(Duration::MAX).refresh_before(Duration::MAX);
        assert_eq!(most.lease_seconds(), MAX_RELATIVE);
        assert!(most.refresh_seconds() < MAX_RELATIVE);
        assert_eq!(most.longest_wait(), LONGEST);
    }

    #[test]
    fn patience_outlasts_the_lease_unless_told_otherwise() {
        assert_eq!(Fill::new(Ttl::Never).lease(seconds(3)).longest_wait(), seconds(6));
        assert_eq!(Fill::new(Ttl::Never).patience(seconds(1)).longest_wait(), seconds(1));
    }
}
