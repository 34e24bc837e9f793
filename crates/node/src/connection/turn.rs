//! A turn of a connection: the buffers it uses from reading to writing, and the state that remains
//! if it has to wait in between.

use std::ops::ControlFlow;
use std::task::Poll;

use crate::command::step::Step;
use crate::net::connections::CloseReason;
use crate::net::input::Input;
use crate::net::output::Output;

/// A turn that waits for something other than input, with all that it holds. Boxed as a whole,
/// because a connection that waits for requests must not hold room for it.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) held: Buffers,
    /// The number of requests until others must have their turn.
    pub(crate) turns: u32,
    pub(crate) step: Step,
}

/// The buffers that a connection borrows while it works.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) input: Box<Input>,
    pub(crate) output: Box<Output>,
}

/// A turn that has to wait before it can continue.
#[cold]
pub(crate) fn unfinished(
    held: Buffers,
    turns: u32,
    step: Step,
) -> Poll<Result<ControlFlow<Box<Unfinished>>, CloseReason>> {
    Poll::Ready(Ok(ControlFlow::Break(Box::new(Unfinished { held, turns, step }))))
}

impl Buffers {
    /// The bytes that it occupies and that are not counted yet.
    pub(crate) fn bytes(&self) -> usize {
        self.input.uncounted() + self.output.bytes.capacity()
    }
}
