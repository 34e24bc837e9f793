//! Tests of `ringbinder up` with real nodes.

#[path = "../command/mod.rs"]
mod command;
#[path = "../pty/mod.rs"]
mod pty;

mod beginning;
mod live;
mod running;
mod session;
