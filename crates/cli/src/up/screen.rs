//! The terminal while the live table is on it.
//!
//! The table has a screen of its own, so that a new size of the terminal cannot leave pieces of it
//! behind, and what was on the terminal before is there again afterwards. Each picture is one
//! write, which terminals that know how show at once.

use std::io::{self, IsTerminal as _, Write as _};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};

use crate::panicking::on_panic;

/// Columns and lines of a terminal that does not tell.
const SIZE: (usize, usize) = (80, 24);

/// A screen; the terminal is given back when it is dropped.
pub(super) struct Screen {
    colors: bool,
}

impl Screen {
    /// Whether standard output is a terminal that a picture can be drawn on.
    pub(super) fn is_possible() -> bool {
        io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// Where it cannot be written to.
    pub(super) fn enter() -> io::Result<Screen> {
        let choice = anstream::AutoStream::choice(&io::stdout());
        let screen = Screen { colors: choice != anstream::ColorChoice::Never };
        on_panic(give_back);
        let mut bytes = Vec::new();
        queue!(bytes, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        write(&bytes)?;
        Ok(screen)
    }

    /// Its columns and lines at this moment.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        let size = size.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        size.filter(|&(width, height)| width > 0 && height > 0).unwrap_or(SIZE)
    }

    /// Shows lines, in place of those before.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines) {
            // Cleared before and not after: behind a line as wide as the terminal the cursor still
            // stands on its last character.
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
    // A terminal that is gone needs nothing back.
    let _ = queue!(bytes, Show, LeaveAlternateScreen);
    let _ = write(&bytes);
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
