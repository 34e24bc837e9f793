//! A certificate and its key: checks that their kinds are accepted and that they belong together.

use std::borrow::Cow;
use std::fmt;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};

use crate::certificate::Certificate;
use crate::der::{Reader, tag};
use crate::words;

/// A command that makes an accepted key, for [`IdentityError::Key`].
const MAKE_KEY: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// A certificate, its chain, and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain and the key for handshakes.
    pub certified: CertifiedKey,
    /// Whether the certificate is X.509 version 1 or 2. OpenSSL's clients may accept it; rustls's do not.
    pub is_old_version: bool,
}

/// The reason why a certificate and a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The key is at fault: a clause that follows its file's name.
    #[error("{0}")]
    Key(KeyError),
    /// The certificate is at fault: a clause that follows "it", the certificate.
    #[error("{0}")]
    Certificate(String),
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// The fault of a key: a clause that follows its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its kind is not accepted.
    #[error(
        "holds {0}, which is not accepted: RSA keys of 2048 to 8192 bits are, EC keys of P-256, P-384 \
         and P-521, and Ed25519; `{MAKE_KEY}` makes one, then create the certificate again for it"
    )]
    Kind(KeyKind),
    /// Its kind is accepted, but it is damaged.
    #[error("holds {0}, which is damaged")]
    Damaged(KeyKind),
}

/// The kind of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA with this number of bits.
    Rsa(usize),
    /// RSA restricted to PSS signatures.
    RsaPss,
    /// EC on P-256.
    P256,
    /// EC on P-384.
    P384,
    /// EC on P-521.
    P521,
    /// EC on another curve.
    OtherCurve,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// DSA.
    Dsa,
    /// Any other kind.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            KeyKind::Rsa(bits) => Cow::Owned(format!("an RSA key of {bits} bits")),
            KeyKind::RsaPss => "an RSA-PSS key".into(),
            KeyKind::P256 => "an EC key of P-256".into(),
            KeyKind::P384 => "an EC key of P-384".into(),
            KeyKind::P521 => "an EC key of P-521".into(),
            KeyKind::OtherCurve => "an EC key of a rare curve".into(),
            KeyKind::Ed25519 => "an Ed25519 key".into(),
            KeyKind::Ed448 => "an Ed448 key".into(),
            KeyKind::Dsa => "a DSA key".into(),
            KeyKind::Other => "a key of an unknown kind".into(),
        })
    }
}

impl KeyKind {
    /// Determines the kind of a key, as far as possible.
    pub fn of(key: &PrivateKeyDer<'_>) -> KeyKind {
        let kind = match key {
            PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
            _ => None,
        };
        kind.unwrap_or(KeyKind::Other)
    }

    /// Whether handshakes can be signed with it.
    fn is_taken(self) -> bool {
        match self {
            KeyKind::Rsa(bits) => (2048..=8192).contains(&bits),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => true,
            KeyKind::RsaPss
            | KeyKind::OtherCurve
            | KeyKind::Ed448
            | KeyKind::Dsa
            | KeyKind::Other => false,
        }
    }
}

/// Parses `RSAPrivateKey` (RFC 8017, A.1.2).
fn rsa(der: &[u8]) -> Option<KeyKind> {
    let mut key = Reader::new(der).sequence()?;
    key.take(tag::INTEGER)?;
    let modulus = key.take(tag::INTEGER)?.content;
    let first = modulus.iter().position(|&byte| byte != 0)?;
    let zeros = usize::try_from(modulus[first].leading_zeros()).ok()?;
    Some(KeyKind::Rsa((modulus.len() - first) * 8 - zeros))
}

/// Parses `ECPrivateKey` (RFC 5915, 3).
fn sec1(der: &[u8]) -> Option<KeyKind> {
    let mut key = Reader::new(der).sequence()?;
    key.take(tag::INTEGER)?;
    key.take(tag::OCTET_STRING)?;
    let curve = key.take(tag::CONTEXT_0)?.content;
    Reader::new(curve).take(tag::OBJECT_ID).map(|curve| ec(curve.content))
}

/// Parses `PrivateKeyInfo` (RFC 5208, 5).
fn pkcs8(der: &[u8]) -> Option<KeyKind> {
    let mut key = Reader::new(der).sequence()?;
    key.take(tag::INTEGER)?;
    let mut algorithm = key.sequence()?;
    Some(match algorithm.take(tag::OBJECT_ID)?.content {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => {
            rsa(key.take(tag::OCTET_STRING)?.content)?
        }
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => KeyKind::RsaPss,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => {
            algorithm.take(tag::OBJECT_ID).map_or(KeyKind::OtherCurve, |curve| ec(curve.content))
        }
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => KeyKind::Dsa,
        [0x2b, 0x65, 0x70] => KeyKind::Ed25519,
        [0x2b, 0x65, 0x71] => KeyKind::Ed448,
        _ => KeyKind::Other,
    })
}

fn ec(curve: &[u8]) -> KeyKind {
    match curve {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => KeyKind::P256,
        [0x2b, 0x81, 0x04, 0x00, 0x22] => KeyKind::P384,
        [0x2b, 0x81, 0x04, 0x00, 0x23] => KeyKind::P521,
        _ => KeyKind::OtherCurve,
    }
}

impl Identity {
    /// Combines a chain, whose first certificate is its own, with a key.
    ///
    /// A certificate of X.509 version 1 is accepted and marked
    /// ([`is_old_version`](Identity::is_old_version)): the other side decides whether to trust it.
    ///
    /// # Errors
    /// If one of them cannot be used, or they do not belong together.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Identity, IdentityError> {
        let kind = KeyKind::of(&key);
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            let error = if kind.is_taken() { KeyError::Damaged } else { KeyError::Kind };
            IdentityError::Key(error(kind))
        })?;
        let certified = CertifiedKey::new(chain, key);
        let is_old_version = match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => false,
            Err(Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(Error::InvalidCertificate(error)) if is_old(&error) => {
                if !belong_together(&certified) {
                    return Err(IdentityError::Mismatch);
                }
                true
            }
            Err(Error::InvalidCertificate(error)) => {
                return Err(IdentityError::Certificate(words::certificate(&error)));
            }
            Err(error) => return Err(IdentityError::Certificate(words::other(&error))),
        };
        Ok(Identity { certified, is_old_version })
    }
}

fn is_old(error: &CertificateError) -> bool {
    words::objection(error) == Some(&webpki::Error::UnsupportedCertVersion)
}

/// Whether the key belongs to the certificate. rustls checks this itself if it can parse the certificate.
fn belong_together(certified: &CertifiedKey) -> bool {
    let shown = certified.cert.first().and_then(|certificate| Certificate::read(certificate));
    let shown = shown.map(|certificate| certificate.public_key);
    let own = certified.key.public_key();
    // A key that does not reveal its public half is not known to be a different one.
    own.is_none_or(|own| shown == Some(own.as_ref()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::{pem, provider};

    fn key(pair: &KeyPair) -> PrivateKeyDer<'static> {
        pem::private_key(pair.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn kinds_that_are_taken() {
        for (algorithm, kind) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384),
            (&rcgen::PKCS_ED25519, KeyKind::Ed25519),
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            assert_eq!(KeyKind::of(&key(&pair)), kind);
            let chain = CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
            let identity = Identity::new(vec![chain.der().clone()], key(&pair), &provider());
            assert!(!identity.unwrap().is_old_version);
            let other = key(&KeyPair::generate_for(algorithm).unwrap());
            let identity = Identity::new(vec![chain.der().clone()], other, &provider());
            assert_eq!(identity.unwrap_err(), IdentityError::Mismatch);
        }
    }

    #[test]
    fn junk_is_of_no_kind() {
        for junk in [&[][..], &[0x30, 0], &[0x30, 3, 2, 1, 0], &[0xff; 40]] {
            let key = PrivateKeyDer::Pkcs8(junk.to_vec().into());
            assert_eq!(KeyKind::of(&key), KeyKind::Other);
            let error = Identity::new(Vec::new(), key, &provider()).unwrap_err();
            assert!(error.to_string().starts_with("holds a key of an unknown kind, which is not"));
        }
        let damaged = KeyPair::generate().unwrap().serialize_der();
        let damaged = PrivateKeyDer::Pkcs8(damaged[..damaged.len() - 9].to_vec().into());
        assert_eq!(KeyKind::of(&damaged), KeyKind::Other);
    }
}
