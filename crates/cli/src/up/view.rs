//! The presentation of events: a live table, lines, or JSON.

use ratatui::style::Style;

use super::event::Event;
use super::frame::{self, Board};
use crate::error::CliError;
use crate::output::Output;
use crate::terminal::{Keys, Screen};

/// Most notes kept.
const NOTES: usize = 20;

/// The output for people or programs.
pub(super) struct View<'o> {
    out: &'o mut Output,
    /// Whether a live table is possible.
    live: bool,
    screen: Option<Screen>,
    /// Events during the live table.
    notes: Vec<String>,
    /// The notes that are worth reading afterwards.
    lasting: Vec<String>,
}

impl<'o> View<'o> {
    /// Shows lines or JSON at first.
    pub(super) fn new(out: &'o mut Output) -> View<'o> {
        let live = !out.is_json() && Screen::is_possible();
        View { out, live, screen: None, notes: Vec::new(), lasting: Vec::new() }
    }

    /// Whether a live table is possible.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Shows an event.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), CliError> {
        if self.screen.is_some() {
            let text = event.to_string();
            if event.lasts() {
                self.lasting.push(text.clone());
            }
            self.notes.push(text);
            let old = self.notes.len().saturating_sub(NOTES);
            self.notes.drain(..old);
            return Ok(());
        }
        if self.out.is_json() {
            self.out.json_line(event)?;
        } else {
            self.out.line(event)?;
        }
        self.out.flush()
    }

    /// Prints a note about a failure on standard error.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub(super) fn note(&mut self, text: &str) -> Result<(), CliError> {
        self.out.note(text)
    }

    /// Opens the live table if one is possible.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn open(&mut self) -> Result<(), CliError> {
        if self.live && self.screen.is_none() {
            self.out.flush()?;
            self.screen = Some(Screen::enter(Keys::Ignored)?);
        }
        Ok(())
    }

    /// Redraws the live table if there is one.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn draw(&mut self, board: &Board<'_>) -> Result<(), CliError> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let colors =
            anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        Ok(screen.draw(|frame| {
            frame::draw(frame, board, &self.notes);
            if !colors {
                let area = frame.area();
                frame.buffer_mut().set_style(area, Style::reset());
            }
        })?)
    }

    /// Restores the terminal. Later events are printed as lines.
    pub(super) fn close(&mut self) {
        if self.screen.take().is_some() {
            for note in std::mem::take(&mut self.lasting) {
                // A terminal that is gone cannot show notes.
                let _ = self.out.line(note);
            }
            let _ = self.out.flush();
        }
    }
}
