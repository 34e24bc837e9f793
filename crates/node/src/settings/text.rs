//! The text of a setting that may be omitted but not empty.

use std::path::{Path, PathBuf};

use super::error::SettingsError;
use super::layers::Merged;

/// A path that may be omitted but not empty.
pub(super) fn text_of(
    merged: &Merged,
    key: &str,
    path: Option<&Path>,
) -> Result<Option<PathBuf>, SettingsError> {
    match path {
        Some(path) if path.as_os_str().is_empty() => {
            Err(merged.error(key, "the name of a file is missing"))
        }
        path => Ok(path.map(Path::to_owned)),
    }
}
