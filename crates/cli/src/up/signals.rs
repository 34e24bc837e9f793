//! The signals that this command lives by.

use std::io;

use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{self, SignalKind, signal};

/// What the outside wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Ctrl-C, SIGTERM, or the terminal is gone: stop.
    Stop,
    /// A child has ended.
    Child,
    /// The terminal has another size.
    Resize,
    /// Ctrl-Z: stand still.
    Suspend,
}

/// Signals, from the moment this is made.
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    child: unix::Signal,
    resize: unix::Signal,
    /// Only where the screen has to be given back before.
    suspend: Option<unix::Signal>,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
            resize: signal(SignalKind::window_change())?,
            suspend: None,
        })
    }

    /// Takes Ctrl-Z over as well.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn take_suspend(&mut self) -> io::Result<()> {
        self.suspend = Some(signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?);
        Ok(())
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Wish {
        let Signals { interrupt, terminate, hangup, child, resize, suspend } = self;
        let suspend = async {
            match suspend {
                Some(suspend) => suspend.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => Wish::Stop,
            _ = terminate.recv() => Wish::Stop,
            _ = hangup.recv() => Wish::Stop,
            _ = child.recv() => Wish::Child,
            _ = resize.recv() => Wish::Resize,
            _ = suspend => Wish::Suspend,
        }
    }

    /// The next one that says stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Stands still until somebody has this process go on.
pub(crate) fn stand_still() {
    // Where it fails, the process goes on.
    let _ = raise(Signal::SIGSTOP);
}
