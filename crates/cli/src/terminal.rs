//! The terminal while a command draws on it. It is restored whenever the end of the process can be caught.
//!
//! The picture is on the alternate screen, so that a resize leaves no remains of it, and the previous contents
//! of the terminal return afterwards.

use std::io::{self, BufWriter, IsTerminal as _, Stdout};
use std::panic;
use std::sync::Once;

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

/// The alternate screen. Dropping it restores the terminal.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// Whether the program reads keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Yes: the terminal shows no keys, and Ctrl-C is a key.
    Read,
    /// No: Ctrl-C and Ctrl-Z are signals.
    Ignored,
}

impl Screen {
    /// Whether standard output is a terminal that supports drawing.
    pub(crate) fn is_possible() -> bool {
        io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// If there is no terminal, or it cannot be written to.
    pub(crate) fn enter(keys: Keys) -> io::Result<Screen> {
        on_panic();
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())))?;
        // Created first, so that a later failure restores the terminal.
        let screen = Screen { terminal };
        if keys == Keys::Read {
            enable_raw_mode()?;
        }
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws a picture of the terminal's current size.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // A terminal that is gone needs no restoring.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
}

/// Restores the terminal before the message of a panic is printed. If a panic aborts the process, no destructor
/// runs.
fn on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}
