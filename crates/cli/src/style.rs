//! The styles of printed text. They are left out if colours are off.

use anstyle::{AnsiColor, Style};

/// Headings and the most important values.
pub(crate) const BOLD: Style = Style::new().bold();
/// Explanations.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Good states.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// States that deserve attention.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Faults.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
