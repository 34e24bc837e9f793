//! The log: tracing events on standard error, as much of them as `-v` and `verbosity` ask for. A line
//! has text in it and the colours of the log itself, whatever clients, peers and files said.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use ringbinder_ring::printable::styled;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::LevelFilter as Filter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

static FILTER: OnceLock<Handle<Filter, Registry>> = OnceLock::new();

/// What each verbosity shows: start, stop and trouble; then connections refused and reloads; then
/// every command; then everything.
fn level(verbosity: u8) -> Filter {
    match verbosity {
        0 | 1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Starts logging. Colours only on a terminal, and not where `NO_COLOR` is set.
pub(crate) fn start(verbosity: u8) {
    let (filter, handle) = reload::Layer::new(level(verbosity));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Printable(io::stderr()))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !no_color);
    // Fails only where a test has set up logging already.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// What is written, with everything escaped that could steer a terminal or mislead a reader. A whole
/// event comes in one write.
struct Printable<W>(W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(styled(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Shows more or less from now on.
pub(crate) fn set_verbosity(verbosity: u8) {
    if let Some(handle) = FILTER.get() {
        // Fails only once logging has ended.
        let _ = handle.modify(|filter| *filter = level(verbosity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_text_and_colours() {
        let mut out = Printable(Vec::new());
        let line = "\u{1b}[33mWARN\u{1b}[0m it calls itself a\u{9b}2J\u{202e}\u{1b}[2J\n";
        out.write_all(line.as_bytes()).unwrap();
        let shown = "\u{1b}[33mWARN\u{1b}[0m it calls itself a\\u{9b}2J\\u{202e}\\u{1b}[2J\n";
        assert_eq!(String::from_utf8(out.0).unwrap(), shown);
    }
}
