//! The destinations of results: Markdown to stdout, JSON and a picture into files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use ringbinder_ring::printable;
use serde::Serialize;

use crate::error::BenchError;

/// The file name that means stdout.
const STDOUT: &str = "-";

/// Prints the Markdown, escaped because it may quote servers and files, and writes the data to `json` if it
/// is given. If that is stdout, the data replaces the Markdown.
pub(crate) fn publish(
    markdown: &str,
    json: Option<&Path>,
    data: &impl Serialize,
) -> Result<(), BenchError> {
    let Some(path) = json else { return print(&printable::lines(markdown)) };
    let mut text = serde_json::to_string_pretty(data)
        .map_err(|error| BenchError::Failed(anyhow::Error::new(error).context("no JSON")))?;
    text.push('\n');
    if path == Path::new(STDOUT) {
        return print(&printable::json(&text));
    }
    // Printed first: the figures took minutes, and the file may turn out to be unwritable.
    print(&printable::lines(markdown))?;
    save(path, &text)
}

/// Writes a file.
pub(crate) fn save(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::Write { path: path.into(), source })
}

/// Checks that a file can be written, before a run of minutes. The file keeps its content.
pub(crate) fn will_write(path: Option<&Path>) -> Result<(), BenchError> {
    match path {
        Some(path) if path != Path::new(STDOUT) => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(drop)
            .map_err(|source| BenchError::Write { path: path.into(), source }),
        _ => Ok(()),
    }
}

/// Prints a text on stdout.
pub(crate) fn print(text: &str) -> Result<(), BenchError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(BenchError::Print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("no/such/folder.json");
        let error = will_write(Some(&wrong)).unwrap_err();
        assert!(error.to_string().contains("no/such/folder.json"), "{error}");
        assert!(will_write(Some(Path::new(STDOUT))).is_ok() && will_write(None).is_ok());
        let right = folder.path().join("out.json");
        std::fs::write(&right, "older").unwrap();
        will_write(Some(&right)).unwrap();
        assert_eq!(std::fs::read_to_string(&right).unwrap(), "older");
        save(&right, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&right).unwrap(), "new");
    }
}
