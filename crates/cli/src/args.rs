//! The command line. Every command is a variant of [`Command`] and a struct in a file of its own.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgMatches, Args, ColorChoice, CommandFactory as _, FromArgMatches as _,
    Parser, Subcommand, ValueEnum as _,
};
use ringbinder_bench::Bench;

use crate::error::CliError;
use crate::exit::{Answer, Exit};
use crate::fleet;
use crate::manual::{Completions, Man};
use crate::output::Output;
use crate::ring::RingCommand;
use crate::top;
use crate::up;

const ABOUT: &str = "Show and change rings, and use the cache that their nodes form.";

/// Everything that can be typed.
#[derive(Parser, Debug)]
#[command(name = "ringbinder", version, about = ABOUT, after_help = after_help())]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands, beside `--json`.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// When to use colours; auto uses them on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Output")]
    color: ColorChoice,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a ring of local nodes, show their state, and stop them on Ctrl-C
    Up(up::Up),
    /// Show a ring file, and plan and make changes to it
    #[command(subcommand)]
    Ring(RingCommand),
    /// Print the values of keys
    Get(fleet::get::Get),
    /// Store a value
    Set(fleet::set::Set),
    /// Delete keys
    Delete(fleet::delete::Delete),
    /// Show the nodes' statistics
    Stats(fleet::stats::Stats),
    /// Show the most requested keys
    Hot(fleet::hot::Hot),
    /// Watch the nodes of a ring at work
    Top(top::Top),
    /// Empty the nodes
    Flush(fleet::nodes::Flush),
    /// Reload the nodes' certificates
    RefreshCerts(fleet::nodes::RefreshCerts),
    /// Ask every node about itself and its peers, and report what differs from the ring
    Check(fleet::check::Check),
    /// Benchmark ringbinderd against memcached and similar servers
    #[command(subcommand)]
    Bench(Bench),
    /// Print shell completions
    Completions(Completions),
    /// Print the man page, or write all man pages into a directory
    Man(Man),
}

impl Command {
    /// Runs the command.
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        match self {
            Command::Up(command) => command.run(out).await,
            Command::Ring(command) => command.run(out).await,
            Command::Get(command) => command.run(out).await,
            Command::Set(command) => command.run(out).await,
            Command::Delete(command) => command.run(out).await,
            Command::Stats(command) => command.run(out).await,
            Command::Hot(command) => command.run(out).await,
            Command::Top(command) => command.run(out).await,
            Command::Flush(command) => command.run(out).await,
            Command::RefreshCerts(command) => command.run(out).await,
            Command::Check(command) => command.run(out).await,
            Command::Bench(bench) => crate::bench::run(bench, out),
            Command::Completions(completions) => completions.run(command(), out),
            Command::Man(man) => man.run(command(), out),
        }
    }
}

impl Cli {
    /// Parses the arguments. The flag of the result is true if the user asked for JSON.
    pub(crate) fn parse(arguments: Vec<OsString>) -> Result<(Cli, bool), clap::Error> {
        let matches = command().try_get_matches_from(arguments)?;
        Ok((Cli::from_arg_matches(&matches)?, is_json(&matches)))
    }
}

/// The whole command line, from which help, completions, man pages and the manual are generated.
pub fn command() -> clap::Command {
    with_json(Cli::command())
}

/// The name of the flag that asks for JSON.
pub(crate) const JSON: &str = "json";

/// Adds `--json` to a command and all its subcommands, except those with a `--json` that names a file. A
/// global flag of clap cannot be left out of a subcommand.
fn with_json(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(with_json);
    let takes = |command: &clap::Command| {
        let mut arguments = command.get_arguments();
        arguments.any(|it| it.get_id() == JSON && it.get_action().takes_values())
    };
    if takes(&command) || command.get_subcommands().any(takes) {
        return command;
    }
    let json = Arg::new(JSON).long(JSON).help("Print JSON").help_heading("Output");
    command.arg(json.action(ArgAction::SetTrue).display_order(0))
}

/// Whether the flag is set anywhere. If `--json` names a file, errors are JSON only if that file is standard
/// output.
fn is_json(matches: &ArgMatches) -> bool {
    let here = match matches.try_get_one::<bool>(JSON) {
        Ok(flag) => flag.copied().unwrap_or(false),
        Err(_) => {
            let file = matches.try_get_one::<std::path::PathBuf>(JSON);
            file.is_ok_and(|file| file.is_some_and(|file| file.as_os_str() == "-"))
        }
    };
    here || matches.subcommand().is_some_and(|(_, below)| is_json(below))
}

/// The value of `--color`, read before the command line is parsed: usage errors are printed in the colours
/// that the user asked for.
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
    fn json_is_a_flag_wherever_it_stands_and_a_file_of_benchmarks() {
        let of = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            Cli::parse(words).map(|(_, json)| json).map_err(|error| error.to_string())
        };
        assert_eq!(of("ringbinder check"), Ok(false));
        assert_eq!(of("ringbinder --json check"), Ok(true));
        assert_eq!(of("ringbinder ring --json show"), Ok(true));
        assert_eq!(of("ringbinder ring show --json"), Ok(true));
        assert_eq!(of("ringbinder get --json key"), Ok(true));
        assert_eq!(of("ringbinder bench compare --json out.json"), Ok(false));
        assert_eq!(of("ringbinder bench replay --json - t.csv"), Ok(true));
        assert!(of("ringbinder bench compare --json").is_err());
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
