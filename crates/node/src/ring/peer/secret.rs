//! The peer secret. It lets a node that the current ring does not list prove that it may bring
//! another ring, and lets any node prove that it is a node.
//!
//! The receiver draws a nonce for one connection. The sender answers with HMAC-SHA-256 (RFC 2104)
//! over the nonce, and over the ring if it offers one. A code for one purpose is invalid for the
//! other. The secret itself is never sent and never logged.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use ringbinder_protocol::MAC_LEN;
use ringbinder_ring::regular;

/// The shortest secret in bytes.
const MIN_LEN: usize = 16;

/// The longest file that is read as a secret.
const MAX_LEN: u64 = 4096;

/// Separates the codes of offered rings from any other use of the same secret.
const OFFER: &[u8] = b"ringbinder ring offer 1\0";

/// Separates the codes that prove a sender to be a node from any other use of the same secret.
const PROOF: &[u8] = b"ringbinder peer proof 1\0";

/// A number used once, for one offer on one connection.
pub(crate) type Nonce = [u8; 32];

/// The shared secret.
#[derive(Clone)]
pub(crate) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads a secret from a file, without the white space at its ends.
    ///
    /// # Errors
    /// A sentence that describes what is wrong with the file.
    pub(crate) fn read(path: &Path) -> Result<Secret, String> {
        let place = path.display();
        let text = regular::read(path, MAX_LEN);
        let text = text.map_err(|error| format!("cannot read {place}: {error}"))?;
        if text.len() as u64 > MAX_LEN {
            return Err(format!("{place} has more than {MAX_LEN} bytes and is not a secret"));
        }
        let secret = text.trim_ascii();
        if secret.len() < MIN_LEN {
            return Err(format!(
                "the secret in {place} is shorter than {MIN_LEN} bytes: create one with 'openssl \
                 rand -hex 32'"
            ));
        }
        Ok(Secret(secret.to_vec()))
    }

    fn code(&self, context: &[u8], nonce: &Nonce, ring: &[u8]) -> Option<[u8; MAC_LEN]> {
        let key = hmac::Key::new(HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, &[context, nonce, ring].concat());
        tag.as_ref().try_into().ok()
    }

    /// Whether a code is valid. Compares in constant time.
    fn is_code(&self, context: &[u8], nonce: &Nonce, ring: &[u8], code: &[u8; MAC_LEN]) -> bool {
        let key = hmac::Key::new(HMAC_SHA256, &self.0);
        hmac::verify(&key, &[context, nonce, ring].concat(), code).is_ok()
    }

    /// The code for a ring that this node offers.
    pub(crate) fn sign(&self, nonce: &Nonce, ring: &[u8]) -> Option<[u8; MAC_LEN]> {
        self.code(OFFER, nonce, ring)
    }

    /// The code that proves that this node knows the secret.
    pub(crate) fn prove(&self, nonce: &Nonce) -> Option<[u8; MAC_LEN]> {
        self.code(PROOF, nonce, b"")
    }

    /// Whether the code proves that the sender knows the secret.
    pub(crate) fn is_proof(&self, nonce: &Nonce, code: &[u8; MAC_LEN]) -> bool {
        self.is_code(PROOF, nonce, b"", code)
    }

    /// Whether the code of an offered ring is valid.
    pub(crate) fn verify(&self, nonce: &Nonce, ring: &[u8], code: &[u8; MAC_LEN]) -> bool {
        self.is_code(OFFER, nonce, ring, code)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Computed with Python's `hmac`, so that nodes of different versions agree.
    #[test]
    fn a_code_is_hmac_sha_256_over_context_nonce_and_ring() {
        let secret = Secret(b"0123456789abcdef".to_vec());
        let hex = |code: Option<[u8; MAC_LEN]>| ringbinder_protocol::to_hex(&code.unwrap());
        assert_eq!(
            hex(secret.sign(&[7; 32], b"ring")),
            "f2ac0b98e621fb8e535347bb5c12f7e4f8786cfacb7dfb14171756ce5ea4eed6"
        );
        assert_eq!(
            hex(secret.prove(&[7; 32])),
            "39cbb469404db7b4af5a094770eb5d97182c5e33fdc2ef64aa2996f72a3d3009"
        );
    }

    #[test]
    fn a_code_is_good_for_one_secret_one_nonce_and_one_ring() {
        let secret = Secret(b"0123456789abcdef".to_vec());
        let other = Secret(b"0123456789abcdeg".to_vec());
        let nonce = [7; 32];
        let code = secret.sign(&nonce, b"ring").unwrap();
        assert!(secret.verify(&nonce, b"ring", &code));
        assert!(!other.verify(&nonce, b"ring", &code));
        assert!(!secret.verify(&[8; 32], b"ring", &code));
        assert!(!secret.verify(&nonce, b"rinh", &code));
    }

    #[test]
    fn a_proof_is_good_for_one_secret_and_one_nonce_and_for_no_ring() {
        let secret = Secret(b"0123456789abcdef".to_vec());
        let nonce = [7; 32];
        let code = secret.prove(&nonce).unwrap();
        assert!(secret.is_proof(&nonce, &code));
        assert!(!Secret(b"0123456789abcdeg".to_vec()).is_proof(&nonce, &code));
        assert!(!secret.is_proof(&[8; 32], &code));
        assert!(!secret.verify(&nonce, b"", &code));
        assert!(!secret.is_proof(&nonce, &secret.sign(&nonce, b"").unwrap()));
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "short\n").unwrap();
        assert!(Secret::read(&path).unwrap_err().contains("shorter than 16 bytes"));
        fs::write(&path, "  a-long-enough-secret \n").unwrap();
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.0, b"a-long-enough-secret");
        assert!(!format!("{secret:?}").contains("enough"));
        assert!(Secret::read(&dir.path().join("none")).is_err());
    }
}
