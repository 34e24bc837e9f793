//! A crowd of connections whose failures panic.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::wait;

/// Time without progress on any socket after which the server counts as having stopped reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// Many connections to one server. They close when this is dropped.
pub struct Crowd(ringbinder_stress::Crowd);

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd(ringbinder_stress::Crowd::with_patience(PATIENCE))
    }
}

impl Deref for Crowd {
    type Target = ringbinder_stress::Crowd;

    fn deref(&self) -> &ringbinder_stress::Crowd {
        &self.0
    }
}

impl DerefMut for Crowd {
    fn deref_mut(&mut self) -> &mut ringbinder_stress::Crowd {
        &mut self.0
    }
}

impl Crowd {
    /// Opens this many connections.
    ///
    /// # Panics
    /// If the server does not accept one.
    pub fn of(count: usize, server: SocketAddr) -> Crowd {
        let mut crowd = Crowd::default();
        crowd.0.join_many(count, server, go_on).expect("the server takes connections");
        crowd
    }

    /// Sends in turns of at most `piece` bytes per connection, until everything is sent or the server stops
    /// reading. Returns the number of unsent bytes.
    pub fn send(&mut self, piece: usize) -> usize {
        self.0.send(piece, go_on).expect("somebody can wait for sockets")
    }

    /// Sends as much as the sockets take without waiting.
    pub fn send_what_fits(&mut self) {
        (0..self.0.len()).for_each(|number| self.0.send_what_fits(number));
    }

    /// Waits until every connection has received a line or is closed. Returns the lines without their line
    /// breaks, and `None` for a connection that was closed before.
    pub fn lines(&mut self) -> Vec<Option<String>> {
        wait::until("a line for everyone", || self.0.receive().then_some(()));
        self.0.answers()
    }

    /// Waits until every connection has received something or is closed. Reads nothing.
    pub fn await_answers(&self) {
        let what = "the beginning of an answer for everyone";
        wait::until(what, || self.0.is_answered().then_some(()));
    }
}

fn go_on() -> io::Result<()> {
    Ok(())
}
