//! What a connection has to do before it carries out further requests.

use std::time::Duration;

use ringbinder_protocol::WatchFlags;

use crate::connections::CloseReason;
use crate::long::Long;

/// Why carrying out requests stopped.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is no further whole request.
    Starved,
    /// It is the others' turn.
    Yield,
    /// The answers must be written first.
    Flush,
    /// The value announced in the first `line` unread bytes, which has `len` bytes, is still on its way.
    Value { line: usize, len: usize },
    /// So many bytes are to be dropped.
    Swallow(usize),
    /// A login is to be looked at, but only after so long.
    Slow(Duration),
    /// A wrong password is to be answered, but not at once.
    Penalty,
    /// Every node of the ring is to be emptied, this one included.
    FlushAll {
        /// The delay as an exptime; not positive is now.
        delay: i64,
        /// The client wants no answer.
        noreply: bool,
    },
    /// The client wants the certificates read anew.
    Refresh,
    /// The client wants to watch.
    Watch(WatchFlags),
    /// The client wants an answer that may be long.
    Long(Long),
    /// The end.
    Close(CloseReason),
}

/// What became of the request at the front of the buffer.
#[derive(Debug)]
pub(crate) struct Handled {
    /// Bytes of it that are dealt with; 0 where it stays for later.
    pub(crate) consumed: usize,
    /// Why to stop here, if so.
    pub(crate) then: Option<Step>,
}

impl Handled {
    /// A request of so many bytes, after which the next one follows.
    pub(crate) fn done(consumed: usize) -> Handled {
        Handled { consumed, then: None }
    }

    /// A request that stays until something else was done.
    pub(crate) fn wait(then: Step) -> Handled {
        Handled { consumed: 0, then: Some(then) }
    }
}

/// How far the requests in a buffer are carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Requests until it is the others' turn.
    pub(crate) turns: u32,
}
