//! The work that a connection must do before it carries out further requests.

use std::time::Duration;

use ringbinder_protocol::WatchFlags;

use super::long::Long;
use crate::net::connections::CloseReason;

/// The reason why carrying out requests stopped.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is no further complete request.
    Starved,
    /// Other connections must have their turn.
    Yield,
    /// The answers must be written first.
    Flush,
    /// The value announced in the first `line` unread bytes, which has `len` bytes, has not arrived
    /// yet.
    Value { line: usize, len: usize },
    /// This many bytes must be dropped.
    Swallow(usize),
    /// A login must be checked, but only after this delay.
    Slow(Duration),
    /// A wrong password must be answered, but not at once.
    Penalty,
    /// Every node of the ring must be emptied, this one included.
    FlushAll {
        /// The delay as an exptime; zero or less means at once.
        delay: i64,
        /// The client suppresses replies.
        noreply: bool,
    },
    /// The client asks for a reload of the certificates.
    Refresh,
    /// The client asks for log lines.
    Watch(WatchFlags),
    /// The client asks for an answer that may be long.
    Long(Long),
    /// The connection ends.
    Close(CloseReason),
}

/// The outcome of the request at the front of the buffer.
#[derive(Debug)]
pub(crate) struct Handled {
    /// The bytes of it that are processed; 0 if it stays for later.
    pub(crate) consumed: usize,
    /// The reason to stop here, if there is one.
    pub(crate) then: Option<Step>,
}

impl Handled {
    /// A request of this many bytes that is finished. The next one follows.
    pub(crate) fn done(consumed: usize) -> Handled {
        Handled { consumed, then: None }
    }

    /// A request that stays until other work is done.
    pub(crate) fn wait(then: Step) -> Handled {
        Handled { consumed: 0, then: Some(then) }
    }
}
