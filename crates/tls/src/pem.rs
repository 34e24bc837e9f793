//! Reads certificates and keys from the text of a PEM file.

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Marks of an encrypted key: in PKCS#8, and in the older formats (RFC 1421).
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// Longest label of a section that is shown, in bytes.
const MAX_LABEL: usize = 40;

/// The fault of a file's text: a clause that follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The wanted section is missing.
    #[error("holds no {wanted} in PEM form{}", instead(found.as_deref()))]
    Absent {
        /// The kind of section that was wanted.
        wanted: &'static str,
        /// The label of the first section, if there is one.
        found: Option<String>,
    },
    /// The file is not text.
    #[error(
        "is not a PEM file but a binary one (DER or PKCS#12): convert it to PEM, as `{} -inform DER` or \
         `openssl pkcs12` does", .0
    )]
    Binary(&'static str),
    /// The key is encrypted with a passphrase.
    #[error("is encrypted")]
    Encrypted,
    /// A section is damaged.
    #[error("is not intact PEM: {0}")]
    Torn(&'static str),
}

fn instead(found: Option<&str>) -> String {
    found.map(|found| format!(", but this: {found}")).unwrap_or_default()
}

/// Reads all certificates in a text, at least one.
///
/// # Errors
/// If there is none, or one is damaged.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| torn(&error))?;
    if found.is_empty() { Err(absent(text, "certificate", "openssl x509")) } else { Ok(found) }
}

/// Reads the first unencrypted private key in a text: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// If there is none, or it is damaged or encrypted.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let has = |mark: &str| text.windows(mark.len()).any(|part| part == mark.as_bytes());
        match error {
            _ if ENCRYPTED.into_iter().any(has) => PemError::Encrypted,
            pem::Error::NoItemsFound => absent(text, "private key", "openssl pkey"),
            error => torn(&error),
        }
    })
}

fn absent(text: &[u8], wanted: &'static str, tool: &'static str) -> PemError {
    match label(text) {
        _ if text.trim_ascii().is_empty() => PemError::Empty,
        None if text.first() == Some(&0x30) && std::str::from_utf8(text).is_err() => {
            PemError::Binary(tool)
        }
        found => PemError::Absent { wanted, found },
    }
}

/// The label of the first section in a text.
fn label(text: &[u8]) -> Option<String> {
    let name = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b' ';
    let name = (name.len() <= MAX_LABEL && name.iter().all(is_plain)).then_some(name)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The error for a damaged section. It shows no part of a key.
fn torn(error: &pem::Error) -> PemError {
    PemError::Torn(match error {
        pem::Error::MissingSectionEnd { .. } => "it ends before a -----END line",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is broken",
        pem::Error::Base64Decode(_) => "the text between its lines is not base64",
        _ => "it cannot be understood",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    #[test]
    fn texts_without_what_is_wanted() {
        let says = |text: &[u8]| private_key(text).unwrap_err().to_string();
        assert_eq!(says(b" \r\n"), "is empty");
        assert_eq!(says(b"junk"), "holds no private key in PEM form");
        assert_eq!(
            says(section("PUBLIC KEY").as_bytes()),
            "holds no private key in PEM form, but this: PUBLIC KEY"
        );
        assert_eq!(
            certificates(section("TRUSTED CERTIFICATE").as_bytes()).unwrap_err().to_string(),
            "holds no certificate in PEM form, but this: TRUSTED CERTIFICATE"
        );
        // A label that could control a terminal is not repeated.
        assert_eq!(says(section("A\x1b[2J").as_bytes()), "holds no private key in PEM form");
        let binary = [0x30, 0x82, 0x01, 0xff];
        assert!(says(&binary).contains("`openssl pkey -inform DER`"));
        assert!(certificates(&binary).unwrap_err().to_string().contains("`openssl x509 -inform"));
    }

    #[test]
    fn encrypted_keys_of_both_forms() {
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n\
                   AAAA\n-----END RSA PRIVATE KEY-----\n";
        for text in [section("ENCRYPTED PRIVATE KEY"), old.to_owned()] {
            assert_eq!(private_key(text.as_bytes()), Err(PemError::Encrypted));
        }
        // A usable key after an encrypted one is used.
        let both = section("ENCRYPTED PRIVATE KEY") + &section("EC PRIVATE KEY");
        assert!(private_key(both.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_around_the_sections_does_not_matter() {
        let text = format!("Bag Attributes\n  friendlyName: x\n{}trailing", section("CERTIFICATE"));
        assert_eq!(certificates(text.as_bytes()).unwrap().len(), 1);
        assert_eq!(certificates(text.replace('\n', "\r\n").as_bytes()).unwrap().len(), 1);
        let cut = &text[..text.len() - 30];
        assert!(matches!(certificates(cut.as_bytes()), Err(PemError::Torn(_))));
    }
}
