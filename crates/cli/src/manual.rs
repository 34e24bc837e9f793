//! What is generated from the flags: completions, man pages, and the manual `docs/cli.md`. A test compares the
//! manual with the file.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clap::{Arg, Args, Command};
use clap_complete::Shell;

use crate::args::JSON;
use crate::error::CliError;
use crate::exit::{Answer, Exit};
use crate::fleet::security;
use crate::output::Output;

const INTRODUCTION: &str = "\
# ringbinder

`ringbinder` shows and changes ring files, uses the cache that the nodes of a ring form, and runs benchmarks.
This file is generated from the help texts (`RINGBINDER_WRITE_DOCS=1 cargo test -p ringbinder-cli --test manual`
writes it).

    ringbinder ring show                                  # ./ring.toml
    ringbinder ring plan --add cache-d=10.0.0.4:11211 --svg plan.svg
    ringbinder ring add cache-d=10.0.0.4:11211            # edits the file, raises the version
    ringbinder ring owner --json user:1 user:2
    ringbinder bench compare --vs memcached --svg ratios.svg

`--ring` or `RINGBINDER_RING` names the ring; without either it is `ring.toml` in the current directory.
`etcd://host:port/key` needs a `ringbinder` built with `--features etcd`.

**Output.** On a terminal, tables fit its width. In a pipe, each row is one line, without colours. With `--json`,
standard output is one JSON document, and a failure is one JSON object on standard error,
`{\"error\": \"...\", \"exit\": 66}`. Only a usage error is plain text. Shares are fractions of the key space from
0 to 1; `points` is the same share as a number of its 2^32 points. Text from nodes is escaped: control characters,
invisible characters, and those that change the direction of writing. `bench` prints Markdown, and its `--json`
takes a file.

**Editing.** `ring add`, `remove` and `weight` change only the bytes that must change, in TOML, YAML and JSON.
Comments on separate lines, order and layout stay. The new text must parse as exactly the intended ring. It is
written to another file, flushed and renamed, so that the old file or the new one exists at every moment. A file
that is a mount, as in a container, cannot be replaced. It is written in place, and is an invalid ring until all of
it is on the disk. Concurrent changes wait for each other. A ring in etcd is not edited: the error message has the
`etcdctl` commands.

**Benchmarks.** `bench` starts the servers that it measures on free ports of 127.0.0.1, and stops them. It reports
progress on standard error: a bar on a terminal, lines elsewhere. [performance.md](performance.md) says what is
measured and how to read the results.

**Completions and man pages.**

    ringbinder completions bash > /etc/bash_completion.d/ringbinder
    ringbinder man --out /usr/local/share/man/man1
";

/// The text of the manual.
pub fn markdown() -> String {
    let mut command = crate::command();
    // Gives every subcommand its full name.
    command.build();
    let mut text = String::from(INTRODUCTION);
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {meaning} |", exit.number());
    }
    text.push_str("\n## Flags of every command, and the ring\n\n");
    let global = command.get_arguments().filter(|argument| is_everywhere(argument));
    let ring = ring_option(&command);
    table(&mut text, global.chain(ring));
    if let Some(command) = dialling(&command) {
        text.push_str("\n## Flags of every command that asks nodes\n\n");
        table(&mut text, command.get_arguments().filter(|argument| is_security(argument)));
    }
    section(&mut text, &command);
    text
}

fn section(text: &mut String, command: &Command) {
    let shown = |command: &&Command| command.get_name() != "help" && !command.is_hide_set();
    for command in command.get_subcommands().filter(shown) {
        if command.has_subcommands() {
            section(text, command);
            continue;
        }
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "\n## {name}\n\n{}.\n\n    {usage}\n", about.trim_end_matches('.'));
        if let Some(ring) = ring_option(command) {
            let asks = match command.get_arguments().any(is_security) {
                true => " Connects to nodes: `--tls`, `--auth-file` and similar flags.",
                false => "",
            };
            let _ = writeln!(text, "Works on a ring: `--{}`.{asks}\n", ring.get_id());
        }
        let own = command.get_arguments();
        table(
            text,
            own.filter(|argument| !is_everywhere(argument) && argument.get_env().is_none()),
        );
    }
}

/// Whether every command has this flag.
fn is_everywhere(argument: &Arg) -> bool {
    let json = argument.get_id() == JSON && !argument.get_action().takes_values();
    argument.is_global_set() || json
}

/// Whether the flag configures connections to nodes. These flags have their own table.
fn is_security(argument: &Arg) -> bool {
    argument.get_help_heading() == Some(security::HEADING)
}

/// The first command that dials nodes.
fn dialling(command: &Command) -> Option<&Command> {
    match command.get_arguments().any(is_security) {
        true => Some(command),
        false => command.get_subcommands().find_map(dialling),
    }
}

/// The flag that names the ring, from the first command that has it. Most commands do.
fn ring_option(command: &Command) -> Option<&Arg> {
    command
        .get_arguments()
        .find(|argument| argument.get_env().is_some() && !is_security(argument))
        .or_else(|| command.get_subcommands().find_map(ring_option))
}

fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let shown = arguments.filter(|argument| {
        !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
    });
    let mut shown = shown.peekable();
    if shown.peek().is_none() {
        return;
    }
    text.push_str("| flag or argument | meaning |\n|---|---|\n");
    for argument in shown {
        let _ = writeln!(text, "| {} | {} |", name(argument), meaning(argument));
    }
}

fn name(argument: &Arg) -> String {
    let takes = argument.get_action().takes_values();
    let values = argument.get_value_names().unwrap_or_default().join(" ");
    let (long, short) = (argument.get_long(), argument.get_short());
    match (long, short) {
        (None, None) => format!("`{values}`"),
        (long, short) => {
            let short = short.map(|short| format!("-{short}"));
            let long = long.map(|long| format!("--{long}"));
            let flags: Vec<String> = short.into_iter().chain(long).collect();
            let value = if takes { format!(" {values}") } else { String::new() };
            format!("`{}{value}`", flags.join("`, `"))
        }
    }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let values = values.iter().filter(|value| !value.is_hide_set()).map(|value| {
            match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            }
        });
        let _ = write!(text, ": {}", values.collect::<Vec<_>>().join(", "));
    }
    let defaults = argument.get_default_values();
    let shown = !argument.is_hide_default_value_set() && !defaults.is_empty();
    if argument.get_action().takes_values() && shown {
        let defaults: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        let _ = write!(text, "; default `{}`", defaults.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, "; also `{}`", variable.to_string_lossy());
    }
    text.replace('|', "\\|").replace('\n', " ")
}

/// Completions of the command line for a shell.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions. `command` is the whole command line.
    pub(crate) fn run(self, command: Command, out: &mut Output) -> Result<Answer, CliError> {
        let mut command = command.mut_subcommand(BENCH, without_hidden);
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.text(String::from_utf8_lossy(&script))?;
        Ok(Answer::Yes)
    }
}

/// The command with a hidden subcommand.
const BENCH: &str = "bench";

/// Removes hidden subcommands, which clap would complete too.
fn without_hidden(bench: Command) -> Command {
    let shown = bench.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = bench.get_about().cloned().unwrap_or_default();
    Command::new(BENCH).about(about).args(bench.get_arguments().cloned()).subcommands(shown)
}

/// Man pages of the command line.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a man page for every command into this directory instead of printing one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the man pages. `command` is the whole command line.
    pub(crate) fn run(self, command: Command, out: &mut Output) -> Result<Answer, CliError> {
        let Some(directory) = self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            out.text(String::from_utf8_lossy(&page))?;
            return Ok(Answer::Yes);
        };
        let hint = "name a directory that you may write";
        let failed = |source| CliError::Write { path: directory.clone(), source, hint };
        fs::create_dir_all(&directory).map_err(failed)?;
        clap_mangen::generate_to(command, &directory).map_err(failed)?;
        Ok(Answer::Yes)
    }
}
