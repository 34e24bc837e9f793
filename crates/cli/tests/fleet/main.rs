//! Tests of the commands that use a cache of real nodes.

#[path = "../command/mod.rs"]
mod command;
#[path = "../pty/mod.rs"]
mod pty;

mod absent;
mod check;
mod findings;
mod hostile;
mod keys;
mod nodes;
mod scripted;
mod secure;
mod terminal;
mod top;

use std::process::Command;

use command::Ran;
use ringbinder_tests::ring::Fleet;

/// A time-out, in seconds, that a loaded machine does not exceed.
const TIMEOUT: &str = "20";

/// Nodes, and a ring file for the command.
struct Ring {
    fleet: Fleet,
    file: String,
}

impl Ring {
    fn running(count: usize) -> Ring {
        let fleet = Fleet::running(count, &[]);
        let all: Vec<usize> = (0..count).collect();
        let file = fleet.file("all.toml", &fleet.ring(1, &all));
        Ring { fleet, file }
    }

    /// The command with this ring.
    fn command(&self, words: &[&str]) -> Command {
        of(&self.file, words)
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut self.command(words))
    }

    fn fed(&self, words: &[&str], input: &[u8]) -> Ran {
        Ran::fed(&mut self.command(words), input)
    }

    /// A key that this node owns.
    fn key_of(&self, node: usize) -> String {
        self.fleet.keys_of(0, node, "k", 1).remove(0)
    }
}

/// The command with the ring of a file.
fn of(file: &str, words: &[&str]) -> Command {
    let mut command = command::command();
    command.args(words).args(["--timeout", TIMEOUT, "--ring", file]);
    command
}
