//! What a connection sends beside the answers to requests: dumps and the log lines of a watcher for as
//! long as the client takes them, and a last word.

use std::task::Context as TaskContext;

use ringbinder_protocol::{Refusal, WatchFlags, answer};

use super::Connection;
use crate::command::DumpKind;
use crate::connections::{CloseReason, State};
use crate::dump;
use crate::output::Output;

impl Connection {
    /// Says, as far as the socket takes it at once, that there is no room for a request so long.
    #[cold]
    pub(super) fn overdrawn(&mut self, context: &mut TaskContext<'_>) -> CloseReason {
        let mut line = Vec::new();
        answer::refusal(&mut line, Refusal::OutOfMemoryReading);
        let _ = self.socket.poll_write(context, &line);
        let _ = self.socket.poll_flush(context);
        CloseReason::Error
    }

    /// Forwards a dump as fast as the client reads it.
    pub(super) async fn dump(
        &mut self,
        kind: DumpKind,
        output: &mut Output,
    ) -> Result<(), CloseReason> {
        let Some(mut chunks) = dump::start(&self.local.shared, kind) else {
            answer::line(&mut output.bytes, "BUSY currently processing crawler request");
            return Ok(());
        };
        self.enter(State::Watch);
        while let Some(chunk) = chunks.recv().await {
            output.bytes.extend_from_slice(&chunk);
            self.flush(output).await?;
        }
        Ok(())
    }

    /// Forwards log lines until the client leaves; what it sends meanwhile is dropped.
    pub(super) async fn watch(&mut self, flags: WatchFlags, output: &mut Output) -> CloseReason {
        let Some(lines) = self.local.shared.watch.add(flags) else {
            answer::line(&mut output.bytes, "WATCHER_TOO_MANY log watcher limit reached");
            return self.flush(output).await.err().unwrap_or(CloseReason::Error);
        };
        self.enter(State::Watch);
        answer::line(&mut output.bytes, "OK");
        loop {
            if let Err(reason) = self.flush(output).await {
                return reason;
            }
            self.enter(State::Watch);
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
