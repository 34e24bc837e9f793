//! The slots of connections at the admin port, and the rule by which a new connection gets one.
//!
//! Silent connections must not keep others out. If all slots are taken, one of their holders makes
//! room for a new connection: the oldest connection of the source that holds most of them,
//! including the new one. So:
//!
//! - A source loses no connection while it holds no more than its share of the slots, whatever others
//!   do.
//! - Within one source, each connection has at least [`LEAST`] to ask and to be answered. A new
//!   connection waits until the one that makes room has had that time, and never longer. So in that
//!   time the socket's queue advances by the number of slots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::security::source::Source;

/// The most connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// The time that a connection has before another one of its own source may take its slot.
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

/// Slots for connections, over all listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<Mutex<Taken>>);

/// A slot, released when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    number: u64,
    cut: CancellationToken,
}

impl Slots {
    /// Takes a slot, if necessary from another connection.
    ///
    /// # Errors
    /// The longest time until there is a slot.
    pub(super) fn take(&self, source: Source, now: Instant) -> Result<Slot, Duration> {
        let mut taken = self.0.lock();
        if taken.held.len() >= MAX_CONNECTIONS {
            let victim = victim(&taken.held, source, now)?;
            taken.held.remove(victim).cut.cancel();
            taken.cut += 1;
        }
        let (number, cut) = (taken.opened, CancellationToken::new());
        taken.opened += 1;
        taken.held.push(Held { number, source, since: now, cut: cut.clone() });
        Ok(Slot { slots: self.clone(), number, cut })
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
    // A source with fewer slots does not wait for one with more.
    let has_most = of_source[&newcomer] >= most;
    let age = held.get(victim).map_or(LEAST, |it| now.saturating_duration_since(it.since));
    match LEAST.checked_sub(age) {
        Some(left) if has_most && !left.is_zero() => Err(left),
        _ => Ok(victim),
    }
}

impl Slot {
    /// Waits until another connection has the slot.
    pub(super) async fn is_lost(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.0.lock().held.retain(|it| it.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(slots: &[Slot]) -> Vec<usize> {
        (0..slots.len()).filter(|&index| slots[index].cut.is_cancelled()).collect()
    }

    #[test]
    fn one_source_turns_over_in_order_and_each_has_its_time() {
        let (slots, start) = (Slots::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut held: Vec<Slot> = (0..128)
            .map(|number| slots.take(Source::V4(1), at(number / 10)).expect("a slot"))
            .collect();
        let wait = slots.take(Source::V4(1), at(30)).expect_err("all are young");
        assert_eq!(wait, Duration::from_millis(70));
        assert!(lost(&held).is_empty());
        for _ in 0..10 {
            held.push(slots.take(Source::V4(1), at(100)).expect("ten are of age"));
        }
        assert_eq!(slots.take(Source::V4(1), at(100)).expect_err("no more"), LEAST / 100);
        assert_eq!(lost(&held), (0..10).collect::<Vec<_>>());
        assert_eq!(slots.cut(), 10);
        // A connection that ends by itself makes room, and one that was cut does not release its
        // slot twice.
        held.drain(..11);
        held.push(slots.take(Source::V4(1), at(100)).expect("a slot"));
        assert!(lost(&held).is_empty());
        assert_eq!(slots.0.lock().held.len(), MAX_CONNECTIONS);
    }

    #[test]
    fn who_keeps_to_its_share_neither_loses_nor_waits() {
        let (slots, now) = (Slots::default(), Instant::now());
        let mut greedy: Vec<Slot> =
            (0..128).map(|_| slots.take(Source::V4(1), now).expect("a slot")).collect();
        let quiet: Vec<Slot> = (2..34)
            .flat_map(|source| [source, source])
            .map(|source| slots.take(Source::V4(source), now).expect("at once"))
            .collect();
        // The same source holds half of the slots and gets no more.
        for round in 1..1000 {
            greedy.push(slots.take(Source::V4(1), now + LEAST * round).expect("a slot"));
            greedy.retain(|slot| !slot.cut.is_cancelled());
            assert!(slots.0.lock().held.len() <= MAX_CONNECTIONS);
        }
        assert_eq!(greedy.len(), 64);
        assert!(lost(&quiet).is_empty());
    }

    #[test]
    fn many_sources_of_one_connection_each_have_their_time_too() {
        let (slots, now) = (Slots::default(), Instant::now());
        let held: Vec<Slot> =
            (0..128).map(|source| slots.take(Source::V4(source), now).expect("a slot")).collect();
        assert_eq!(slots.take(Source::V4(1000), now).expect_err("all are young"), LEAST);
        let late = slots.take(Source::V4(1000), now + LEAST).expect("a slot");
        assert_eq!(lost(&held), [0]);
        assert!(!late.cut.is_cancelled());
    }
}
