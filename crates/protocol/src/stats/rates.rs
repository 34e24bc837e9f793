//! Rates: the differences between two reports of one node, per second.

use std::time::Duration;

use super::{NodeReport, RingReport, float};

macro_rules! rates {
    ($($(#[$doc:meta])* $name:ident: $counter:expr,)*) => {
        /// Rates of a node or of several nodes together, per second.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Rates {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Rates {
            /// The rates between two reports, `took` apart. `None` if they come from two processes,
            /// if a counter is smaller than before (`stats reset`), or if no time passed.
            pub fn between(before: &NodeReport, now: &NodeReport, took: Duration) -> Option<Rates> {
                let seconds = took.as_secs_f64();
                if seconds <= 0.0 || !now.follows(before) {
                    return None;
                }
                let grown = |of: fn(&NodeReport) -> u64| {
                    Some(float(of(now).checked_sub(of(before))?) / seconds)
                };
                Some(Rates { $($name: grown($counter)?,)* })
            }

            /// Adds the rates of another node.
            pub fn add(&mut self, other: &Rates) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

rates! {
    /// Requests of every kind that the node carried out.
    requests: |it| it.general.requests(),
    /// Gets: hits, misses, and gets that no owner answered.
    gets: |it| it.general.gets().unwrap_or(0),
    /// Of these, gets that the node answered itself: hits and misses.
    served_gets: |it| it.general.cmd_get.unwrap_or(0),
    /// Of these, hits.
    hits: |it| it.general.get_hits.unwrap_or(0),
    /// Of these, gets that no owner answered.
    failed_gets: |it| it.general.foreign_get_failed.unwrap_or(0),
    /// All requests that no owner answered.
    failed: |it| it.general.foreign_failed.unwrap_or(0),
    /// Values stored.
    sets: |it| it.general.cmd_set.unwrap_or(0),
    /// Items removed to make room.
    evictions: |it| it.general.evictions.unwrap_or(0),
    /// Values refused for lack of memory.
    no_memory: |it| it.general.store_no_memory.unwrap_or(0),
    /// Requests for keys of other nodes that the node forwarded.
    forwarded: |it| it.ring.as_ref().map_or(0, RingReport::forwarded),
    /// Requests for keys of other nodes: forwarded or refused.
    foreign: |it| it.ring.as_ref().map_or(0, RingReport::foreign),
    /// Bytes to and from clients.
    traffic: |it| it.general.traffic(),
}

impl Rates {
    /// Hits as a share of all gets, from 0 to 1. `None` without gets.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.gets > 0.0).then(|| (self.hits / self.gets).min(1.0))
    }

    /// Gets that no owner answered as a share of all gets, from 0 to 1. `None` if none failed.
    pub fn failed_share(&self) -> Option<f64> {
        (self.failed_gets > 0.0).then(|| (self.failed_gets / self.gets).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::General;
    use super::*;

    /// A report with these hits, misses and failed gets.
    fn report(hits: u64, misses: u64, failed: u64) -> NodeReport {
        let general = General {
            pid: Some(1),
            uptime: Some(60),
            cmd_get: Some(hits + misses),
            get_hits: Some(hits),
            get_misses: Some(misses),
            foreign_get_failed: Some(failed),
            ..General::default()
        };
        NodeReport { general, ..NodeReport::default() }
    }

    #[test]
    fn rates_are_of_one_process_and_of_counters_that_grow() {
        let (before, mut after) = (report(50, 50, 0), report(125, 75, 0));
        let seconds = Duration::from_secs;
        let rates = Rates::between(&before, &after, seconds(5)).unwrap();
        assert_eq!((rates.requests, rates.gets, rates.hit_ratio()), (20.0, 20.0, Some(0.75)));
        assert_eq!(Rates::between(&before, &after, seconds(0)), None);
        assert_eq!(Rates::between(&after, &before, seconds(5)), None, "counters were reset");
        after.general.uptime = Some(1);
        assert_eq!(Rates::between(&before, &after, seconds(5)), None, "another process");
    }

    #[test]
    fn a_get_that_no_owner_answered_is_a_get_and_no_hit() {
        let mut after = report(80, 50, 17);
        after.general.foreign_failed = Some(25);
        let rates = Rates::between(&report(50, 50, 7), &after, Duration::from_secs(10)).unwrap();
        assert_eq!((rates.gets, rates.served_gets), (4.0, 3.0));
        assert_eq!((rates.failed_gets, rates.failed), (1.0, 2.5));
        assert_eq!((rates.hit_ratio(), rates.failed_share()), (Some(0.75), Some(0.25)));
        assert_eq!(rates.requests, 3.0, "no node carried out the failed ones");
        // A node that only forwards counts only failures.
        let rates = Rates { gets: 5.0, failed_gets: 5.0, ..Rates::default() };
        assert_eq!((rates.hit_ratio(), rates.failed_share()), (Some(0.0), Some(1.0)));
        assert_eq!((Rates::default().hit_ratio(), Rates::default().failed_share()), (None, None));
    }

    #[test]
    fn requests_for_keys_of_other_nodes_are_forwarded_or_refused() {
        let of = |gets, requests, refused| {
            let ring = RingReport {
                foreign_gets: Some(gets),
                foreign_requests: Some(requests),
                foreign_refused: Some(refused),
                ..RingReport::default()
            };
            NodeReport { ring: Some(ring), ..NodeReport::default() }
        };
        let rates = Rates::between(&of(0, 0, 0), &of(1, 2, 4), Duration::from_secs(1)).unwrap();
        assert_eq!((rates.forwarded, rates.foreign), (3.0, 7.0));
        let mut both = rates;
        both.add(&rates);
        assert_eq!((both.forwarded, both.foreign), (6.0, 14.0));
    }
}
