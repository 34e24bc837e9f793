//! The log: tracing events on standard error, as much of them as `-v` and `verbosity` ask for. A line
//! has text in it and the colours of the log itself, whatever clients, peers and files said.
//!
//! Whoever logs never waits for the reader of the log (see [`queue`]); nor does the end of the
//! process, for longer than [`LAST_WORDS`]. A regular file has no reader that could stand still, so lines
//! go there at once. Nothing else writes to standard error once this is started.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringbinder_ring::printable::styled;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::LevelFilter as Filter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use self::queue::Queue;

/// How long the end of the process waits for its last lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

static FILTER: OnceLock<Handle<Filter, Registry>> = OnceLock::new();
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

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
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn start(verbosity: u8) -> io::Result<()> {
    let is_file = File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?.is_file();
    let log = Arc::new(Log { queue: Queue::default(), is_file });
    if !is_file {
        let log = Arc::clone(&log);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            queue::write_for_ever(&log.queue, &mut io::stderr(), &lost_line);
        })?;
    }
    let (filter, handle) = reload::Layer::new(level(verbosity));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines(Arc::clone(&log)))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !no_color);
    // Fails only where a test has set up logging already.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
        let _ = LOG.set(log);
        std::panic::set_hook(Box::new(panicked));
    }
    Ok(())
}

/// Shows more or less from now on.
pub(crate) fn set_verbosity(verbosity: u8) {
    if let Some(handle) = FILTER.get() {
        // Fails only once logging has ended.
        let _ = handle.modify(|filter| *filter = level(verbosity));
    }
}

/// Lines that nobody will read, since whoever reads the log did not keep up.
pub(crate) fn lost() -> u64 {
    LOG.get().map_or(0, |log| log.queue.lost())
}

/// Waits a moment for what was logged to be written: before standard error leads elsewhere, and before
/// the process ends.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.queue.flush(LAST_WORDS);
    }
}

/// Says a line for people on standard error, whether logging has started or not.
pub(crate) fn say(line: &str) {
    let line = format!("{}\n", styled(line));
    match LOG.get() {
        Some(log) => log.put(line.as_bytes()),
        // Nobody is left to tell where standard error is gone.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// What stands in the log where lines are missing.
fn lost_line(lost: u64) -> String {
    let mut line = String::new();
    // A clock that cannot be asked is no reason not to say it.
    let _ = SystemTime.format_time(&mut format::Writer::new(&mut line));
    let (lines, are) = if lost == 1 { ("line", "is") } else { ("lines", "are") };
    let _ = writeln!(
        line,
        "  WARN {lost} {lines} of the log {are} lost here: whoever reads it did not keep up \
         (log_lines_lost in stats)"
    );
    line
}

/// Says what every panic says. The process may be about to abort, so this waits for the line to be out;
/// and not for ever, since whoever supervises the process waits for its end.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut text = format!("thread '{}' {info}", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(text, "\nstack backtrace:\n{backtrace}");
    }
    say(&text);
    flush();
}

/// Where lines go.
#[derive(Debug)]
struct Log {
    queue: Queue,
    /// Standard error is a regular file.
    is_file: bool,
}

impl Log {
    fn put(&self, lines: &[u8]) {
        match self.is_file {
            true => self.queue.write_now(&mut io::stderr().lock(), lines),
            false => self.queue.push(lines),
        }
    }
}

/// Makes a writer for each event.
#[derive(Debug)]
struct Lines(Arc<Log>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// Takes one event, which the layer writes at once.
#[derive(Debug)]
struct Line<'a>(&'a Log);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(printable(line).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event with everything escaped that could steer a terminal or mislead a reader.
fn printable(line: &[u8]) -> String {
    styled(&String::from_utf8_lossy(line)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_text_and_colours() {
        let line = "\u{1b}[33mWARN\u{1b}[0m it calls itself a\u{9b}2J\u{202e}\u{1b}[2J\n";
        let shown = "\u{1b}[33mWARN\u{1b}[0m it calls itself a\\u{9b}2J\\u{202e}\\u{1b}[2J\n";
        assert_eq!(printable(line.as_bytes()), shown);
    }
}
