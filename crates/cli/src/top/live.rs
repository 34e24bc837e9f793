//! The live view on the terminal. Nodes are asked in the background, keys and signals are handled meanwhile,
//! and every change is drawn.

use std::time::Duration;

use ringbinder_protocol::Stamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::keys;
use super::model::Model;
use super::poll::{self, Heard};
use super::ui::{Key, Ui};
use super::view::{self, Theme};
use crate::error::CliError;
use crate::fleet::{Fleet, FleetOptions};
use crate::terminal::{Keys, Screen};
use crate::up::signals::{Signals, Wish, suspend};

/// Minimum time between two drawings of new answers, since there may be many answers.
const FRAME: Duration = Duration::from_millis(50);

/// Interval at which the ring is read again.
const RING: Duration = Duration::from_secs(5);

/// Most answers of nodes that wait to be handled.
const QUEUE: usize = 64;

/// The state of the view.
struct Live<'a> {
    options: &'a FleetOptions,
    model: Model,
    ui: Ui,
    screen: Option<Screen>,
    theme: Theme,
    heard: mpsc::Sender<Heard>,
    pace: watch::Sender<Duration>,
    /// Kept because dropping it stops the polling.
    _pollers: JoinSet<()>,
    /// Number of rings before this one.
    generation: u64,
}

/// Runs until the user quits.
///
/// # Errors
/// If the terminal or the system refuses.
pub(super) async fn run(
    options: &FleetOptions,
    fleet: Fleet,
    pace: Duration,
) -> Result<(), CliError> {
    let mut signals = Signals::new().map_err(CliError::Runtime)?;
    signals.take_suspend().map_err(CliError::Runtime)?;
    let colors = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let (sender, mut heard) = mpsc::channel(QUEUE);
    let (pace_sender, pace_receiver) = watch::channel(pace);
    let pollers = poll::start(fleet.client.nodes(), 0, options.timeout, &pace_receiver, &sender);
    let mut live = Live {
        options,
        model: super::model_of(&fleet),
        ui: Ui::new(pace),
        screen: Some(Screen::enter(Keys::Read).map_err(CliError::Print)?),
        theme: Theme { colors },
        heard: sender,
        pace: pace_sender,
        _pollers: pollers,
        generation: 0,
    };
    let mut keys = keys::keys();
    let mut no_keys = false;
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (ring_sender, mut rings) = mpsc::channel(1);
    tokio::spawn(read_rings(options.clone(), live.model.ring, ring_sender));
    let mut next_history = tokio::time::Instant::now() + pace;
    let mut changed = true;
    live.draw()?;
    loop {
        tokio::select! {
            biased;
            wish = signals.next() => match wish {
                Wish::Stop => return Ok(()),
                Wish::Suspend => live.suspend()?,
                Wish::Resize => live.draw()?,
                Wish::Child => {}
            },
            key = keys.recv(), if !no_keys => match key {
                Some(Key::Quit) => return Ok(()),
                Some(Key::Suspend) => live.suspend()?,
                Some(key) => {
                    live.press(key);
                    live.draw()?;
                }
                None => no_keys = true,
            },
            Some(heard) = heard.recv() => changed |= live.hear(heard),
            () = tokio::time::sleep_until(next_history) => {
                next_history = tokio::time::Instant::now() + live.ui.pace;
                if !live.ui.paused {
                    live.model.remember();
                    changed = true;
                }
            }
            _ = frames.tick(), if changed => {
                changed = false;
                live.draw()?;
            }
            Some(fleet) = rings.recv() => {
                live.follow(&fleet);
                changed = true;
            }
        }
    }
}

/// Reads the ring at regular intervals and sends the nodes of every new ring. A ring that is unreadable or
/// unusable changes nothing: the nodes stay the same.
async fn read_rings(options: FleetOptions, mut known: Stamp, fleets: mpsc::Sender<Fleet>) {
    loop {
        tokio::time::sleep(RING).await;
        let read = tokio::time::timeout(options.timeout, options.ring.load()).await;
        if !matches!(read, Ok(Ok(ring)) if super::id(&ring) != known) {
            continue;
        }
        if let Ok(Ok(fleet)) = tokio::time::timeout(options.timeout, options.connect()).await {
            known = super::id(&fleet.ring);
            if fleets.send(fleet).await.is_err() {
                return;
            }
        }
    }
}

impl Live<'_> {
    fn draw(&mut self) -> Result<(), CliError> {
        let (model, ui, theme) = (&self.model, &self.ui, self.theme);
        if let Some(screen) = &mut self.screen {
            screen.draw(|frame| view::draw(frame, model, ui, theme)).map_err(CliError::Print)?;
        }
        Ok(())
    }

    fn press(&mut self, key: Key) {
        self.ui.press(key, &self.model);
        self.pace.send_if_modified(|pace| {
            let other = *pace != self.ui.pace;
            *pace = self.ui.pace;
            other
        });
    }

    /// Records a node's answer. Returns true if there is something new to draw. While the view is paused,
    /// answers are dropped, and the next one after that is compared with the last one before the pause.
    fn hear(&mut self, heard: Heard) -> bool {
        let fresh = heard.generation == self.generation && !self.ui.paused;
        if fresh {
            self.model.hear(heard.node, heard.at, heard.report);
        }
        fresh
    }

    /// Starts to ask the nodes of another ring.
    fn follow(&mut self, fleet: &Fleet) {
        self.generation += 1;
        self._pollers = poll::start(
            fleet.client.nodes(),
            self.generation,
            self.options.timeout,
            &self.pace.subscribe(),
            &self.heard,
        );
        self.model.follow(super::id(&fleet.ring), fleet.ring.nodes());
    }

    /// Restores the terminal and stops this process until it is continued.
    fn suspend(&mut self) -> Result<(), CliError> {
        self.screen = None;
        suspend();
        self.screen = Some(Screen::enter(Keys::Read).map_err(CliError::Print)?);
        self.draw()
    }
}
