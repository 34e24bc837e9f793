//! The ring file of local nodes: an existing file, or one that this command writes and removes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ringbinder_ring::{Node, Ring};

use crate::error::CliError;

const HEADER: &str = "# Local nodes to try things out with, written by `ringbinder up`.\n\n";

/// A ring file. If this command wrote it, dropping this removes it, unless its text has changed since.
pub(super) struct RingFile {
    path: PathBuf,
    /// The text that was written; `None` if the file existed.
    written: Option<String>,
}

impl RingFile {
    /// An existing file, which is never changed.
    pub(super) fn found(path: &Path) -> RingFile {
        RingFile { path: absolute(path), written: None }
    }

    /// Writes a ring of these nodes. Never overwrites an existing file, even if it appears at this moment.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(path: &Path, nodes: &[Node]) -> Result<RingFile, CliError> {
        let ring = Ring::of_nodes(1, nodes, "the new ring")
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let text = format!("{HEADER}{}", ring.to_toml());
        // The file name's extension determines the format.
        if !matches!(path.extension().and_then(|ending| ending.to_str()), Some("toml")) {
            return Err(CliError::Usage(format!(
                "{} does not exist, and a new ring is written as TOML: name it something.toml",
                path.display()
            )));
        }
        let failed = |source: io::Error| CliError::Write {
            path: path.to_owned(),
            source,
            hint: "name a file in a directory that you may write with --ring FILE",
        };
        let mut file = File::create_new(path).map_err(failed)?;
        // From this point on, dropping the value removes the file.
        let written = RingFile { path: absolute(path), written: Some(text) };
        let text = written.written.as_deref().unwrap_or_default();
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(written)
    }

    /// The absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file existed.
    pub(super) fn is_found(&self) -> bool {
        self.written.is_none()
    }

    /// Whether the file, with its current text, will be removed.
    pub(super) fn is_ours(&self) -> bool {
        let Some(written) = &self.written else { return false };
        fs::read(&self.path).is_ok_and(|text| text == written.as_bytes())
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // If the file cannot be removed, the next start uses it like any other ring file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<Node> {
        vec![Node::new("cache-a", "127.0.0.1:11211", 1).unwrap()]
    }

    #[test]
    fn what_was_written_goes_away_unless_it_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let file = RingFile::write(&path, &nodes()).unwrap();
        assert_eq!(Ring::load(&path).unwrap().nodes(), nodes());
        drop(file);
        assert!(!path.exists());
        let file = RingFile::write(&path, &nodes()).unwrap();
        fs::write(&path, "version = 2\n").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(RingFile::write(&path, &nodes()), Err(CliError::Write { .. })));
        drop(RingFile::found(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
