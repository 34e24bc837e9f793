//! Checks whether a thread still runs its turns: it gets a question, and answers if it runs.
//!
//! At most one question is on its way to a thread, however many callers ask, so a hanging thread
//! does not collect questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::Notify;

/// The question and its answer.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    asked: AtomicBool,
    answered: Notify,
}

impl Heartbeat {
    /// Waits for an answer. `ask` sends the question to the thread, unless one is on its way.
    /// Returns false, without an answer, if `ask` fails.
    pub(crate) async fn confirmed(
        self: &Arc<Self>,
        ask: impl FnOnce(Arc<Heartbeat>) -> bool,
    ) -> bool {
        let answered = self.answered.notified();
        tokio::pin!(answered);
        // From here on, no answer is missed.
        answered.as_mut().enable();
        if !self.asked.swap(true, SeqCst) && !ask(Arc::clone(self)) {
            self.asked.store(false, SeqCst);
            return false;
        }
        answered.await;
        true
    }

    /// Sends the thread's answer.
    pub(crate) fn answer(&self) {
        self.asked.store(false, SeqCst);
        self.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_question_answers_all_who_wait_and_the_next_one_asks_anew() {
        let heartbeat = Arc::new(Heartbeat::default());
        let (questions, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let ask = |heartbeat| questions.send(heartbeat).is_ok();
        let (first, second, ()) =
            tokio::join!(heartbeat.confirmed(ask), heartbeat.confirmed(ask), async {
                asked.recv().await.unwrap().answer();
            });
        assert!(first && second);
        assert!(asked.try_recv().is_err(), "the second one asked nothing of its own");
        let (again, ()) = tokio::join!(heartbeat.confirmed(ask), async {
            asked.recv().await.unwrap().answer();
        });
        assert!(again);
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_has_none() {
        assert!(!Arc::new(Heartbeat::default()).confirmed(|_| false).await);
    }
}
