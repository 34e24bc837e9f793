//! The manual `docs/cli.md`, generated from the flags. A test compares the two.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::args::JSON;
use crate::exit::Exit;
use crate::fleet::security;

const INTRODUCTION: &str = "\
# ringbinder

`ringbinder` looks at rings, changes ring files, uses the cache that the nodes of a ring are, and measures
it. Below is what `ringbinder --help` says, command by command; this file is made from the flags
(`RINGBINDER_WRITE_DOCS=1 cargo test -p ringbinder-cli --test manual` writes it).

    ringbinder ring show                                  # ./ring.toml
    ringbinder ring plan --add cache-d=10.0.0.4:11211 --svg plan.svg
    ringbinder ring add cache-d=10.0.0.4:11211            # edits the file, raises the version
    ringbinder ring owner --json user:1 user:2
    ringbinder bench compare --vs memcached --svg ratios.svg

The ring is named with `--ring` or `RINGBINDER_RING`, else it is `ring.toml` in the current directory.
`etcd://host:port/key` needs a `ringbinder` built with `--features etcd`.

**Output.** A table on a terminal fits it; in a pipe every row is one line, without colours. With
`--json` standard output is one JSON document, and a failure is one JSON object on standard error,
`{\"error\": \"...\", \"exit\": 66}`; only a wrong command line is told in words. Shares are fractions of the
key space from 0 to 1, `points` the same of its 2^32 points. Text of nodes is escaped: control
characters, and those that are invisible or change the direction of writing. `bench` prints Markdown, and takes a file
with `--json`.

**Editing.** `ring add`, `remove` and `weight` change the bytes that have to change, and no others:
comments on lines of their own, order and layout stay, in TOML, YAML and JSON. Before the new text
takes the place of the file it has to read as exactly the ring that is meant; it is written aside,
flushed and renamed, so that the old file or the new one is there at every moment. A file that is a mount
of its own, as in a container, cannot be replaced: it is written in place, and reads as no ring until all
of it is on the disk. Two who edit at once wait for each other. A ring in etcd is not edited: the message has the `etcdctl` lines.

**Benchmarks.** `bench` starts the servers it measures, on free ports of 127.0.0.1, and stops them. What
it is doing goes to standard error: a bar on a terminal, lines elsewhere. [performance.md](performance.md)
says what is measured and how to read it.

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
    text.push_str("\n## With every command, and the ring\n\n");
    let global = command.get_arguments().filter(|argument| is_everywhere(argument));
    let ring = ring_option(&command);
    table(&mut text, global.chain(ring));
    if let Some(command) = dialling(&command) {
        text.push_str("\n## With every command that asks nodes\n\n");
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
                true => " Asks its nodes: `--tls`, `--auth-file` and the like.",
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
        let _ = write!(text, "; `{}` if left out", defaults.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, "; also `{}`", variable.to_string_lossy());
    }
    text.replace('|', "\\|").replace('\n', " ")
}
