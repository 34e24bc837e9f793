//! Who holds a place at the admin port, and who loses his to a newcomer.
//!
//! Silent connections must keep nobody out: where all places are taken, one that holds a place makes
//! room for a newcomer. It is the oldest of the source that holds most of them, the newcomer counted. So:
//!
//! - A source loses none while it holds no more than its share of the places, whatever others do.
//! - Within one source each connection has at least [`LEAST`] to ask and to be answered: a newcomer waits
//!   until the one that makes room has had that. Nobody waits for longer, so the queue of the socket moves
//!   by all places in that time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::source::Source;

/// Connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// What a connection has at least before one of its own source may take its place.
const LEAST: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Held {
    /// Rises with each connection.
    number: u64,
    source: Source,
    since: Instant,
    cut: CancellationToken,
}

#[derive(Debug, Default)]
struct Taken {
    /// The oldest first.
    held: Vec<Held>,
    opened: u64,
    cut: u64,
}

/// Places for connections, over all listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    cut: CancellationToken,
}

impl Places {
    /// Takes a place, if need be somebody else's.
    ///
    /// # Errors
    /// How long it takes until there is one, at most.
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

    /// Connections since the start that made room before their end.
    pub(super) fn cut(&self) -> u64 {
        self.0.lock().cut
    }
}

/// Which of those that hold places makes room for one from `newcomer`, or how long it still has.
fn victim(held: &[Held], newcomer: Source, now: Instant) -> Result<usize, Duration> {
    let mut of_source = HashMap::from([(newcomer, 1_usize)]);
    for it in held {
        *of_source.entry(it.source).or_default() += 1;
    }
    let most = held.iter().map(|it| of_source[&it.source]).max().unwrap_or_default();
    let victim = held.iter().position(|it| of_source[&it.source] == most).unwrap_or_default();
    // Who has fewer than that does not wait for those who have more.
    let has_most = of_source[&newcomer] >= most;
    let age = held.get(victim).map_or(LEAST, |it| now.saturating_duration_since(it.since));
    match LEAST.checked_sub(age) {
        Some(left) if has_most && !left.is_zero() => Err(left),
        _ => Ok(victim),
    }
}

impl Place {
    /// Waits until it is somebody else's.
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
        // What ends by itself makes room, and what was cut gives nothing back twice.
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
        // The same source has half of the places now, and gets no more.
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
