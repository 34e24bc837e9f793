//! Reads certificates and keys from PEM files.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringbinder_ring::regular;
use ringbinder_tls::certificate::Certificate;
use ringbinder_tls::identity::IdentityError;
use ringbinder_tls::pem::{self, PemError};
use ringbinder_tls::words;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use crate::process::exit::ExitCode;

/// The longest file that is read, in bytes: larger than all existing authorities together.
const MAX_LEN: u64 = 4 << 20;

/// The reason why certificates cannot be used. Each is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: String, denied: bool },
    #[error("{} {reason}", path.display())]
    Text { path: PathBuf, reason: String },
    #[error("certificate number {number} in {} {reason}", path.display())]
    Certificate { path: PathBuf, number: usize, reason: String },
    #[error(
        "the key in {} is encrypted: write it without its passphrase, with openssl pkey, and make \
         it unreadable for others",
        .0.display()
    )]
    Encrypted(PathBuf),
    #[error("the key in {} is not that of the certificate in {}", key.display(), chain.display())]
    Mismatch { key: PathBuf, chain: PathBuf },
    #[error("the certificate in {} expired on {date}", path.display())]
    Expired { path: PathBuf, date: String },
    #[error("TLS needs a certificate: name its file with -o ssl_chain_cert=FILE")]
    NoChain,
    #[error("clients are asked for certificates: name their authority with -o ssl_ca_cert=FILE")]
    NoAuthorities,
    #[error("cannot set up TLS: {0}")]
    Build(String),
}

impl TlsError {
    pub(super) fn build(error: impl std::fmt::Display) -> TlsError {
        TlsError::Build(error.to_string())
    }

    /// The problem with a file, as a clause that continues its name.
    fn text(path: &Path, reason: impl std::fmt::Display) -> TlsError {
        TlsError::Text { path: path.into(), reason: reason.to_string() }
    }

    /// The problem with one of the certificates in a file, numbered from 1, as a clause that
    /// continues "certificate".
    fn certificate(path: &Path, number: usize, reason: String) -> TlsError {
        TlsError::Certificate { path: path.into(), number, reason }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            TlsError::Read { denied: true, .. } => ExitCode::NoPermission,
            _ => ExitCode::Config,
        }
    }
}

/// A warning if every user can read or write a file of secrets.
pub(crate) fn too_open(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & 0o006 != 0).then(|| {
        format!(
            "{} contains a secret, but every user of this machine can read or change it (mode \
             {:04o}): chmod 600 it, or 640",
            path.display(),
            mode & 0o7777
        )
    })
}

/// A node's identity: its certificate, the chain that vouches for it, and its key.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    pub(super) certified: CertifiedKey,
    /// The time at which the first of the certificates expires, as a Unix time.
    pub(super) expires: u64,
    pub(super) warnings: Vec<String>,
}

impl OwnCertificate {
    pub(super) fn read(
        chain: &Path,
        key: Option<&Path>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<OwnCertificate, TlsError> {
        let certificates = certificates(chain)?;
        let key_path = key.unwrap_or(chain);
        let key = pem::private_key(&read(key_path)?).map_err(|error| match error {
            PemError::Encrypted => TlsError::Encrypted(key_path.into()),
            error => TlsError::text(key_path, error),
        })?;
        let mut expires = u64::MAX;
        let mut warnings: Vec<String> = too_open(key_path).into_iter().collect();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            let read = Certificate::read(certificate)
                .ok_or_else(|| TlsError::certificate(chain, number, "is damaged".to_owned()))?;
            expires = expires.min(read.expires);
            if index == 0 && read.is_authority {
                warnings.push(format!(
                    "the certificate in {} {}; until then other nodes and many clients reject it",
                    chain.display(),
                    words::FOR_AN_AUTHORITY
                ));
            }
        }
        let identity = ringbinder_tls::identity::Identity::new(certificates, key, provider);
        let identity = identity.map_err(|error| match error {
            IdentityError::Mismatch => {
                TlsError::Mismatch { key: key_path.into(), chain: chain.into() }
            }
            IdentityError::Certificate(reason) => TlsError::certificate(chain, 1, reason),
            IdentityError::Key(error) => TlsError::text(key_path, error),
        })?;
        if identity.is_old_version {
            warnings.push(format!(
                "the certificate in {} {}; until then other nodes and many clients reject it",
                chain.display(),
                words::OF_AN_OLD_VERSION
            ));
        }
        Ok(OwnCertificate { certified: identity.certified, expires, warnings })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| TlsError::Read {
        path: path.into(),
        denied: error.kind() == io::ErrorKind::PermissionDenied,
        reason: error.to_string(),
    };
    let bytes = regular::read(path, MAX_LEN).map_err(failed)?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(TlsError::text(path, format_args!("has more than {MAX_LEN} bytes")));
    }
    Ok(bytes)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(path)?).map_err(|error| TlsError::text(path, error))
}

/// Reads authorities from a file.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(path)?) {
        store.add(certificate).map_err(|error| {
            let reason = match &error {
                rustls::Error::InvalidCertificate(error) => words::certificate(error),
                _ => "is damaged".to_owned(),
            };
            TlsError::certificate(path, number, reason)
        })?;
    }
    Ok(store)
}

/// The authorities that the system trusts. Unreadable ones are skipped: some systems have a few
/// that no program can read.
pub(super) fn system_authorities(warnings: &mut Vec<String>) -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        warnings.push(
            "this system has no list of trusted authorities to check other nodes: name one with -o \
             ssl_ca_cert=FILE"
                .to_owned(),
        );
    }
    store
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn each_mistake_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap().pem();
        let chain = file("chain", &certificate);
        let key = file("key", &pair.serialize_pem());
        let other = file("other", &KeyPair::generate().unwrap().serialize_pem());
        let both = file("both", &(certificate.clone() + &pair.serialize_pem()));
        let nothing = file("nothing", "");
        let torn = file("torn", &certificate[..certificate.len() / 2]);
        let locked = file(
            "locked",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        let provider = ringbinder_tls::provider();
        let read = |chain: &Path, key: Option<&Path>| OwnCertificate::read(chain, key, &provider);

        assert!(read(&chain, Some(&key)).unwrap().expires > 4_000_000_000);
        assert!(read(&both, None).is_ok());
        for (chain, key, why) in [
            (dir.path().join("none"), &key, "cannot read"),
            (nothing.clone(), &key, "nothing is empty"),
            (torn.clone(), &key, "torn is not intact PEM"),
            (chain.clone(), &nothing, "nothing is empty"),
            (chain.clone(), &chain, "holds no private key in PEM form, but this: CERTIFICATE"),
            (chain.clone(), &locked, "is encrypted"),
            (chain.clone(), &other, "is not that of the certificate in"),
        ] {
            let error = read(&chain, Some(key)).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
        assert!(authorities(&chain).is_ok());
        assert!(authorities(&key).unwrap_err().to_string().contains("holds no certificate"));

        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = read(&chain, Some(&key)).unwrap().warnings;
        assert!(warnings[0].contains("mode 0644"), "{warnings:?}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(too_open(&key), None);
    }
}
