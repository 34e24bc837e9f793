//! The command line: the flags of all settings, and those that have no key in the settings file.
//!
//! It reads what memcached's own `getopt` reads: short flags in one word (`-dp 11212`), values
//! attached to them (`-m64`), values that begin with a dash (`-p -1`), unique prefixes of long flags
//! (`--thr 8`), a flag given twice (the last one counts), and words that are not flags, which
//! memcached ignores.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use super::error::{SettingsError, one_line};
use super::extended::names;
use super::options::{INT, Settings, command_of};
use super::values::{growth_factor, whole};
use crate::process::exit::ExitCode;

const FILE: &str = "Settings file";
const OTHER: &str = "Other";
const IDLE: &str = "Accepted from memcached, without effect";
const REFUSED: &str = "Not supported: the server does not start with this flag";

/// The output of `-V` after the name.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (speaks the protocol of memcached 1.6.45)");

const ABOUT: &str = "A cache server that speaks memcached's text protocol and takes its flags. \
                     Without any flag it serves 127.0.0.1:11211 with 64 megabytes.";

/// The output of `-i`.
pub(super) const LICENSE: &str = "\
Ringbinder is free software, under either of two licences at your choice:
  the MIT licence             https://opensource.org/license/mit
  the Apache licence, v2.0    https://www.apache.org/licenses/LICENSE-2.0
The libraries it is built from carry licences of their own.
";

/// The flags without a key.
#[derive(Args, Debug)]
#[command(version = VERSION, about = ABOUT, after_help = after_help())]
#[command(disable_help_flag = true, disable_version_flag = true, max_term_width = 100)]
#[command(infer_long_args = true)]
#[command(override_usage = "ringbinderd [FLAGS]")]
pub(super) struct CommandLine {
    /// Read settings from this file: .toml, .yaml, .yml or .json. The files in the directory FILE.d
    /// override it, in the order of their names
    #[arg(long, value_name = "FILE", help_heading = FILE)]
    pub(super) config: Option<PathBuf>,

    /// Check all settings and the files that they name, print the settings with the source of each,
    /// and exit
    #[arg(long, help_heading = FILE)]
    pub(super) check_config: bool,

    /// Ask the node that runs with these settings whether it serves; the exit code is 0 if it does
    #[arg(long, help_heading = OTHER)]
    pub(super) check_health: bool,

    /// Comma separated list of memcached's extended options, explained below
    #[arg(short = 'o', long, value_name = "OPTIONS", help_heading = OTHER)]
    pub(super) extended: Vec<String>,

    /// Protocol: ascii and auto both mean the text protocol; binary is not supported
    #[arg(short = 'B', long, value_name = "NAME", default_value = "auto", help_heading = OTHER)]
    pub(super) protocol: Protocol,

    /// UDP port: must be 0, which means off
    #[arg(short = 'U', long, value_name = "PORT", default_value = "0", help_heading = OTHER)]
    #[arg(value_parser = whole::<i32>(-1, 65535))]
    pub(super) udp_port: i32,

    /// Print this help and exit
    #[arg(short = 'h', long, action = ArgAction::HelpShort, help_heading = OTHER)]
    help: Option<bool>,

    /// Print the licence and exit
    #[arg(short = 'i', long, help_heading = OTHER)]
    pub(super) license: bool,

    /// Print the version and exit
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = OTHER)]
    version: Option<bool>,

    /// Print the man page and exit
    #[arg(long, help_heading = OTHER)]
    pub(super) man: bool,

    /// Print a completion script for a shell and exit
    #[arg(long, value_name = "SHELL", help_heading = OTHER)]
    pub(super) completions: Option<clap_complete::Shell>,

    /// Large memory pages: the system decides
    #[arg(short = 'L', long, help_heading = IDLE)]
    pub(super) enable_largepages: bool,

    /// Growth factor of slab classes: there are no slabs
    #[arg(short = 'f', long, value_name = "FACTOR", hide_default_value = true)]
    #[arg(value_parser = growth_factor, help_heading = IDLE)]
    pub(super) slab_growth_factor: Option<f64>,

    /// Smallest slab chunk: there are no slabs
    #[arg(short = 'n', long, value_name = "BYTES", help_heading = IDLE)]
    #[arg(value_parser = whole::<i32>(1, INT))]
    pub(super) slab_min_size: Option<i32>,

    /// Threads by network queue: connections go to threads in turn
    #[arg(short = 'N', long, value_name = "N", help_heading = IDLE)]
    #[arg(value_parser = whole::<i32>(1, INT))]
    pub(super) napi_ids: Option<i32>,

    /// SASL: part of the binary protocol
    #[arg(short = 'S', long, help_heading = REFUSED)]
    pub(super) enable_sasl: bool,

    /// Words that are not flags.
    #[arg(hide = true)]
    pub(super) ignored: Vec<OsString>,
}

/// What may follow `-B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    Ascii,
    Auto,
    #[value(hide = true)]
    Binary,
}

/// A valid command line.
pub(super) enum Parsed {
    /// Flags to start with, and which of them were typed.
    Flags(Box<CommandLine>, ArgMatches),
    /// The output of `--help` or `--version`.
    Text(String),
}

/// The description of the command line for the parser, the help and the tests.
pub(super) fn command() -> Command {
    CommandLine::augment_args(command_of::<Settings>()).mut_args(|argument| {
        // getopt takes whatever follows as the value, also if it begins with a dash.
        if argument.get_action().takes_values() && !argument.is_positional() {
            argument.allow_hyphen_values(true)
        } else {
            argument
        }
    })
}

/// Reads the command line; the first argument is the name of the program.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, SettingsError> {
    let arguments = arguments.map(|argument| {
        // The one flag whose value getopt leaves optional; memcached does not look at it.
        match argument.to_str() {
            Some(text) if text.starts_with("--verbose=") => "--verbose".into(),
            _ => argument,
        }
    });
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| {
        let flags = CommandLine::from_arg_matches(&matches)?;
        Ok((flags, matches))
    });
    match parsed {
        Ok((flags, matches)) => {
            refuse(&flags)?;
            Ok(Parsed::Flags(Box::new(flags), matches))
        }
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Text(error.render().to_string()))
            }
            _ => Err(SettingsError::Usage(usage_line(&error.render().to_string()))),
        },
    }
}

/// The parser's message without its repetition of the usage.
fn usage_line(message: &str) -> String {
    let noise = ["Usage:", "For more information", "tip: to pass"];
    let kept: Vec<&str> = message
        .lines()
        .filter(|line| !noise.iter().any(|start| line.trim_start().starts_with(start)))
        .collect();
    let line = one_line(&kept.join("\n"));
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn refuse(flags: &CommandLine) -> Result<(), SettingsError> {
    let refused = [
        (flags.enable_sasl, "-S, --enable-sasl", "use -Y, --auth-file"),
        (flags.udp_port != 0, "UDP (-U, --udp-port)", "leave it out or write -U 0"),
        (
            flags.protocol == Protocol::Binary,
            "the binary protocol (-B binary)",
            "use -B ascii or leave it out, and set clients to the text protocol",
        ),
    ];
    match refused.iter().find(|(given, ..)| *given) {
        Some((_, what, instead)) => {
            Err(SettingsError::Unsupported { what: (*what).into(), instead: (*instead).into() })
        }
        None => Ok(()),
    }
}

/// The order of the layers of settings, in lines for the help.
pub(super) const SETTINGS: [&str; 5] = [
    "Every flag under the first headings (Network to Process) is also a key of the settings file and",
    "an environment variable: --memory-limit is memory_limit and RINGBINDER_MEMORY_LIMIT. A flag",
    "overrides a variable, and a variable overrides the file. RINGBINDER_CONFIG names the file.",
    "If the directory FILE.d exists, its .toml, .yaml, .yml and .json files are read after FILE, sorted",
    "by name. A later file overrides only the keys that it contains.",
];

/// Examples of command lines.
pub(super) const EXAMPLES: [&str; 4] = [
    "ringbinderd -m 1024 -c 4096 -l 0.0.0.0",
    "ringbinderd -d -u cache -P /run/ringbinder/pid -s /run/ringbinder/socket -a 0770",
    "ringbinderd -Z -o ssl_chain_cert=cert.pem,ssl_key=key.pem -l 0.0.0.0,notls:127.0.0.1:11212",
    "ringbinderd --config /etc/ringbinder/ringbinderd.toml --check-config",
];

fn after_help() -> String {
    let mut help = format!(
        "Where settings come from:
  {}

Extended options (-o):
  {}
  have the effect of the flag of the same name; no_maxconns_fast and no_modern set --maxconns-fast
  to false. An option overrides a flag. Accepted without effect:
  {}

Examples:
  {}

Exit codes:",
        SETTINGS.join("\n  "),
        names(true),
        names(false),
        EXAMPLES.join("\n  "),
    );
    for (code, meaning) in ExitCode::ALL {
        help.push_str(&format!("\n  {:>2}  {meaning}", code.number()));
    }
    help
}
