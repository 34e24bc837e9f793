//! The command line: every command is a variant of [`Command`], and a struct in a file of its own.

use std::ffi::OsString;

use clap::{Args, ColorChoice, CommandFactory as _, Parser, Subcommand, ValueEnum as _};

use crate::completions::Completions;
use crate::error::CliError;
use crate::exit::{Answer, Exit};
use crate::fleet;
use crate::man::Man;
use crate::output::Output;
use crate::ring::RingCommand;
use crate::up;

const ABOUT: &str = "Look at rings, change them, and use the cache that their nodes are.";

/// Everything that can be typed.
#[derive(Parser, Debug)]
#[command(name = "ringbinder", version, about = ABOUT, after_help = after_help())]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Print JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,

    /// When to use colours; auto is on a terminal, and not where NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Output")]
    color: ColorChoice,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a ring of local nodes, show how they do, and stop them on Ctrl-C
    Up(up::Up),
    /// Look at a ring file, plan and make changes of it
    #[command(subcommand)]
    Ring(RingCommand),
    /// Print the values of keys
    Get(fleet::get::Get),
    /// Store a value
    Set(fleet::set::Set),
    /// Delete keys
    Delete(fleet::delete::Delete),
    /// Show what the nodes count
    Stats(fleet::stats::Stats),
    /// Empty the nodes
    Flush(fleet::flush::Flush),
    /// Ask every node which ring it holds, and report those that disagree or are away
    Check(fleet::check::Check),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the man page, or write all of them into a directory
    Man(Man),
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        match self {
            Command::Up(command) => command.run(out).await,
            Command::Ring(command) => command.run(out).await,
            Command::Get(command) => command.run(out).await,
            Command::Set(command) => command.run(out).await,
            Command::Delete(command) => command.run(out).await,
            Command::Stats(command) => command.run(out).await,
            Command::Flush(command) => command.run(out).await,
            Command::Check(command) => command.run(out).await,
            Command::Completions(completions) => completions.run(command(), out),
            Command::Man(man) => man.run(command(), out),
        }
    }
}

/// The whole command line, as help, completions, man pages and the manual are made from.
pub fn command() -> clap::Command {
    Cli::command()
}

/// What `--color` says, looked for before the command line is parsed: what is wrong with the
/// command line is printed in the colours that it asks for.
pub(crate) fn color_of(arguments: &[OsString]) -> ColorChoice {
    let words = arguments.iter().filter_map(|argument| argument.to_str());
    let mut words = words.skip(1).take_while(|&word| word != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        if let Some(named) = value.and_then(|value| ColorChoice::from_str(value, false).ok()) {
            choice = named;
        }
    }
    choice
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("  {:>2}  {meaning}\n", exit.number()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn color_is_found_wherever_it_stands() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            color_of(&words)
        };
        assert_eq!(of("ringbinder ring show"), ColorChoice::Auto);
        assert_eq!(of("ringbinder --color never nonsense"), ColorChoice::Never);
        assert_eq!(of("ringbinder ring show --color=always"), ColorChoice::Always);
        assert_eq!(of("ringbinder ring owner -- --color=always"), ColorChoice::Auto);
        assert_eq!(of("ringbinder --color"), ColorChoice::Auto);
    }
}
