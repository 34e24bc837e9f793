//! Output that a connection sends for as long as the client reads it: long answers, and the log
//! lines of a watcher.

use std::sync::Arc;

use ringbinder_protocol::{WatchFlags, answer};

use super::Connection;
use crate::command::long::Long;
use crate::net::connections::{Activity, CloseReason};
use crate::net::output::Output;

impl Connection {
    /// Writes an answer piece by piece, each when the previous one is out. The last piece goes out
    /// together with the answers that follow.
    pub(super) async fn long(
        &mut self,
        mut long: Long,
        output: &mut Output,
    ) -> Result<(), CloseReason> {
        let shared = Arc::clone(&self.local.shared);
        let _crawl = long.count_crawl(&shared.crawls);
        while long.piece(&shared, self.ticket.id, &mut output.bytes) {
            self.flush(output).await?;
            // A client that reads a long answer is not idle.
            self.ticket.commanded(shared.clock.now());
            if self.ticket.is_stopping() {
                return Err(CloseReason::Shutdown);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Forwards log lines until the client leaves. Input that it sends meanwhile is dropped.
    pub(super) async fn watch(&mut self, flags: WatchFlags, output: &mut Output) -> CloseReason {
        let Some(lines) = self.local.shared.watch.add(flags) else {
            answer::line(&mut output.bytes, "WATCHER_TOO_MANY log watcher limit reached");
            return self.flush(output).await.err().unwrap_or(CloseReason::Error);
        };
        self.enter(Activity::Watch);
        answer::line(&mut output.bytes, "OK");
        loop {
            if let Err(reason) = self.flush(output).await {
                return reason;
            }
            self.enter(Activity::Watch);
            tokio::select! {
                () = lines.lines(&mut output.bytes) => {}
                input = self.read() => match input {
                    Ok(input) => self.local.give_input(input),
                    Err(reason) => return reason,
                },
            }
        }
    }
}
