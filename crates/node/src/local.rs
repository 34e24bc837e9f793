//! What the connections of one worker share: their counters and the buffers they borrow.
//!
//! Tasks of one worker never run at the same time, so what is here needs no lock.

use std::cell::RefCell;
use std::sync::Arc;

use crate::input::Input;
use crate::output::Output;
use crate::shared::Shared;
use crate::stats::Counters;

/// Buffers kept for later; more than one is only in use while connections wait for slow readers.
const MAX_SPARE: usize = 16;

/// What the connections of one worker have in common.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    spare_inputs: RefCell<Vec<Input>>,
    spare_outputs: RefCell<Vec<Output>>,
}

impl Local {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let counters = shared.counters.of_worker(index);
        Local {
            shared,
            counters,
            spare_inputs: RefCell::default(),
            spare_outputs: RefCell::default(),
        }
    }

    /// Lends a read buffer.
    #[inline]
    pub(crate) fn take_input(&self) -> Input {
        self.spare_inputs.borrow_mut().pop().unwrap_or_else(Input::new)
    }

    /// Takes a read buffer back.
    #[inline]
    pub(crate) fn give_input(&self, mut input: Input) {
        let mut spare = self.spare_inputs.borrow_mut();
        if input.reset() && spare.len() < MAX_SPARE {
            spare.push(input);
        }
    }

    /// Lends an output buffer.
    #[inline]
    pub(crate) fn take_output(&self) -> Output {
        self.spare_outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an output buffer back; what is left in it is dropped.
    #[inline]
    pub(crate) fn give_output(&self, mut output: Output) {
        let mut spare = self.spare_outputs.borrow_mut();
        if spare.len() < MAX_SPARE {
            output.clear();
            spare.push(output);
        }
    }
}
