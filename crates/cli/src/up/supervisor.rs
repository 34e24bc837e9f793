//! Starts the nodes, monitors them and their ring file, and stops them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringbinder_client::Client;
use ringbinder_ring::source::{Source, SourceError, Update};
use ringbinder_ring::{Node, Ring, compare};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::UpError;
use super::entry::Entry;
use super::event::Event;
use super::figures::Figures;
use super::node::{Process, Settings};
use super::plan::is_local;
use super::signals::{Signals, Wish, suspend};
use super::view::View;
use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet;
use crate::shell;
use crate::up::frame::Board;
use crate::up::node::Guard;
use crate::up::plan::RingFile;

/// Interval at which nodes are asked and the table is drawn.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest time for a node to report its figures.
const TIMEOUT: Duration = Duration::from_millis(900);

/// Time for the other nodes to settle before a node that left the ring is stopped, and then again for it to
/// stop.
const LEAVE: Duration = Duration::from_secs(10);

/// Figures of all nodes in the order of the entries, and the generation of the entries.
type Answers = (u64, Vec<Option<Figures>>);

/// The nodes and their state.
pub(super) struct Supervisor {
    pub(super) entries: Vec<Entry>,
    pub(super) version: u64,
    pub(super) settings: Settings,
    pub(super) file: RingFile,
    pub(super) guard: Option<Guard>,
    pub(super) logs: TempDir,
    /// Whether a node ended unexpectedly.
    pub(super) trouble: bool,
    restart: bool,
    begun: Instant,
    /// Commands to try in another terminal.
    commands: Vec<String>,
    /// A client that asks all nodes of `entries`, in that order.
    pub(super) client: Option<Client>,
    /// Number of changes to `entries`.
    generation: u64,
}

impl Supervisor {
    /// Creates a supervisor for the nodes of a ring. Starts none of them.
    ///
    /// # Errors
    /// If the directory for logs cannot be created.
    pub(super) fn new(
        ring: &Ring,
        settings: Settings,
        file: RingFile,
        restart: bool,
    ) -> Result<Supervisor, UpError> {
        let logs = TempDir::with_prefix("ringbinder-up-").map_err(UpError::Logs)?;
        let name = file.path().to_string_lossy();
        let commands = [("set", "greeting hello"), ("get", "greeting")];
        let commands = commands.map(|(command, words)| shell::command(command, &name, words));
        let mut supervisor = Supervisor {
            commands: commands.to_vec(),
            entries: Vec::new(),
            version: 0,
            settings,
            file,
            guard: Guard::start(),
            logs,
            trouble: false,
            restart,
            begun: Instant::now(),
            client: None,
            generation: 0,
        };
        supervisor.take_ring(ring);
        Ok(supervisor)
    }

    /// Runs the nodes until the user stops them.
    ///
    /// # Errors
    /// If a node does not start, or output fails. All nodes are stopped then, too.
    pub(super) async fn run(
        mut self,
        source: Source,
        signals: &mut Signals,
        view: &mut View<'_>,
    ) -> Result<Answer, CliError> {
        let served = self.serve(source, signals, view).await;
        view.close();
        self.stop(signals, view).await;
        served.map(|()| Answer::Yes)
    }

    async fn serve(
        &mut self,
        source: Source,
        signals: &mut Signals,
        view: &mut View<'_>,
    ) -> Result<(), CliError> {
        view.event(&Event::Ring {
            file: self.file.path().to_owned(),
            version: self.version,
            written: !self.file.is_found(),
        })?;
        if self.guard.is_none() {
            view.event(&Event::Unguarded)?;
        }
        self.start_all(view)?;
        self.connect().await?;
        tokio::select! {
            biased;
            () = signals.stop() => return Ok(()),
            ready = self.ready(view) => ready?,
        }
        if view.is_live() {
            signals.take_suspend().map_err(CliError::Runtime)?;
        }
        view.open()?;
        let (updates_in, updates) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        tokio::spawn(source.watch(updates_in, std::sync::Arc::default(), stop));
        self.follow(updates, signals, view).await
    }

    async fn follow(
        &mut self,
        mut updates: Receiver<Result<Update, SourceError>>,
        signals: &mut Signals,
        view: &mut View<'_>,
    ) -> Result<(), CliError> {
        let (sender, mut answers) = mpsc::channel(1);
        let mut asking = false;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                wish = signals.next() => match wish {
                    Wish::Stop => return Ok(()),
                    Wish::Child => self.reap(view)?,
                    Wish::Resize => {}
                    Wish::Suspend => {
                        view.close();
                        suspend();
                        view.open()?;
                    }
                },
                Some(update) = updates.recv() => self.ring_changed(update, view)?,
                Some(received) = answers.recv() => {
                    asking = false;
                    self.record(received, view)?;
                }
                _ = ticks.tick() => {
                    self.start_again(view)?;
                    self.stop_leaving();
                    if !asking {
                        asking = true;
                        self.ask(&sender);
                    }
                    // The table is drawn when the new figures arrive.
                    continue;
                }
            }
            if self.client.is_none() {
                self.connect().await?;
            }
            view.draw(&self.board())?;
        }
    }

    /// Starts the local nodes that do not run.
    fn start_all(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if entry.local {
                let event = self.start(index)?;
                view.event(&event)?;
            } else {
                let (node, address) = (entry.node.name.clone(), entry.node.to_string());
                view.event(&Event::Elsewhere { node, address })?;
            }
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<Event, UpError> {
        let group = self.guard.as_ref().map_or(0, Guard::group);
        let entry = &mut self.entries[index];
        let process = Process::start(&entry.node, &self.settings, self.logs.path(), group)?;
        Ok(entry.started(process))
    }

    /// Like `start`, but a failure does not stop the other nodes.
    fn try_start(&mut self, index: usize, view: &mut View<'_>) -> Result<(), CliError> {
        let event = self.start(index).unwrap_or_else(|error| Event::NotStarted {
            node: self.entries[index].node.name.clone(),
            why: error.to_string(),
        });
        view.event(&event)
    }

    fn start_again(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        let now = Instant::now();
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            if entry.again_at.is_some_and(|at| at <= now) {
                entry.again_at = None;
                // The user may have started it by hand meanwhile.
                if entry.stranger().is_none() {
                    self.try_start(index, view)?;
                }
            }
        }
        Ok(())
    }

    /// Detects processes that have ended.
    fn reap(&mut self, view: &mut View<'_>) -> Result<(), CliError> {
        let now = Instant::now();
        for entry in &mut self.entries {
            let Some((how, process)) = entry.reap() else { continue };
            let node = entry.node.name.clone();
            if entry.leaving.is_some() {
                view.event(&Event::Stopped { node, killed: false })?;
                continue;
            }
            self.trouble = true;
            let again = if self.restart {
                entry.start_later(now);
                None
            } else {
                Some(self.settings.command_line(&entry.node))
            };
            view.event(&Event::Ended { node, how, log: process.log().to_owned(), again })?;
        }
        let all = self.entries.len();
        self.entries.retain(|entry| entry.leaving.is_none() || entry.process.is_some());
        if self.entries.len() < all {
            self.changed();
        }
        Ok(())
    }

    /// Stops nodes that left the ring, after all others have settled without them.
    fn stop_leaving(&mut self) {
        let version = self.version;
        let settled = |entry: &Entry| entry.figures().is_none() || entry.has_settled(version);
        let all = self.entries.iter().all(settled);
        for entry in &mut self.entries {
            let settled = all && entry.has_settled(version);
            let (Some(since), Some(process)) = (entry.leaving, &mut entry.process) else {
                continue;
            };
            if since.elapsed() > 2 * LEAVE {
                // The process may be gone already, which is fine.
                let _ = process.kill();
            } else if settled || since.elapsed() > LEAVE {
                process.terminate();
            }
        }
    }

    /// Asks all nodes for their figures, in the background.
    fn ask(&self, sender: &Sender<Answers>) {
        let nodes = self.client.as_ref().map(Client::nodes).unwrap_or_default();
        let (sender, generation) = (sender.clone(), self.generation);
        tokio::spawn(async move {
            let answers = join_all(nodes.iter().map(Figures::ask)).await;
            // There is no receiver once the nodes are being stopped.
            let _ = sender.send((generation, answers)).await;
        });
    }

    fn record(
        &mut self,
        (generation, answers): Answers,
        view: &mut View<'_>,
    ) -> Result<(), CliError> {
        if generation != self.generation {
            return Ok(());
        }
        for (entry, figures) in self.entries.iter_mut().zip(answers) {
            if let Some(event) = entry.update(figures) {
                view.event(&event)?;
            }
        }
        Ok(())
    }

    fn ring_changed(
        &mut self,
        update: Result<Update, SourceError>,
        view: &mut View<'_>,
    ) -> Result<(), CliError> {
        let ring = match update {
            Ok(Update::Ring(ring)) => ring,
            Ok(Update::Unchanged(_)) => return Ok(()),
            Err(error) => return view.event(&Event::RingRefused { why: error.to_string() }),
        };
        let (version, nodes) = (ring.id().version, ring.nodes().len());
        if version <= self.version {
            let why = format!(
                "version {version} is not above {}, which the nodes hold; raise it",
                self.version
            );
            return view.event(&Event::RingRefused { why });
        }
        view.event(&Event::RingChanged { version, nodes })?;
        for event in self.take_ring(&ring) {
            view.event(&event)?;
        }
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if entry.local && entry.is_new() {
                self.try_start(index, view)?;
            }
        }
        Ok(())
    }

    /// Updates the entries to a ring. Nodes that have left it and still run stay in the list.
    fn take_ring(&mut self, ring: &Ring) -> Vec<Event> {
        let mut events = Vec::new();
        let mut old = std::mem::take(&mut self.entries);
        let same = compare(ring, ring);
        for (node, change) in ring.nodes().iter().zip(same.nodes()) {
            let share = change.after.fraction();
            // Another name or weight does not make it another node.
            let known = |it: &Entry| (&it.node.host, it.node.port) == (&node.host, node.port);
            let entry = match old.iter().position(known) {
                Some(place) => {
                    let mut entry = old.remove(place);
                    entry.node = node.clone();
                    entry.share = share;
                    entry.leaving = None;
                    entry
                }
                None => Entry::new(node.clone(), is_local(node, self.settings.host), share),
            };
            self.entries.push(entry);
        }
        for mut entry in old {
            if entry.process.is_none() {
                continue;
            }
            if entry.leaving.is_none() {
                entry.leaving = Some(Instant::now());
                events.push(Event::Leaving { node: entry.node.name.clone() });
            }
            entry.share = 0.0;
            self.entries.push(entry);
        }
        self.version = ring.id().version;
        self.changed();
        events
    }

    fn changed(&mut self) {
        self.generation += 1;
        self.client = None;
    }

    /// Creates a client for the current nodes, independent of their names in the ring.
    pub(super) async fn connect(&mut self) -> Result<(), CliError> {
        // Names do not matter here, and a new node may have the name of one that left.
        let nodes = self.entries.iter().enumerate();
        let nodes =
            nodes.map(|(place, entry)| Node { name: format!("n{place}"), ..entry.node.clone() });
        let nodes: Vec<Node> = nodes.collect();
        let ring = Ring::of_nodes(1, &nodes, "the nodes")
            .map_err(|error| CliError::Usage(error.to_string()))?;
        self.client = Some(fleet::client(ring, TIMEOUT, &self.settings.security).await?);
        Ok(())
    }

    fn board(&self) -> Board<'_> {
        Board {
            file: self.file.path(),
            version: self.version,
            age: self.begun.elapsed(),
            entries: &self.entries,
            logs: self.logs.path(),
            commands: &self.commands,
        }
    }
}
