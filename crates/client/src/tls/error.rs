//! Errors in the files for TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A part of a [`Tls`](crate::Tls), and its file, if it comes from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// The purpose of the file.
    pub part: TlsPart,
    /// The file's path; `None` if the caller passed bytes.
    pub path: Option<PathBuf>,
}

/// The purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsPart {
    /// The trusted CAs.
    Ca,
    /// The client's certificate, and the certificates between it and its CA.
    Chain,
    /// The key of the client's certificate.
    Key,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, bytes) = match self.part {
            TlsPart::Ca => ("the CA file", "the CA given as bytes"),
            TlsPart::Chain => ("the certificate file", "the certificate given as bytes"),
            TlsPart::Key => ("the key file", "the key given as bytes"),
        };
        match &self.path {
            Some(path) => write!(f, "{file} {}", path.display()),
            None => f.write_str(bytes),
        }
    }
}

/// The reason why there is no TLS: a fault in the client's own files or settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file.
        file: TlsFile,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{file} {why}")]
    Pem {
        /// The file.
        file: TlsFile,
        /// The fault; continues the sentence after the file's name.
        why: String,
    },
    /// A file does not contain anything for its purpose.
    #[error("{file} has no {}", wanted(file.part))]
    Nothing {
        /// The file.
        file: TlsFile,
    },
    /// A key is encrypted with a password.
    #[error("{file} is encrypted: give an unencrypted one that only this user may read")]
    EncryptedKey {
        /// The file.
        file: TlsFile,
    },
    /// A certificate is invalid, or of an unsupported kind.
    #[error("certificate {number} of {file} {why}")]
    Certificate {
        /// The file.
        file: TlsFile,
        /// The certificate's number in the file, from 1.
        number: usize,
        /// The fault; continues the sentence after the file's name.
        why: String,
    },
    /// A key is invalid, or of an unsupported kind.
    #[error("{file} {why}")]
    Key {
        /// The file.
        file: TlsFile,
        /// The fault; continues the sentence after the file's name.
        why: String,
    },
    /// A key belongs to another certificate.
    #[error("{key} does not belong to the first certificate of {chain}")]
    OtherKey {
        /// The key.
        key: TlsFile,
        /// The certificate.
        chain: TlsFile,
    },
    /// The system has no CAs.
    #[error("cannot find the system's CA certificates ({why}): install them, or name a CA")]
    NoSystemRoots {
        /// The places that were searched.
        why: String,
    },
    /// The settings do not suit this build of the program.
    #[error("cannot set up TLS: {why}")]
    Settings {
        /// The setting that does not suit it.
        why: String,
    },
    /// The expected name in certificates is invalid.
    #[error("{name:?} is neither a host name nor an IP address, as a certificate needs")]
    ServerName {
        /// The name.
        name: String,
    },
}

fn wanted(part: TlsPart) -> &'static str {
    match part {
        TlsPart::Ca | TlsPart::Chain => "certificate (-----BEGIN CERTIFICATE-----) in it",
        TlsPart::Key => "private key in it (PKCS#8, PKCS#1 or SEC1, as PEM)",
    }
}
