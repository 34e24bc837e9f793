//! What can be wrong with the files that TLS needs.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Which part of a [`Tls`](crate::Tls), and the file it comes from; none where bytes were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// What it is for.
    pub part: TlsPart,
    /// Where it is.
    pub path: Option<PathBuf>,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsPart {
    /// The CAs that are trusted.
    Ca,
    /// The client's certificate, and those between it and its CA.
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

/// Why there is no TLS: something in the client's own files or settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// Which.
        file: TlsFile,
        /// What the system says.
        source: io::Error,
    },
    /// A file is no PEM.
    #[error("{file} {why}")]
    Pem {
        /// Which.
        file: TlsFile,
        /// What is wrong with it: what goes on from its name.
        why: String,
    },
    /// A file has nothing of what it is for.
    #[error("{file} has no {}", wanted(file.part))]
    Nothing {
        /// Which.
        file: TlsFile,
    },
    /// A key can only be used with a password.
    #[error("{file} is encrypted: give one that is not, readable by this user only")]
    EncryptedKey {
        /// Which.
        file: TlsFile,
    },
    /// A certificate is none, or one of a kind that is not understood.
    #[error("certificate {number} of {file} {why}")]
    Certificate {
        /// Which file.
        file: TlsFile,
        /// Which of those in it, from 1.
        number: usize,
        /// What is wrong with it: what goes on from its name.
        why: String,
    },
    /// A key is none, or one of a kind that is not understood.
    #[error("{file} {why}")]
    Key {
        /// Which.
        file: TlsFile,
        /// What is wrong with it: what goes on from its name.
        why: String,
    },
    /// A key belongs to another certificate.
    #[error("{key} is not that of the first certificate of {chain}")]
    OtherKey {
        /// The key.
        key: TlsFile,
        /// The certificate.
        chain: TlsFile,
    },
    /// The system has no CAs.
    #[error("the system has no CA certificates ({why}): install them, or name a CA")]
    NoSystemRoots {
        /// Where they were looked for.
        why: String,
    },
    /// The settings do not fit what this program was built with.
    #[error("TLS cannot be set up: {why}")]
    Settings {
        /// What does not fit.
        why: String,
    },
    /// The name that certificates are to be for is none.
    #[error("{name:?} is no host name and no IP address that a certificate could be for")]
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
