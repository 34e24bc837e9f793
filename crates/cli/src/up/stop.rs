//! The shutdown: every node is asked to stop, and killed if it does not.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::event::Event;
use super::signals::Signals;
use super::supervisor::Supervisor;
use super::view::View;

/// Longest time for nodes to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// Interval between checks.
const PERIOD: Duration = Duration::from_millis(10);

impl Supervisor {
    /// Stops all nodes in the order of the ring; kills them at once on a second request. Then removes the
    /// files that this command created. A failure to print does not leave a node running.
    pub(super) async fn stop(mut self, signals: &mut Signals, view: &mut View<'_>) {
        let mut strangers = Vec::new();
        for entry in &self.entries {
            if let Some(process) = &entry.process {
                process.terminate();
            } else if let Some(pid) = entry.stranger() {
                strangers.push(Event::GoesOn { node: entry.node.name.clone(), pid });
            }
        }
        let begun = Instant::now();
        let mut forced = false;
        for entry in &mut self.entries {
            let Some(process) = &mut entry.process else { continue };
            let mut killed = false;
            while process.ended().is_none() {
                if forced || begun.elapsed() > PATIENCE {
                    killed = process.kill().is_ok();
                    break;
                }
                tokio::select! {
                    biased;
                    () = signals.stop() => forced = true,
                    () = sleep(PERIOD) => {}
                }
            }
            entry.process = None;
            let _ = view.event(&Event::Stopped { node: entry.node.name.clone(), killed });
        }
        for event in strangers {
            let _ = view.event(&event);
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        let logs = self.trouble.then(|| self.logs.keep());
        let (file, removed) = (self.file.path().to_owned(), self.file.is_ours());
        drop(self.file);
        let _ = view.event(&Event::Done { file, removed, logs });
    }
}
