//! The terminal while it shows the live table.
//!
//! The table is on the alternate screen, so that a resize leaves no remains of it, and the previous contents
//! of the terminal return afterwards. Each frame is one write, which capable terminals show at once.

use std::io::{self, IsTerminal as _, Write as _};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};

use crate::panicking::on_panic;

/// Columns and lines of a terminal that does not report its size.
const SIZE: (usize, usize) = (80, 24);

/// The alternate screen. Dropping it restores the terminal.
pub(super) struct Screen {
    colors: bool,
}

impl Screen {
    /// Whether standard output is a terminal that supports drawing.
    pub(super) fn is_possible() -> bool {
        io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub(super) fn enter() -> io::Result<Screen> {
        let choice = anstream::AutoStream::choice(&io::stdout());
        let screen = Screen { colors: choice != anstream::ColorChoice::Never };
        on_panic(give_back);
        let mut bytes = Vec::new();
        queue!(bytes, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        write(&bytes)?;
        Ok(screen)
    }

    /// Its current columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        let size = size.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        size.filter(|&(width, height)| width > 0 && height > 0).unwrap_or(SIZE)
    }

    /// Replaces the lines on the screen.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines) {
            // Cleared before writing, not after: after a line as wide as the terminal, the cursor is still on
            // the last character.
            queue!(bytes, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
            if self.colors {
                bytes.extend_from_slice(line.as_bytes());
            } else {
                write!(bytes, "{}", anstream::adapter::strip_str(line))?;
            }
        }
        let below = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if lines.len() < self.size().1 {
            queue!(bytes, MoveTo(0, below), Clear(ClearType::FromCursorDown))?;
        }
        queue!(bytes, EndSynchronizedUpdate)?;
        write(&bytes)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    let mut bytes = Vec::new();
    // A terminal that is gone needs no restoring.
    let _ = queue!(bytes, Show, LeaveAlternateScreen);
    let _ = write(&bytes);
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
