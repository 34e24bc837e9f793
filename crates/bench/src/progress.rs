//! What is going on, on stderr: one line that is overwritten on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    last: String,
}

impl Progress {
    /// Nothing shown yet.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: String::new() }
    }

    /// Shows `stage` and, on a terminal only, the `detail` that changes often.
    pub(crate) fn show(&mut self, stage: &str, detail: &str) {
        let mut stderr = std::io::stderr();
        // Nobody can be told that stderr is gone, and the measurement does not need it.
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[K{stage} {detail}").and_then(|()| stderr.flush())
        } else if stage != self.last {
            writeln!(stderr, "{stage}")
        } else {
            Ok(())
        };
        stage.clone_into(&mut self.last);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
