//! The phase from the start of the nodes to their first answers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringbinder_client::{Client, NodeHandle};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::UpError;
use super::event::Event;
use super::figures::Figures;
use super::node::tail;
use super::supervisor::Supervisor;
use super::view::View;
use crate::error::CliError;
use crate::fleet::advice::advice;

/// Longest time for nodes to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time after that for nodes to connect to each other.
const ACQUAINTANCE: Duration = Duration::from_secs(5);

/// Interval between checks.
const PERIOD: Duration = Duration::from_millis(20);

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
            let said = join_all(asked).await;
            for (entry, figures) in self.entries.iter_mut().zip(said) {
                entry.said(figures);
            }
            let mut local = self.entries.iter().filter(|entry| entry.local);
            match local.find(|entry| entry.figures().is_none()) {
                None => {
                    let answered: &mut Instant = answered.get_or_insert_with(Instant::now);
                    if self.know_each_other() || answered.elapsed() > ACQUAINTANCE {
                        break;
                    }
                }
                Some(silent) if begun.elapsed() > PATIENCE => {
                    let place = self.entries.iter().position(|it| std::ptr::eq(it, silent));
                    let why = why_silent(place.and_then(|place| nodes.get(place))).await;
                    let how = format!("it does not answer after {PATIENCE:?}{why}");
                    let (node, log) = (silent.node.name.clone(), silent.process.as_ref());
                    let log = log.map(|process| tail(process.log(), LOG_LINES));
                    for line in log.unwrap_or_default() {
                        view.note(&format!("{node}: {line}"))?;
                    }
                    return Err(UpError::NotStarted { node, how }.into());
                }
                Some(_) => {}
            }
            sleep(PERIOD).await;
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
async fn why_silent(node: Option<&NodeHandle>) -> String {
    let Some(node) = node else { return String::new() };
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
