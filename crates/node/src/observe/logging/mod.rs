//! The log: tracing events on standard error, filtered by `-v` and `verbosity`. A line contains
//! text and the log's own colours only, whatever clients, peers and files sent.
//!
//! A thread that logs never waits for the reader of the log (see [`queue`]). The end of the process
//! waits at most [`LAST_WORDS`]. A regular file has no reader that could block, so lines go there
//! at once. Once logging is started, nothing else writes to standard error.

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

/// The time that the end of the process waits until its last lines are read.
const LAST_WORDS: Duration = Duration::from_secs(1);

static FILTER: OnceLock<Handle<Filter, Registry>> = OnceLock::new();
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// The lines that each verbosity shows: start, stop and trouble; then rejected connections and
/// reloads; then every command; then everything.
fn level(verbosity: u8) -> Filter {
    match verbosity {
        0 | 1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Starts logging. Uses colours only on a terminal, and not if `NO_COLOR` is set.
///
/// # Errors
/// An error if the system provides no thread.
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
    // Fails only if a test has already set up logging.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
        let _ = LOG.set(log);
        std::panic::set_hook(Box::new(panicked));
    }
    Ok(())
}

/// Changes the verbosity.
pub(crate) fn set_verbosity(verbosity: u8) {
    if let Some(handle) = FILTER.get() {
        // Fails only once logging has ended.
        let _ = handle.modify(|filter| *filter = level(verbosity));
    }
}

/// The number of lines lost because the reader of the log did not keep up.
pub(crate) fn lost() -> u64 {
    LOG.get().map_or(0, |log| log.queue.lost())
}

/// Waits a moment until the logged lines are written: before standard error is redirected, and
/// before the process ends.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.queue.flush(LAST_WORDS);
    }
}

/// Writes a line for people to standard error, whether logging has started or not.
pub(crate) fn say(line: &str) {
    let line = format!("{}\n", styled(line));
    match LOG.get() {
        Some(log) => log.put(line.as_bytes()),
        // If standard error is gone, there is no other place to report that.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// The log line in place of lost lines.
fn lost_line(lost: u64) -> String {
    let mut line = String::new();
    // A failing clock is no reason to omit the line.
    let _ = SystemTime.format_time(&mut format::Writer::new(&mut line));
    let (lines, are) = if lost == 1 { ("line", "is") } else { ("lines", "are") };
    let _ = writeln!(
        line,
        "  WARN {lost} {lines} of the log {are} lost here: the reader of the log was too slow \
         (log_lines_lost in stats)"
    );
    line
}

/// Writes the panic message. The process may be about to abort, so this waits until the line is
/// written, for a limited time, because a supervisor waits for the end of the process.
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

/// The destination of lines.
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

/// An event with every character escaped that could control a terminal or mislead a reader.
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
