//! The end of the node: one flag that every task waits for, and the cause that raised it.
//!
//! The code that ends the node names the cause. The first cause counts and is logged. Later ones
//! change nothing, because the node is already stopping.

use std::fmt;
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// The cause of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGUSR1.
    Graceful,
    /// A client sent `shutdown`.
    Shutdown,
    /// Another process took over.
    HandedOver,
    /// A worker thread could not start.
    WorkerFailed,
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopCause::Terminate => "SIGTERM: stopping once all answers are written",
            StopCause::Interrupt => "SIGINT: stopping once all answers are written",
            StopCause::Graceful => "SIGUSR1: stopping once all answers are written",
            StopCause::Shutdown => "the shutdown command: stopping once all answers are written",
            StopCause::HandedOver => "hand-over: stopping because another process serves now",
            StopCause::WorkerFailed => "a worker thread failed: stopping",
        })
    }
}

/// The flag and its cause.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    /// Set before the flag is raised.
    cause: OnceLock<StopCause>,
}

impl Stop {
    /// Ends the node.
    pub(crate) fn because(&self, cause: StopCause) {
        // An earlier cause stays.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// Waits for the end to begin.
    pub(crate) async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Whether the end has begun.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The cause, once the end has begun.
    pub(crate) fn cause(&self) -> Option<StopCause> {
        self.cause.get().copied()
    }

    /// The flag alone, for code that does not depend on a node.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_counts() {
        let stop = Stop::default();
        assert_eq!((stop.is_cancelled(), stop.cause()), (false, None));
        stop.because(StopCause::HandedOver);
        stop.because(StopCause::Terminate);
        assert!(stop.is_cancelled() && stop.token().is_cancelled());
        assert_eq!(stop.cause(), Some(StopCause::HandedOver));
    }
}
