//! The styles of what is printed; they are left out where nobody wants colours.

use anstyle::{AnsiColor, Style};

/// Headings, and what counts most.
pub(crate) const BOLD: Style = Style::new().bold();
/// What explains.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
