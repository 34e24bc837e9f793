//! Shared fills: of the callers in this process that want the same key, one asks and the others
//! share the result.
//!
//! The callers take turns. The caller with the turn asks, waits and fills for all. If it ends its
//! turn without a value, because its fill failed or it was dropped, the next caller gets the turn.
//!
//! Sharing must not bring back a value that the sharer itself has overwritten meanwhile. So a value
//! is shared only with callers that came before the request for it was sent.
//!
//! A fill lasts as long as a caller takes part in it, so there are never more fills than
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

/// The fills of a client, by key.
#[derive(Debug, Default)]
pub(crate) struct SharedFills {
    by_key: Mutex<HashMap<Bytes, Arc<SharedFill>>>,
}

#[derive(Debug, Default)]
struct SharedFill {
    /// Number of requests sent.
    requests: AtomicU64,
    turn: tokio::sync::Mutex<Option<Filled>>,
}

/// A value, and the number of the request that returned it.
#[derive(Debug)]
struct Filled {
    item: Item,
    request: u64,
}

/// A caller's part in a fill.
#[derive(Debug)]
pub(super) struct Waiter<'f> {
    fills: &'f SharedFills,
    key: Bytes,
    fill: Arc<SharedFill>,
    /// Number of requests sent before the caller came.
    before: u64,
}

/// The result of waiting in a fill.
#[derive(Debug)]
pub(super) enum Outcome<'s> {
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
    fill: &'s SharedFill,
    filled: MutexGuard<'s, Option<Filled>>,
    request: u64,
}

impl SharedFills {
    pub(super) fn join(&self, key: &[u8]) -> Waiter<'_> {
        let mut by_key = self.by_key.lock();
        let (key, fill) = match by_key.get_key_value(key) {
            Some((key, fill)) => (key.clone(), Arc::clone(fill)),
            None => {
                let (key, fill) = (Bytes::copy_from_slice(key), Arc::default());
                by_key.insert(key.clone(), Arc::clone(&fill));
                (key, fill)
            }
        };
        let before = fill.requests.load(Ordering::SeqCst);
        Waiter { fills: self, key, fill, before }
    }
}

impl Waiter<'_> {
    /// Waits for the turn, or for a value requested after this caller came. `runtime` is the one
    /// for timers.
    pub(super) async fn wait(&self, deadline: Instant, runtime: &Handle) -> Outcome<'_> {
        let waiting = {
            let _timers = runtime.enter();
            timeout_at(deadline, self.fill.turn.lock())
        };
        let Ok(filled) = waiting.await else {
            return Outcome::Late;
        };
        match &*filled {
            Some(Filled { item, request }) if *request > self.before => {
                Outcome::Shared(item.clone())
            }
            _ => Outcome::Turn(Turn { fill: &self.fill, filled, request: 0 }),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_key = self.fills.by_key.lock();
        // The map's reference and this one; waiters are taken under the lock, so no caller joins
        // meanwhile.
        if Arc::strong_count(&self.fill) == 2 {
            by_key.remove(&self.key);
        }
    }
}

impl Turn<'_> {
    /// Counts a request. Call this before each request that may return the value.
    pub(super) fn requesting(mut self) -> Self {
        self.request = self.fill.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self
    }

    /// Shares the value of the last request, and ends the turn.
    pub(super) fn share(mut self, item: &Item) {
        *self.filled = Some(Filled { item: item.clone(), request: self.request });
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

    async fn turn<'s>(waiter: &'s Waiter<'_>) -> Turn<'s> {
        match waiter.wait(soon(), &Handle::current()).await {
            Outcome::Turn(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_shared_with_those_who_came_before_it_was_asked_for() {
        let fills = SharedFills::default();
        let (first, second) = (fills.join(b"k"), fills.join(b"k"));
        let asking = turn(&first).await.requesting();
        let third = fills.join(b"k");
        assert!(matches!(second.wait(soon(), &Handle::current()).await, Outcome::Late));
        asking.share(&item("v"));
        assert!(
            matches!(second.wait(soon(), &Handle::current()).await, Outcome::Shared(shared) if shared == item("v"))
        );
        // The caller may have written the key itself since: it asks again.
        let asking = turn(&third).await.requesting();
        asking.share(&item("w"));
        assert!(
            matches!(second.wait(soon(), &Handle::current()).await, Outcome::Shared(shared) if shared == item("w"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_without_a_value_goes_to_the_next() {
        let fills = SharedFills::default();
        let (first, second) = (fills.join(b"k"), fills.join(b"k"));
        let asking = turn(&first).await.requesting();
        drop(asking);
        turn(&second).await;
    }

    #[test]
    fn nothing_is_left_of_a_flight_without_callers() {
        let fills = SharedFills::default();
        let waiters = [fills.join(b"k"), fills.join(b"k"), fills.join(b"other")];
        assert_eq!(fills.by_key.lock().len(), 2);
        drop(waiters);
        assert!(fills.by_key.lock().is_empty());
    }
}
