//! Turns the bytes of a source into a text and a ring.

use std::io;
use std::path::Path;

use super::{Origin, SourceError};
use crate::MAX_FILE_BYTES;
use crate::error::RingError;
use crate::{file, regular};

/// Runs `work` on a thread for blocking work: building a ring of a thousand nodes would block a
/// thread of the runtime for too long.
///
/// # Panics
/// If `work` does.
pub(super) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels such work, and then no caller is left to
            // inform.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Reads the text of a ring file without parsing it, for callers that change it.
///
/// # Errors
/// If there is no such regular file, or it cannot be read, is empty, is larger than
/// [`MAX_FILE_BYTES`], or is not text.
pub fn read(path: &Path) -> Result<String, SourceError> {
    let origin = Origin::File(path.to_owned());
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(origin.clone()),
        kind => SourceError::Unreadable { path: path.to_owned(), kind, reason: error.to_string() },
    };
    let bytes = regular::read(path, MAX_FILE_BYTES as u64).map_err(unreadable)?;
    decode(bytes, &origin)
}

/// Checks that bytes from `origin` are a text that may be a ring.
pub(super) fn decode(bytes: Vec<u8>, origin: &Origin) -> Result<String, SourceError> {
    if bytes.len() <= MAX_FILE_BYTES && bytes.trim_ascii().is_empty() {
        return Err(SourceError::Empty(origin.clone()));
    }
    file::decode(bytes)
        .map_err(|fault| SourceError::Invalid(RingError::new(&origin.to_string(), fault)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RingFault;

    fn fault(bytes: Vec<u8>) -> RingFault {
        match decode(bytes, &Origin::File("ring.toml".into())) {
            Err(SourceError::Invalid(error)) => error.fault().clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_text_is_told_apart() {
        let origin = Origin::File("ring.toml".into());
        for empty in [&b""[..], b" \r\n\t"] {
            let result = decode(empty.to_vec(), &origin);
            assert_eq!(result, Err(SourceError::Empty(origin.clone())), "{empty:?}");
        }
        assert_eq!(fault(vec![b'#', b'\n', 0xff]), RingFault::NotText { line: 2 });
        assert_eq!(fault(vec![b'#'; MAX_FILE_BYTES + 1]), RingFault::TooLarge);
        let most = decode(vec![b'#'; MAX_FILE_BYTES], &origin);
        assert_eq!(most.map(|text| text.len()), Ok(MAX_FILE_BYTES));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let error = read(directory.path()).unwrap_err();
        assert!(matches!(error, SourceError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let error = read(&directory.path().join("none")).unwrap_err();
        assert!(matches!(error, SourceError::Missing(_)), "{error:?}");
    }
}
