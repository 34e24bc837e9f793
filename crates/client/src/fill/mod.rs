//! Fills: a value from the cache, or from a function that one caller in the fleet runs.
//!
//! Meta get decides which caller fills (`protocol.txt`, "Meta Get"). On a miss, `N` makes an empty
//! item, the placeholder, and the answer with `W` goes to only one caller, the winner. A value that
//! was marked stale (`X`, by `md` with `I`), or that is near the end of its life (`R`), has a
//! winner in the same way. All other callers learn that a caller fills (`Z`).
//!
//! - **There is no value.** The winner fills, and stores the result with the CAS unique of the
//!   placeholder. So any write or delete that came meanwhile stays, and the late value goes only to
//!   the winner's caller. The others ask repeatedly, in growing and irregular pauses, until the
//!   value is there, the lease has ended and one of them wins, or their patience ends. Then each
//!   fills for itself, and stores nothing: a slow cache must not fail a call that would succeed
//!   without it.
//! - **There is an old value.** The winner waits for its own fill and gets the new value; the
//!   others get the old one at once. No work goes on in the background, so the winner's fill may
//!   borrow, and its error has a caller to go to.
//! - **The fill fails**, panics, or its caller is dropped. The lease is given back at once (`md`
//!   with the CAS unique) and the next caller that asks wins. Only the fill's own caller gets the
//!   error, with the old value if there is one. After a failed refresh the old value is marked
//!   stale, so that the next caller tries again.
//! - **The winner dies.** Its lease expires. For this a stale value with a longer life gets the
//!   lease's time to live before it is replaced, and its own again if the fill fails. A value near
//!   the end of its life ends soon anyway.
//! - **The owner is unreachable**, or dies meanwhile, or answers that it cannot store a
//!   placeholder. If that [is a miss](crate::OnAway), the fill runs and nothing is stored;
//!   otherwise it is an error. The filled value is returned even if it can no longer be stored.
//!
//! Callers of one process take turns with a key; see [`shared`](self::shared).
//!
//! `Z` and the client flags, which are 0, tell a placeholder from an empty value that a client
//! stored. So an empty value with flags 0 counts as no value while it is being refreshed, and the
//! others wait for the new one; give such values flags if that matters. Other clients, and
//! [`Client::get`], see a placeholder as an empty value.

mod error;
mod lease;
mod options;
pub(crate) mod shared;

use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::{Instant, sleep};

pub use error::FillError;
pub(crate) use lease::is_placeholder;
pub use options::Fill;

use crate::client::{Client, checked};
use crate::error::Error;
use crate::item::Item;
use lease::{Found, Lease};
use shared::{Outcome, Turn};

/// The first pause before asking again for a key that another caller is filling.
const SHORTEST_PAUSE: Duration = Duration::from_millis(4);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);

impl Client {
    /// Returns the item under a key; if there is none, runs `fill` and stores its result for all.
    ///
    /// Of all callers of all clients that want a key at the same time, one runs its fill:
    ///
    /// - If the key has no value, the other callers wait for the result.
    /// - If the value was marked stale ([`Client::meta_delete`] with `I`), or is near the end of
    ///   its life, one caller fills again and waits for that, while the others get the old value.
    /// - If the fill fails, or its caller is dropped, the next caller fills at once. If its process
    ///   dies, another caller fills after the lease.
    /// - The fill never overwrites a write or a delete that another client made during it.
    /// - A caller whose patience ends, or that finds the owner of the key unreachable, fills for
    ///   itself, and nothing is stored.
    ///
    /// The times are those of [`Fill`]; a [`Duration`] in its place is the time to live. Concurrent
    /// callers of one client share their requests. The filled value is returned even if it cannot
    /// be stored. The item has no CAS unique, and may come from the near cache.
    ///
    /// While a missing key is filled, other commands, such as [`Client::get`], find an empty value
    /// with flags 0 there. The nodes must support the meta commands, as memcached does since 1.6.
    ///
    /// ```
    /// # use std::{io, time::Duration};
    /// # use ringbinder_client::Client;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // No server listens there, which is a miss: every call fills for itself.
    /// let cache = Client::with_servers(["127.0.0.1:1"]).connect().await?;
    /// let page = cache
    ///     .get_or_fill("page:start", Duration::from_secs(60), async || {
    ///         // Work that is worth saving.
    ///         Ok::<_, io::Error>("<h1>Hello</h1>")
    ///     })
    ///     .await?;
    /// assert_eq!(page.value, "<h1>Hello</h1>");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FillError::Fill`] if this caller's own fill fails. [`FillError::Cache`] for an invalid
    /// key, a refusal (a server without meta commands answers `ERROR`), or an unreachable owner if
    /// that is an error.
    pub async fn get_or_fill<V, E, F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        how: impl Into<Fill>,
        fill: F,
    ) -> Result<Item, FillError<E>>
    where
        V: Into<Bytes>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        let (key, how) = (checked(key.as_ref()).map_err(Error::from)?, how.into());
        if let Some(item) = self.kept(key) {
            return Ok(item);
        }
        // Called when it is first polled, if ever.
        let filled = async {
            let value = fill().await?.into();
            Ok(Item { value, flags: how.client_flags(), cas: None })
        };
        let failed = |old| move |error| FillError::Fill { error, old };

        let deadline = Instant::now() + how.longest_wait();
        let waiter = self.inner.shared_fills.join(key);
        let turn = match waiter.wait(deadline, &self.inner.runtime).await {
            Outcome::Turn(turn) => turn,
            Outcome::Shared(item) => return Ok(item),
            Outcome::Late => return filled.await.map_err(failed(None)),
        };
        let (lease, turn) = match self.win(key, &how, deadline, turn).await? {
            Step::Done(item) => return Ok(item),
            Step::Alone => return filled.await.map_err(failed(None)),
            Step::Won(lease, turn) => (lease, turn),
        };
        match filled.await {
            Ok(item) => {
                let turn = turn.map(Turn::requesting);
                if lease.store(&item, &how).await
                    && let Some(turn) = turn
                {
                    turn.share(&item);
                }
                Ok(item)
            }
            Err(error) => {
                let old = lease.old.clone();
                lease.give_back().await;
                Err(failed(old)(error))
            }
        }
    }

    /// Asks until there is a value, or this caller must act.
    async fn win<'s>(
        &self,
        key: &[u8],
        how: &Fill,
        deadline: Instant,
        mut turn: Turn<'s>,
    ) -> Result<Step<'s>, Error> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            turn = turn.requesting();
            let reading = self.near_reading(key);
            match self.find_or_win(key, how).await? {
                Found::Value(item) => {
                    if let Some((near, reading)) = reading {
                        near.keep(key, &item, reading);
                    }
                    turn.share(&item);
                    return Ok(Step::Done(item));
                }
                Found::Old(item) => {
                    turn.share(&item);
                    return Ok(Step::Done(item));
                }
                Found::Won(lease) => {
                    let turn = match &lease.old {
                        Some(old) => {
                            turn.share(old);
                            None
                        }
                        None => Some(turn),
                    };
                    return Ok(Step::Won(lease, turn));
                }
                Found::Nowhere => return Ok(Step::Alone),
                Found::Taken => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Step::Alone);
            }
            let part = rand::rng().random_range(0.5..=1.0);
            let pausing = {
                let _timers = self.inner.runtime.enter();
                sleep(left.min(pause.mul_f64(part)))
            };
            pausing.await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }

    /// The value in the near cache, unless it is a placeholder that a plain get has read.
    fn kept(&self, key: &[u8]) -> Option<Item> {
        let near = self.inner.near.as_ref()?;
        near.get(key).filter(|item| !is_placeholder(item))
    }
}

/// The next step of a caller after a request.
enum Step<'s> {
    /// Return this.
    Done(Item),
    /// Fill and store. The turn is kept if there is no old value for the other callers.
    Won(Lease, Option<Turn<'s>>),
    /// Fill, and store nothing.
    Alone,
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn sent<T: Send>(_: T) {}

    /// Whatever a fill borrows, it can be awaited in a task of its own.
    #[tokio::test]
    async fn fills_are_send() {
        let client = Client::with_servers(["127.0.0.1:1"]).connect().await.expect("a ring");
        let (key, other) = (String::from("k"), client.clone());
        let fill = async || {
            let _ = other.get(&key).await;
            Ok::<_, Infallible>(key.clone())
        };
        sent(client.get_or_fill(&key, Duration::ZERO, fill));
        sent(client.get_or_fill_typed(&key, Duration::ZERO, fill));
        sent(client.get_or_fill(&key, Duration::ZERO, || async { Ok::<_, Infallible>("v") }));
    }
}
