//! How what happens is shown: as a live table, as lines, or as JSON.

use super::board::Board;
use super::event::Event;
use super::frame;
use super::screen::Screen;
use crate::error::CliError;
use crate::output::Output;

/// Most notes that are kept.
const NOTES: usize = 20;

/// What people or programs see.
pub(super) struct View<'o> {
    out: &'o mut Output,
    /// Whether there can be a live table.
    live: bool,
    screen: Option<Screen>,
    /// What has happened while the table is shown.
    notes: Vec<String>,
    /// Those of them that are worth reading afterwards.
    lasting: Vec<String>,
}

impl<'o> View<'o> {
    /// Shows lines or JSON for now.
    pub(super) fn new(out: &'o mut Output) -> View<'o> {
        let live = !out.is_json() && Screen::is_possible();
        View { out, live, screen: None, notes: Vec::new(), lasting: Vec::new() }
    }

    /// Whether there can be a live table.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Shows that something happened.
    ///
    /// # Errors
    /// Where it cannot be printed.
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

    /// Says something about a failure on standard error.
    ///
    /// # Errors
    /// Where it cannot be printed.
    pub(super) fn note(&mut self, text: &str) -> Result<(), CliError> {
        self.out.note(text)
    }

    /// Takes the terminal for the live table, where there can be one.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    pub(super) fn open(&mut self) -> Result<(), CliError> {
        if self.live && self.screen.is_none() {
            self.out.flush()?;
            self.screen = Some(Screen::enter()?);
        }
        Ok(())
    }

    /// Shows the live table anew, where there is one.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    pub(super) fn draw(&mut self, board: impl FnOnce() -> Board) -> Result<(), CliError> {
        let Some(screen) = &self.screen else { return Ok(()) };
        let (width, height) = screen.size();
        Ok(screen.show(&frame::lines(&board(), &self.notes, width, height))?)
    }

    /// Gives the terminal back. What happens from now on is printed as lines.
    pub(super) fn close(&mut self) {
        if self.screen.take().is_some() {
            for note in std::mem::take(&mut self.lasting) {
                // A terminal that is gone shows nothing.
                let _ = self.out.line(note);
            }
            let _ = self.out.flush();
        }
    }
}
