//! The places of connections at the admin port, and the rule by which a new connection gets one.
//!
//! Silent connections must not keep others out. If all places are taken, one of their holders makes
//! room for a new connection: the oldest connection of the source that holds most of them,
//! including the new one. So:
//!
//! - A source loses no connection while it holds no more than its share of the places, whatever others
//!   do.
//! - Within one source, each connection has at least [`LEAST`] to ask and to be answered. A new
//!   connection waits until the one that makes room has had that time, and never longer. So in that
//!   time the socket's queue advances by the number of places.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::security::source::Source;

/// The most connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// The time that a connection has before another one of its own source may take its place.
const LEAST: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Held {
    /// Higher for each later connection.
    number: u64,
    source: Source,
    since: Instant,
    cut: CancellationToken,
}

#[derive(Debug, Default)]
struct Taken {
    /// Oldest first.
    held: Vec<Held>,
    opened: u64,
    cut: u64,
}

/// Places for connections, over all listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

/// A place, released when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    cut: CancellationToken,
}

impl Places {
    /// Takes a place, if necessary from another connection.
    ///
    /// # Errors
    /// The longest time until there is a place.
    pub(super) fn take(&self, source: Source, now: Instant) -> Result<Place, Duration> {
        let mut taken = self.0.lock();
        if taken.held.len() >= MAX_CONNECTIONS {
            let victim = victim(&taken.held, source, now)?;
            taken.held.remove(victim).cut.cancel();
            taken.cut += 1;
        }
        let (number, cut) = (taken.opened, CancellationToken::new());
        taken.opened += 1;
        taken.held.push(Held { number, source, since: now, cut: cut.clone() });
        Ok(Place { places: self.clone(), number, cut })
    }

    /// The number of connections since the start that had to make room before their end.
    pub(super) fn cut(&self) -> u64 {
        self.0.lock().cut
    }
}

/// The connection that makes room for one from `newcomer`, or the time that it still has.
fn victim(held: &[Held], newcomer: Source, now: Instant) -> Result<usize, Duration> {
    let mut of_source = HashMap::from([(newcomer, 1_usize)]);
    for it in held {
        *of_source.entry(it.source).or_default() += 1;
    }
    let most = held.iter().map(|it| of_source[&it.source]).max().unwrap_or_default();
    let victim = held.iter().position(|it| of_source[&it.source] == most).unwrap_or_default();
    // A source with fewer places does not wait for one with more.
    let has_most = of_source[&newcomer] >= most;
    let age = held.get(victim).map_or(LEAST, |it| now.saturating_duration_since(it.since));
    match LEAST.checked_sub(age) {
        Some(left) if has_most && !left.is_zero() => Err(left),
        _ => Ok(victim),
    }
}

impl Place {
    /// Waits until another connection has the place.
    pub(super) async fn is_lost(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().held.retain(|it| it.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(places: &[Place]) -> Vec<usize> {
        (0..places.len()).filter(|&index| places[index].cut.is_cancelled()).collect()
    }

    #[test]
    fn one_source_turns_over_in_order_and_each_has_its_time() {
        let (places, start) = (Places::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut held: Vec<Place> = (0..128)
            .map(|number| places.take(Source::V4(1), at(number / 10)).expect("a place"))
            .collect();
        let wait = places.take(Source::V4(1), at(30)).expect_err("all are young");
        assert_eq!(wait, Duration::from_millis(70));
        assert!(lost(&held).is_empty());
        for _ in 0..10 {
            held.push(places.take(Source::V4(1), at(100)).expect("ten are of age"));
        }
        assert_eq!(places.take(Source::V4(1), at(100)).expect_err("no more"), LEAST / 100);
        assert_eq!(lost(&held), (0..10).collect::<Vec<_>>());
        assert_eq!(places.cut(), 10);
        // A connection that ends by itself makes room, and one that was cut does not release its
        // place twice.
        held.drain(..11);
        held.push(places.take(Source::V4(1), at(100)).expect("a place"));
        assert!(lost(&held).is_empty());
        assert_eq!(places.0.lock().held.len(), MAX_CONNECTIONS);
    }

    #[test]
    fn who_keeps_to_its_share_neither_loses_nor_waits() {
        let (places, now) = (Places::default(), Instant::now());
        let mut greedy: Vec<Place> =
            (0..128).map(|_| places.take(Source::V4(1), now).expect("a place")).collect();
        let quiet: Vec<Place> = (2..34)
            .flat_map(|source| [source, source])
            .map(|source| places.take(Source::V4(source), now).expect("at once"))
            .collect();
        // The same source holds half of the places and gets no more.
        for round in 1..1000 {
            greedy.push(places.take(Source::V4(1), now + LEAST * round).expect("a place"));
            greedy.retain(|place| !place.cut.is_cancelled());
            assert!(places.0.lock().held.len() <= MAX_CONNECTIONS);
        }
        assert_eq!(greedy.len(), 64);
        assert!(lost(&quiet).is_empty());
    }

    #[test]
    fn many_sources_of_one_connection_each_have_their_time_too() {
        let (places, now) = (Places::default(), Instant::now());
        let held: Vec<Place> =
            (0..128).map(|source| places.take(Source::V4(source), now).expect("a place")).collect();
        assert_eq!(places.take(Source::V4(1000), now).expect_err("all are young"), LEAST);
        let late = places.take(Source::V4(1000), now + LEAST).expect("a place");
        assert_eq!(lost(&held), [0]);
        assert!(!late.cut.is_cancelled());
    }
}
