//! `flush_all` for the whole ring: between the requests before it and those behind it.

use ringbinder_protocol::answer;
use tracing::warn;

use super::Connection;
use crate::command::FlushAll;
use crate::output::Output;
use crate::ring;

impl Connection {
    /// Empties every node and answers. Earlier requests are answered first; later ones wait.
    #[cold]
    pub(super) async fn flush_all(&mut self, flush: FlushAll, output: &mut Output) {
        if output.has_holes() {
            self.gather(output).await;
        }
        let FlushAll { delay, noreply } = flush;
        let Some(ring) = &self.local.shared.ring else {
            return;
        };
        let line = match Box::pin(ring::flush_all(&self.local, delay)).await {
            Ok(()) => "OK".to_owned(),
            Err(failed) => {
                let (client, now) = (&self.ticket.peer, self.local.shared.clock.now());
                if ring.sparing.allows(client, "flush_all", now) {
                    warn!(
                        "cannot empty all nodes of the ring for {client}: {failed} (logged once a \
                         minute)"
                    );
                }
                failed.line()
            }
        };
        if !noreply {
            answer::line(&mut output.bytes, &line);
        }
    }
}
