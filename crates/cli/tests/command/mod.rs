//! Runs the command like a shell.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A ring file with three nodes, and comments in every place.
pub(crate) const RING: &str = "\
# Our ring.
version = 7   # raised with every change

# Rack one.
[[node]]
name = \"cache-a\"
address = \"10.0.0.1:11211\"

[[node]]
name = \"cache-b\"   # the old one
address = \"10.0.0.2:11211\"
# Rack two.
[[node]]
name = \"cache-c\"
address = \"10.0.0.3:11211\"
weight = 2
";

/// A directory with a ring file.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    /// A directory with this text in `ring.toml`.
    pub(crate) fn with(text: &str) -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        fs::write(place.ring(), text).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.path().join("ring.toml")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.ring()).unwrap()
    }

    /// The command, in this directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = command();
        command.current_dir(self.path()).args(words);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut self.command(words))
    }
}

/// The command, without environment variables that it reads.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringbinder"));
    // With CI set, output is coloured even on a dumb terminal.
    for variable in ["RINGBINDER_RING", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(variable);
    }
    // Cargo runs the tests. With this variable, `up` would build another server instead of using the tested
    // one.
    command.env_remove("CARGO");
    for name in ["TLS", "TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_NAME", "AUTH_FILE"] {
        command.env_remove(format!("RINGBINDER_{name}"));
    }
    command
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Ran {
        Ran::from(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs the command with this on standard input.
    pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Ran {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // A command that has found an error stops reading.
            let _ = stdin.write_all(&input);
        });
        let ran = Ran::from(child.wait_with_output().unwrap());
        feeder.join().unwrap();
        ran
    }

    /// Its answer as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it exited with this code, without an answer, and with one line of error that contains all
    /// these texts.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("ringbinder: "), "{self:?}");
        for words in said {
            assert!(self.err.contains(words), "{words}: {self:?}");
        }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Rows of a table, each split at white space.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}
