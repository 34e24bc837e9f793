//! The signals that this command handles.

use std::io;

use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{self, SignalKind, signal};

/// A request from outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Ctrl-C, SIGTERM, or the terminal is gone: stop.
    Stop,
    /// A child has ended.
    Child,
    /// The terminal has another size.
    Resize,
    /// Ctrl-Z: suspend the process.
    Suspend,
}

/// Handlers of the signals, installed at creation.
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    child: unix::Signal,
    resize: unix::Signal,
    /// Installed only if the screen must be restored first.
    suspend: Option<unix::Signal>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// If the system refuses.
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

    /// Installs a handler for Ctrl-Z too.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn take_suspend(&mut self) -> io::Result<()> {
        self.suspend = Some(signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?);
        Ok(())
    }

    /// Waits for the next signal.
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

    /// Waits for the next signal that means stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Suspends this process until it is continued.
pub(crate) fn suspend() {
    // If that fails, the process simply continues.
    let _ = raise(Signal::SIGSTOP);
}
