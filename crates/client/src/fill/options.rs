//! The options of a fill.

use std::time::Duration;

use crate::ttl::{MAX_RELATIVE, Ttl, rounded_up};

/// Longest accepted time; a server reads a longer one as a date.
const LONGEST: Duration = Duration::from_secs(MAX_RELATIVE - 1);

/// Length of a ttl, in leases, from which early refreshes are on by default.
const REFRESH_FROM: u32 = 10;

/// The options of [`Client::get_or_fill`](crate::Client::get_or_fill). A [`Duration`] or a [`Ttl`]
/// converts to one, with the defaults.
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
    /// Options for values that live for `ttl`.
    pub fn new(ttl: impl Into<Ttl>) -> Fill {
        Fill {
            ttl: ttl.into(),
            flags: 0,
            lease: Duration::from_secs(10),
            refresh_before: None,
            patience: None,
        }
    }

    /// Time that the one filling caller has before another takes its place. At most 30 days; the
    /// default is 10 s.
    ///
    /// It should be longer than the longest fill: a later value is returned to its caller and not
    /// stored. If a client dies while it fills, the others wait for the end of its lease. Servers
    /// count in seconds, so a lease may last up to two seconds longer.
    pub fn lease(mut self, lease: Duration) -> Fill {
        self.lease = lease.min(LONGEST);
        self
    }

    /// Time before the end of a value's life at which it is refreshed: one caller fills again,
    /// while all others still get the old value. Zero means never; at most 30 days.
    ///
    /// It should be longer than the fill and much shorter than the ttl: if a value's whole life is
    /// within this time, the next caller fills it again. The default is the lease if the ttl is a
    /// [`Ttl::In`] of at least ten leases, and zero otherwise.
    pub fn refresh_before(mut self, refresh_before: Duration) -> Fill {
        self.refresh_before = Some(refresh_before.min(LONGEST));
        self
    }

    /// Time that a caller waits for another's fill. The default is twice the lease; at most 30
    /// days.
    ///
    /// After it the caller fills for itself alone, and nothing is stored. If it is shorter than the
    /// lease plus the possible two seconds, a slow fill, or a client that dies while it fills, lets
    /// all waiting callers fill at once.
    pub fn patience(mut self, patience: Duration) -> Fill {
        self.patience = Some(patience.min(LONGEST));
        self
    }

    /// The client flags of stored values. The default is 0.
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
    /// up to a second of its life when it is created.
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
