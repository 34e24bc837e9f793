//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The capabilities of stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// It is a terminal that can redraw a line.
    pub terminal: bool,
    /// It may show colours.
    pub colors: bool,
}

/// The progress and the current stage. On a terminal, it is erased at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None` if lines are printed instead.
    bar: Option<ProgressBar>,
    look: Look,
    last: String,
    total: u64,
    at: u64,
}

/// Without a terminal, a long stage reports its progress this many times.
const PARTS: u64 = 4;

impl Progress {
    /// Shows nothing yet; the number of steps is unknown.
    pub(crate) fn new(look: Look) -> Self {
        let bar = look.terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {wide_msg}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, look, last: String::new(), total: 0, at: 0 }
    }

    /// Sets the number of steps.
    pub(crate) fn begin(&mut self, total: u64) {
        (self.total, self.at) = (total, 0);
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(total);
            bar.set_style(style(if self.look.colors {
                "{bar:28.cyan/blue} {percent:>3} % {elapsed}, {eta} left  {wide_msg}"
            } else {
                "{bar:28} {percent:>3} % {elapsed}, {eta} left  {wide_msg}"
            }));
        }
    }

    /// Shows `stage` and, on a terminal only, the `detail`, which changes often.
    pub(crate) fn show(&mut self, stage: &str, detail: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{stage} {detail}")),
            None if stage != self.last => line(stage),
            None => {}
        }
        stage.clone_into(&mut self.last);
    }

    /// Counts one step.
    pub(crate) fn step(&mut self) {
        self.at += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.at);
        }
    }

    /// Sets the number of steps done, for a long stage of many small ones.
    pub(crate) fn reach(&mut self, at: u64) {
        let part = |at: u64| at.saturating_mul(PARTS) / self.total.max(1);
        if self.bar.is_none() && part(at) > part(self.at) && at < self.total {
            line(&format!("{} {} %", self.last, part(at) * 100 / PARTS));
        }
        self.at = at;
        if let Some(bar) = &self.bar {
            bar.set_position(at);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line. If stderr is gone there is no way to report that, and the measurement does not need it.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn style(template: &str) -> ProgressStyle {
    // The tests below would detect an invalid template.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_templates() {
        for colors in [false, true] {
            let mut progress = Progress::new(Look { terminal: true, colors });
            progress.begin(3);
            progress.show("stage", "detail");
            progress.step();
            progress.reach(2);
        }
        for template in
            ["{spinner} {wide_msg}", "{bar:28.cyan/blue} {percent:>3} % {elapsed}, {eta}"]
        {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
