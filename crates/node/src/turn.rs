//! A turn of a connection: what it works with from reading to writing, and what is left of it where
//! something has to be waited for in between.

use std::ops::ControlFlow;
use std::task::Poll;

use crate::connections::CloseReason;
use crate::input::Input;
use crate::output::Output;
use crate::step::{Progress, Step};

/// A turn that waits for something else than input, with all that it holds. Boxed as a whole: a
/// connection that waits for requests must not hold room for it.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) held: Held,
    pub(crate) progress: Progress,
    pub(crate) step: Step,
}

/// What a connection borrows while it works.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) input: Box<Input>,
    pub(crate) output: Box<Output>,
}

/// A turn that something else must come to before it goes on.
#[cold]
pub(crate) fn unfinished(
    held: Held,
    progress: Progress,
    step: Step,
) -> Poll<Result<ControlFlow<Box<Unfinished>>, CloseReason>> {
    Poll::Ready(Ok(ControlFlow::Break(Box::new(Unfinished { held, progress, step }))))
}

impl Held {
    /// Bytes that it takes and that are not counted yet.
    pub(crate) fn bytes(&self) -> usize {
        self.input.uncounted() + self.output.bytes.capacity()
    }
}
