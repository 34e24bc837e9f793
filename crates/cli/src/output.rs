//! Output of commands: text for people or JSON for programs, to a terminal or a pipe.
//!
//! Commands style their text freely. Escape sequences reach only a terminal, and only if `--color`,
//! `NO_COLOR` and `TERM` permit them. Answers go to standard output, everything else to standard error. All
//! text passes through [`styled`], so that a terminal gets only text and our own styles, whatever a node, a
//! file or the command line contains.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use anstream::{AutoStream, eprintln};
use clap::ColorChoice;
use serde::Serialize;

use crate::error::CliError;
use crate::escape::{self, styled};
use crate::exit::Exit;
use crate::style::{BAD, DIM, WARN};
use crate::table::Table;

/// Columns of a terminal that does not report its size.
const COLUMNS: u16 = 80;

/// Standard output as a command sees it.
pub(crate) struct Output {
    json: bool,
    /// Columns of the terminal. `None` if output is not a terminal, so that lines may have any length.
    columns: Option<u16>,
    stdout: BufWriter<AutoStream<io::Stdout>>,
}

impl Output {
    /// Creates the output of a command that prints JSON, or text.
    pub(crate) fn new(json: bool) -> Output {
        let stdout = io::stdout();
        let columns = stdout.is_terminal().then(|| {
            let size = terminal_size::terminal_size_of(&stdout);
            size.map(|(width, _)| width.0).filter(|&width| width > 0).unwrap_or(COLUMNS)
        });
        Output { json, columns, stdout: BufWriter::new(AutoStream::auto(stdout)) }
    }

    /// Whether the user asked for JSON. If so, print only [`Output::json`], once, or a [`JsonList`].
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.columns.is_some()
    }

    /// Columns available; `None` if lines may have any length.
    pub(crate) fn columns(&self) -> Option<u16> {
        self.columns
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), CliError> {
        Ok(writeln!(self.stdout, "{}", styled(&line.to_string()))?)
    }

    /// Prints text unchanged.
    pub(crate) fn text(&mut self, text: impl Display) -> Result<(), CliError> {
        Ok(write!(self.stdout, "{}", styled(&text.to_string()))?)
    }

    /// Prints bytes unchanged.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        // The stream in between removes escape sequences, which may be part of a value.
        self.flush()?;
        Ok(io::stdout().write_all(bytes)?)
    }

    /// Prints a table that fits the available columns.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), CliError> {
        let text = table.render(self.columns);
        self.text(text)
    }

    /// Prints a value as JSON, indented.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.line(escape::json(&text))
    }

    /// Prints a value as JSON on a line of its own.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(escape::json(&text))
    }

    /// Begins a list whose elements are printed one by one.
    pub(crate) fn json_list(&mut self) -> JsonList<'_> {
        JsonList { out: self, empty: true }
    }

    /// Prints a warning on standard error.
    pub(crate) fn warn(&mut self, message: impl Display) -> Result<(), CliError> {
        self.flush()?;
        eprintln!("{WARN}warning:{WARN:#} {}", styled(&message.to_string()));
        Ok(())
    }

    /// Prints a note, which is not part of the answer, on standard error.
    pub(crate) fn note(&mut self, message: impl Display) -> Result<(), CliError> {
        self.flush()?;
        eprintln!("{DIM}{}{DIM:#}", styled(&message.to_string()));
        Ok(())
    }

    /// Asks the user a question on standard error.
    pub(crate) fn ask(&mut self, question: impl Display) -> Result<(), CliError> {
        self.flush()?;
        anstream::eprint!("{}", styled(&question.to_string()));
        Ok(())
    }

    /// Flushes the output.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.stdout.flush()?)
    }
}

/// A JSON list that is being printed, one element per line.
pub(crate) struct JsonList<'a> {
    out: &'a mut Output,
    empty: bool,
}

impl JsonList<'_> {
    /// Prints another element.
    pub(crate) fn push(&mut self, element: &impl Serialize) -> Result<(), CliError> {
        self.out.text(if self.empty { "[\n  " } else { ",\n  " })?;
        self.empty = false;
        let text = serde_json::to_string(element).map_err(io::Error::from)?;
        self.out.text(escape::json(&text))
    }

    /// Ends the list.
    pub(crate) fn end(self) -> Result<(), CliError> {
        self.out.line(if self.empty { "[]" } else { "\n]" })
    }
}

/// Applies `--color` to everything printed from here on.
pub(crate) fn choose_color(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Prints a message of the command-line parser: help, version, or a usage error.
pub(crate) fn print_usage(error: &clap::Error) -> Exit {
    let text = error.render().ansi().to_string();
    // The message quotes invalid arguments.
    let text = styled(&text);
    // If printing fails, there is no way to report it.
    if error.use_stderr() {
        let _ = write!(anstream::stderr(), "{text}");
        Exit::Usage
    } else {
        let mut stdout = anstream::stdout();
        let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
        Exit::Ok
    }
}

/// Prints on standard error why a command failed.
pub(crate) fn print_error(error: &CliError, json: bool) {
    if json {
        let exit = error.exit().number();
        let object = serde_json::json!({ "error": error.to_string(), "exit": exit });
        eprintln!("{}", escape::json(&object.to_string()));
    } else {
        eprintln!("{BAD}ringbinder:{BAD:#} {}", styled(&error.to_string()));
    }
}
