//! The ring file of local nodes: one that was found, or one that this command wrote and takes away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ringbinder_ring::{Node, Ring};

use crate::error::CliError;

const HEADER: &str = "# Local nodes to try things out with, written by `ringbinder up`.\n\n";

/// A ring file. One that this command wrote is removed when this is dropped, unless it says
/// something else by then.
pub(super) struct RingFile {
    path: PathBuf,
    /// What was written; none where the file was there before.
    written: Option<String>,
}

impl RingFile {
    /// A file that exists, and is left alone.
    pub(super) fn found(path: &Path) -> RingFile {
        RingFile { path: absolute(path), written: None }
    }

    /// Writes a ring of these nodes. A file that exists is never overwritten, not even one that
    /// comes into being at this moment.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write(path: &Path, nodes: &[Node]) -> Result<RingFile, CliError> {
        let ring = Ring::of_nodes(1, nodes, "the new ring")
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let text = format!("{HEADER}{}", ring.to_toml());
        // The name's ending says how it is read.
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
        // From here on it is ours to take away.
        let written = RingFile { path: absolute(path), written: Some(text) };
        let text = written.written.as_deref().unwrap_or_default();
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(written)
    }

    /// Where it is, from the root.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was there before.
    pub(super) fn is_found(&self) -> bool {
        self.written.is_none()
    }

    /// Whether it will be removed, as it stands now.
    pub(super) fn is_ours(&self) -> bool {
        let Some(written) = &self.written else { return false };
        fs::read(&self.path).is_ok_and(|text| text == written.as_bytes())
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // Where it cannot be removed, the next start takes it for a ring file like any other.
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
