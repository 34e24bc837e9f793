//! The first and the last phase: from the start of the nodes to their first answers, and the shutdown.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringbinder_client::{Client, NodeHandle};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::error::CliError;
use crate::fleet::error::advice;
use crate::up::UpError;
use crate::up::event::Event;
use crate::up::figures::Figures;
use crate::up::node::tail;
use crate::up::signals::Signals;
use crate::up::supervisor::Supervisor;
use crate::up::view::View;

/// Longest time for nodes to answer.
const START: Duration = Duration::from_secs(30);

/// Longest time after that for nodes to connect to each other.
const CONNECT: Duration = Duration::from_secs(5);

/// Interval between checks.
const START_PERIOD: Duration = Duration::from_millis(20);

/// Lines shown from the log of a node that does not start.
const LOG_LINES: usize = 10;

impl Supervisor {
    /// Waits until all local nodes answer, hold the ring, and are connected to each other.
    ///
    /// # Errors
    /// If a node ends or does not answer. The end of its log is printed.
    pub(super) async fn ready(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        let nodes = self.client.as_ref().map(Client::nodes).unwrap_or_default();
        let begun = Instant::now();
        let mut answered = None;
        loop {
            self.none_has_ended(view)?;
            let asked = self.entries.iter().zip(&nodes);
            let asked = asked.map(|(entry, node)| async move {
                // A remote node may take long, so this does not wait for it.
                if entry.local { ask(node).await } else { None }
            });
            let answers = join_all(asked).await;
            for (entry, figures) in self.entries.iter_mut().zip(answers) {
                entry.update(figures);
            }
            let mut local = self.entries.iter().zip(&nodes).filter(|(entry, _)| entry.local);
            match local.find(|(entry, _)| entry.figures().is_none()) {
                None => {
                    let answered: &mut Instant = answered.get_or_insert_with(Instant::now);
                    if self.know_each_other() || answered.elapsed() > CONNECT {
                        break;
                    }
                }
                Some((silent, node)) if begun.elapsed() > START => {
                    let why = why_silent(node).await;
                    let how = format!("it did not answer within {START:?}{why}");
                    let (node, log) = (silent.node.name.clone(), silent.process.as_ref());
                    let log = log.map(|process| tail(process.log(), LOG_LINES));
                    for line in log.unwrap_or_default() {
                        view.note(&format!("{node}: {line}"))?;
                    }
                    return Err(UpError::NotStarted { node, how }.into());
                }
                Some(_) => {}
            }
            sleep(START_PERIOD).await;
        }
        let nodes = self.entries.iter().filter(|entry| entry.local).count();
        view.event(&Event::Ready { nodes, logs: self.logs.path().to_owned() })
    }

    fn none_has_ended(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        for entry in &mut self.entries {
            if let Some((how, process)) = entry.reap() {
                let node = entry.node.name.clone();
                self.trouble = true;
                for line in tail(process.log(), LOG_LINES) {
                    view.note(&format!("{node}: {line}"))?;
                }
                return Err(UpError::NotStarted { node, how }.into());
            }
        }
        Ok(())
    }

    /// Whether no local node waits for another node or finds one unreachable.
    fn know_each_other(&self) -> bool {
        let local = || self.entries.iter().filter(|entry| entry.local);
        local().all(|entry| {
            let misses = |name: &str| entry.figures().is_some_and(|figures| figures.misses(name));
            entry.has_settled(self.version) && !local().any(|other| misses(&other.node.name))
        })
    }
}

/// The client's error for a node that does not answer.
async fn why_silent(node: &NodeHandle) -> String {
    match node.stats("").await {
        Ok(_) => String::new(),
        Err(error) => match advice(&error) {
            Some(advice) => format!(" ({error}: {advice})"),
            None => format!(" ({error})"),
        },
    }
}

/// Asks a node that accepts connections. The client itself would pause after a failed first connection.
async fn ask(node: &NodeHandle) -> Option<Figures> {
    let address = (node.node().host.as_str(), node.node().port);
    timeout(Duration::from_secs(1), TcpStream::connect(address)).await.ok()?.ok()?;
    Figures::ask(node).await
}

/// Longest time for nodes to stop.
const STOP: Duration = Duration::from_secs(5);

/// Interval between checks.
const STOP_PERIOD: Duration = Duration::from_millis(10);

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
                if forced || begun.elapsed() > STOP {
                    killed = process.kill().is_ok();
                    break;
                }
                tokio::select! {
                    biased;
                    () = signals.stop() => forced = true,
                    () = sleep(STOP_PERIOD) => {}
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
