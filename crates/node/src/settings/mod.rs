//! The settings of a node: which there are, where they are read from, and their effective values.
//!
//! An operator starts `ringbinderd` with the command line of memcached, so flags come first: they
//! have memcached's names, meanings, defaults and limits. The same settings can be written in a
//! file and in the environment. [`load`] reads all of them, each layer over the one before
//! (defaults, file, the files in `FILE.d`, `RINGBINDER_*`, flags). It returns plain values, or one
//! line that states the problem.
//!
//! Each setting is defined once, as a field of [`Settings`] in `options.rs` or of a group in it: its
//! flag, key, variable, default, bounds, unit and help follow from that field. Every layer is parsed
//! as flags. `extended.rs` has the only table of the options after `-o`. The manual in
//! `docs/configuration.md` is checked against both.
//!
//! This module opens no socket, does not change the process, and reads only settings files.
//!
//! | file | purpose |
//! |---|---|
//! | `options`, `tls` | [`Settings`]: every setting with a key; those about TLS |
//! | `flags`, `extended` | flags without a key; options after `-o` |
//! | `values`, `listen` | parsers of values, with their bounds and units; addresses |
//! | `layers`, `texts` | the layers, and merging them; a value as the texts after its flag |
//! | `rules` | the rules between settings |
//! | `figures` | the lines of `stats settings` about memcached's machinery |
//! | `report`, `page` | `--check-config`; the man page and completions |
//! | `error` | the errors in settings, and the exit code |

mod error;
mod extended;
mod figures;
mod flags;
mod layers;
mod listen;
mod options;
mod page;
mod report;
mod rules;
mod texts;
mod tls;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

pub(crate) use error::SettingsError;
pub(crate) use listen::ListenAddress;
pub(crate) use options::{AdminSettings, ForeignKeys, RingSettings, Settings};
pub(crate) use tls::{Guard, PeerTls, TlsSettings, Verify};

/// The action that a command line requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Startup {
    /// Serve with these settings.
    Run {
        /// The effective settings.
        settings: Box<Settings>,
        /// Warnings for the operator, one line each.
        warnings: Vec<String>,
    },
    /// Ask the node that runs with these settings whether it serves, and exit with the answer
    /// (`--check-health`).
    AskHealth {
        /// The settings of that node.
        settings: Box<Settings>,
    },
    /// Check whatever can only be checked on this machine, then print the effective settings
    /// (`--check-config`).
    Check {
        /// The effective settings.
        settings: Box<Settings>,
        /// The text, with its line end.
        text: String,
        /// Warnings for the operator, one line each, for standard error.
        warnings: Vec<String>,
    },
    /// Print this to standard output and exit with success: `--help`, `--version`, `--license`,
    /// `--man`, `--completions`.
    Print {
        /// The text, with its line end.
        text: String,
        /// Warnings for the operator, one line each, for standard error.
        warnings: Vec<String>,
    },
}

/// Reads the settings of this start from all layers.
///
/// `arguments` begins with the name of the program, as in `std::env::args_os`; `environment` is
/// that of `std::env::vars_os`.
pub(crate) fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Startup, SettingsError> {
    let (flags, matches) = match flags::parse(arguments.into_iter())? {
        flags::Parsed::Flags(flags, matches) => (flags, matches),
        flags::Parsed::Text(text) => return Ok(printed(text)),
    };
    if flags.license {
        return Ok(printed(flags::LICENSE.into()));
    }
    if flags.man {
        return Ok(printed(page::man()));
    }
    if let Some(shell) = flags.completions {
        return Ok(printed(page::completions(shell)));
    }
    let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
    let file_of_environment = environment
        .iter()
        .find(|(name, value)| name == layers::CONFIG_VARIABLE && !value.is_empty())
        .map(|(_, value)| Path::new(value));

    let (mut layers, mut warnings) = (Vec::new(), Vec::new());
    if let Some(path) = flags.config.as_deref().or(file_of_environment) {
        layers.push(layers::from_file(path)?);
        let (more, ignored) = layers::from_directory_of(path)?;
        layers.extend(more);
        warnings.extend(ignored);
    }
    let (layer, ignored) = layers::from_environment(&environment)?;
    layers.push(layer);
    warnings.extend(ignored);
    layers.push(layers::from_flags(&matches));
    let mut extended = extended::parse(&flags.extended)?;
    layers.push(layers::from_extended(std::mem::take(&mut extended.keys))?);

    let mut merged = layers::merge(&layers);
    if let Some(layer) = layers::from_state_directory(&environment, &merged) {
        layers.insert(0, layer);
        merged = layers::merge(&layers);
    }
    let (settings, more) = rules::apply(&merged, &flags, extended)?;
    warnings.extend(more);
    if flags.check_config {
        let (settings, text) = (Box::new(settings), report::toml(&merged));
        return Ok(Startup::Check { settings, text, warnings });
    }
    if flags.check_health {
        // The serving node has already logged the warnings.
        return Ok(Startup::AskHealth { settings: Box::new(settings) });
    }
    Ok(Startup::Run { settings: Box::new(settings), warnings })
}

/// The settings of a start with these flags, which ask to serve.
#[cfg(test)]
pub(crate) fn of_flags(flags: &[&str]) -> Settings {
    let arguments = std::iter::once("ringbinderd").chain(flags.iter().copied());
    match load(arguments.map(OsString::from), []) {
        Ok(Startup::Run { settings, .. }) => *settings,
        other => panic!("{flags:?}: {other:?}"),
    }
}

fn printed(text: String) -> Startup {
    Startup::Print { text, warnings: Vec::new() }
}
