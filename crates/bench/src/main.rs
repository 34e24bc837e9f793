//! `ringbinder-bench`: ringbinderd, its client and others of their kind, side by side on one machine.
//!
//! `compare` measures what a request costs, `memory` what an item and an idle connection cost, `ring`
//! what a request costs that another node of a ring answers, `clients` what it costs the client,
//! `instructions` what valgrind counts. All
//! start the servers themselves on free ports of 127.0.0.1 and print Markdown on stdout; what they
//! are doing goes to stderr.

mod cli;
mod clients;
mod compare;
mod cores;
mod instructions;
mod load;
mod machine;
mod memory;
mod progress;
mod ring;
mod servers;
mod stop;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// How a run ended that printed all it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing spoils the figures.
    Clean,
    /// At least one row carries a flag, such as misses that should not be.
    Flagged,
}

impl Verdict {
    fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Flagged => 3,
        }
    }
}

/// The code of a shell for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    servers::end_children_on_panic();
    let done = stop::Stop::on_signals().and_then(|stop| match cli.command {
        cli::Command::Compare(options) => compare::run(&options, &stop),
        cli::Command::Memory(options) => memory::run(&options, &stop),
        cli::Command::Ring(options) => ring::run(&options, &stop),
        cli::Command::Clients(options) => clients::run(&options, &stop),
        cli::Command::Instructions(options) => instructions::run(&options, &stop),
        cli::Command::ClientsWorker(options) => {
            clients::run_worker(&options).map(|()| Verdict::Clean)
        }
    });
    match done {
        Ok(verdict) => verdict.code().into(),
        Err(error) if error.is::<stop::Interrupted>() => {
            complain("interrupted; the servers are stopped");
            INTERRUPTED.into()
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says it on stderr, and bears that nobody may be listening.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "ringbinder-bench: {text}");
}
