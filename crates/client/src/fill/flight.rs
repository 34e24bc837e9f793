//! Shared fills: of the callers in this process that want the same key, one asks and the others
//! share the result.
//!
//! The callers take turns. The caller with the turn asks, waits and fills for all. If it ends its
//! turn without a value, because its fill failed or it was dropped, the next caller gets the turn.
//!
//! Sharing must not bring back a value that the sharer itself has overwritten meanwhile. So a value
//! is shared only with callers that came before the request for it was sent.
//!
//! A flight lasts as long as a caller takes part in it, so there are never more flights than
//! callers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use crate::item::Item;

/// The flights of a client, by key.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Bytes, Arc<Flight>>>,
}

#[derive(Debug, Default)]
struct Flight {
    /// Number of requests sent.
    requests: AtomicU64,
    turn: tokio::sync::Mutex<Option<Landed>>,
}

/// A value, and the number of the request that returned it.
#[derive(Debug)]
struct Landed {
    item: Item,
    request: u64,
}

/// A caller's part in a flight.
#[derive(Debug)]
pub(super) struct Seat<'f> {
    flights: &'f Flights,
    key: Bytes,
    flight: Arc<Flight>,
    /// Number of requests sent before the caller came.
    before: u64,
}

/// The result of waiting in a flight.
#[derive(Debug)]
pub(super) enum Boarded<'s> {
    /// It is this caller's turn.
    Turn(Turn<'s>),
    /// Another caller's value.
    Shared(Item),
    /// The deadline passed first.
    Late,
}

/// The right to ask for all callers.
#[derive(Debug)]
pub(super) struct Turn<'s> {
    flight: &'s Flight,
    landed: MutexGuard<'s, Option<Landed>>,
    request: u64,
}

impl Flights {
    pub(super) fn join(&self, key: &[u8]) -> Seat<'_> {
        let mut by_key = self.by_key.lock();
        let (key, flight) = match by_key.get_key_value(key) {
            Some((key, flight)) => (key.clone(), Arc::clone(flight)),
            None => {
                let (key, flight) = (Bytes::copy_from_slice(key), Arc::default());
                by_key.insert(key.clone(), Arc::clone(&flight));
                (key, flight)
            }
        };
        let before = flight.requests.load(Ordering::SeqCst);
        Seat { flights: self, key, flight, before }
    }
}

impl Seat<'_> {
    /// Waits for the turn, or for a value requested after this caller came. `runtime` is the one
    /// for timers.
    pub(super) async fn board(&self, deadline: Instant, runtime: &Handle) -> Boarded<'_> {
        let waiting = {
            let _timers = runtime.enter();
            timeout_at(deadline, self.flight.turn.lock())
        };
        let Ok(landed) = waiting.await else {
            return Boarded::Late;
        };
        match &*landed {
            Some(Landed { item, request }) if *request > self.before => {
                Boarded::Shared(item.clone())
            }
            _ => Boarded::Turn(Turn { flight: &self.flight, landed, request: 0 }),
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut by_key = self.flights.by_key.lock();
        // The map's reference and this one; seats are taken under the lock, so no caller joins
        // meanwhile.
        if Arc::strong_count(&self.flight) == 2 {
            by_key.remove(&self.key);
        }
    }
}

impl Turn<'_> {
    /// Counts a request. Call this before each request that may return the value.
    pub(super) fn requesting(mut self) -> Self {
        self.request = self.flight.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self
    }

    /// Shares the value of the last request, and ends the turn.
    pub(super) fn share(mut self, item: &Item) {
        *self.landed = Some(Landed { item: item.clone(), request: self.request });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn item(value: &'static str) -> Item {
        Item { value: Bytes::from_static(value.as_bytes()), flags: 0, cas: None }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    async fn turn<'s>(seat: &'s Seat<'_>) -> Turn<'s> {
        match seat.board(soon(), &Handle::current()).await {
            Boarded::Turn(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_shared_with_those_who_came_before_it_was_asked_for() {
        let flights = Flights::default();
        let (first, second) = (flights.join(b"k"), flights.join(b"k"));
        let asking = turn(&first).await.requesting();
        let third = flights.join(b"k");
        assert!(matches!(second.board(soon(), &Handle::current()).await, Boarded::Late));
        asking.share(&item("v"));
        assert!(
            matches!(second.board(soon(), &Handle::current()).await, Boarded::Shared(shared) if shared == item("v"))
        );
        // The caller may have written the key itself since: it asks again.
        let asking = turn(&third).await.requesting();
        asking.share(&item("w"));
        assert!(
            matches!(second.board(soon(), &Handle::current()).await, Boarded::Shared(shared) if shared == item("w"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_without_a_value_goes_to_the_next() {
        let flights = Flights::default();
        let (first, second) = (flights.join(b"k"), flights.join(b"k"));
        let asking = turn(&first).await.requesting();
        drop(asking);
        turn(&second).await;
    }

    #[test]
    fn nothing_is_left_of_a_flight_without_callers() {
        let flights = Flights::default();
        let seats = [flights.join(b"k"), flights.join(b"k"), flights.join(b"other")];
        assert_eq!(flights.by_key.lock().len(), 2);
        drop(seats);
        assert!(flights.by_key.lock().is_empty());
    }
}
