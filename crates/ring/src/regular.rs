//! Opens files that programs read by name: regular files only, with a bound on the bytes read.
//!
//! Opening a named pipe waits for a writer, and a device such as `/dev/zero` never ends, so neither
//! is opened for reading here. Such a file could not be read a second time either, and most files
//! are: at a reload, after a change of user, at the next start. Symbolic links are followed, since
//! orchestrators mount secrets and settings as links to regular files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading, and never waits for another process.
///
/// # Errors
/// The system's error, or that it is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Check before opening, since opening a device may have an effect; and again afterwards, since
    // another file may have taken the name.
    check(path.metadata()?.file_type())?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file: all of it, or its first `most` + 1 bytes, which show the caller that it is
/// too large.
///
/// # Errors
/// Those of [`open`], and of reading.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(kind: std::fs::FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let (what, advice) = if kind.is_fifo() {
        ("a pipe", ": it is read more than once, so write its contents to a file")
    } else if kind.is_dir() {
        ("a directory", "")
    } else if kind.is_socket() {
        ("a socket", "")
    } else {
        ("a device", "")
    };
    Err(io::Error::other(format!("it is {what}, not a regular file{advice}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_its_bound_and_through_links() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&link, 9).unwrap(), b"12345");
        assert_eq!(read(&path, 3).unwrap(), b"1234", "one byte more than allowed");
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe, not a regular file"),
            (directory.path(), "a directory, not a regular file"),
            (&socket, "a socket, not a regular file"),
            (Path::new("/dev/zero"), "a device, not a regular file"),
        ] {
            let error = read(path, 10).unwrap_err().to_string();
            assert!(error.contains(what), "{}: {error}", path.display());
        }
        let missing = read(&directory.path().join("none"), 10).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
