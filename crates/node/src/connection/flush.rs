//! `flush_all` for the whole ring, in order with the requests before and after it.

use ringbinder_protocol::answer;
use tracing::warn;

use super::Connection;
use crate::forward;
use crate::net::output::Output;

impl Connection {
    /// Empties every node and answers. `delay` is an exptime; zero or less means at once. Earlier
    /// requests are answered first; later ones wait.
    #[cold]
    pub(super) async fn flush_all(&mut self, delay: i64, noreply: bool, output: &mut Output) {
        if output.has_pending() {
            self.gather(output).await;
        }
        let Some(ring) = &self.local.shared.ring else { return };
        let line = match Box::pin(forward::flush_all(&self.local, delay)).await {
            Ok(()) => "OK".to_owned(),
            Err(failed) => {
                let (client, now) = (&self.ticket.remote, self.local.shared.clock.now());
                if ring.log_limit.allows(client, "flush_all", now) {
                    warn!(
                        "cannot flush all nodes of the ring for {client}: {failed} (logged once a \
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
