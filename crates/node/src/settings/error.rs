//! The errors in settings: one line for the operator, and the exit code.

use std::path::PathBuf;

use crate::process::exit::ExitCode;

/// Settings that the node cannot start with.
///
/// Every message states the problem, its place and the remedy, on one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The command line does not parse.
    #[error("{0}; see ringbinderd --help")]
    Usage(String),
    /// A feature of memcached that this server does not have.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// The flag or option as it is written.
        what: String,
        /// The remedy.
        instead: String,
    },
    /// A name after `-o` that neither memcached nor this server knows.
    #[error("-o {0}: unknown option; see ringbinderd --help for the list")]
    UnknownExtended(String),
    /// The settings file cannot be read or understood.
    #[error("cannot use the settings file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem, and the remedy.
        reason: String,
    },
    /// The settings file has a key that does not exist.
    #[error(
        "unknown key '{key}' in {}{}; ringbinderd --check-config prints every key",
        path.display(),
        did_you_mean(suggestion.as_deref())
    )]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The file that has it.
        path: PathBuf,
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// A value that cannot be used, alone or beside another one.
    #[error("{place}: {reason}")]
    Value {
        /// The place of the value: a flag, a variable, or a key and its file.
        place: String,
        /// The problem, and the remedy.
        reason: String,
        /// Whether the value is on the command line rather than in a file or a variable.
        on_command_line: bool,
    },
}

impl SettingsError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_)
            | Self::Unsupported { .. }
            | Self::UnknownExtended(_)
            | Self::Value { on_command_line: true, .. } => ExitCode::Usage,
            Self::File { .. }
            | Self::UnknownKey { .. }
            | Self::Value { on_command_line: false, .. } => ExitCode::Config,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

/// Joins a message of several lines, as the parsers below write them, into one line.
pub(super) fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    // Lines with a bar quote the input; the first line says where it is.
    let kept: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.contains('|')).collect();
    kept.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_input_is_left_out_of_the_line() {
        let toml =
            "TOML parse error at line 1, column 8\n  |\n1 | port = \n  |        ^\nno value\n";
        assert_eq!(one_line(toml), "TOML parse error at line 1, column 8: no value");
    }

    #[test]
    fn the_code_tells_the_command_line_from_the_file() {
        let value = |on_command_line| SettingsError::Value {
            place: "x".into(),
            reason: "y".into(),
            on_command_line,
        };
        assert_eq!(value(true).exit_code(), ExitCode::Usage);
        assert_eq!(value(false).exit_code(), ExitCode::Config);
    }
}
