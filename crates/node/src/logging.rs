//! The log: tracing events on standard error, as much of them as `-v` and `verbosity` ask for.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

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
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !no_color);
    // Fails only where a test has set up logging already.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Shows more or less from now on.
pub(crate) fn set_verbosity(verbosity: u8) {
    if let Some(handle) = FILTER.get() {
        // Fails only once logging has ended.
        let _ = handle.modify(|filter| *filter = level(verbosity));
    }
}
