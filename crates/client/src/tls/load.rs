//! Converts PEM to the types of rustls. Only this module reads the files.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ringbinder_ring::regular;
use ringbinder_tls::identity::{Identity, IdentityError};
use ringbinder_tls::pem::{self, PemError};
use ringbinder_tls::words;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error, RootCertStore, SupportedProtocolVersion};

use super::error::{TlsError, TlsFile, TlsPart};
use super::{Pem, Tls, TlsVersion};

/// Longest file in bytes: a system's whole bundle of CAs is a small part of it.
const MAX_FILE: u64 = 16 << 20;

/// The complete configuration of a handshake.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = ringbinder_tls::provider();
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let roots = roots(&tls.ca)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::Settings { why: error.to_string() })?
        .with_root_certificates(roots);
    let Some((chain, key)) = &tls.identity else {
        return Ok(config.with_no_client_auth());
    };
    let (chain_file, key_file) = (chain.file(TlsPart::Chain), key.file(TlsPart::Key));
    let certificates = certificates(chain, &chain_file)?;
    let key = private_key(key, &key_file)?;
    let identity = Identity::new(certificates, key, &provider).map_err(|error| match error {
        IdentityError::Mismatch => {
            TlsError::OtherKey { key: key_file.clone(), chain: chain_file.clone() }
        }
        IdentityError::Certificate(why) => {
            TlsError::Certificate { file: chain_file.clone(), number: 1, why }
        }
        IdentityError::Key(why) => TlsError::Key { file: key_file, why: why.to_string() },
    })?;
    if identity.is_old_version {
        // No node accepts it (RFC 8446, 4.4.2.3). An error here reaches the person who can act.
        let why = words::OF_AN_OLD_VERSION.to_owned();
        return Err(TlsError::Certificate { file: chain_file, number: 1, why });
    }
    let resolver = SingleCertAndKey::from(identity.certified);
    Ok(config.with_client_cert_resolver(Arc::new(resolver)))
}

fn roots(ca: &[Pem]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if ca.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        let why = system.errors.first().map(ToString::to_string);
        // A system may have CAs that rustls does not support.
        let (used, _) = roots.add_parsable_certificates(system.certs);
        if used == 0 {
            let why = why.unwrap_or_else(|| "there are none where they usually are".to_owned());
            return Err(TlsError::NoSystemRoots { why });
        }
    }
    for pem in ca {
        let file = pem.file(TlsPart::Ca);
        for (number, certificate) in (1..).zip(certificates(pem, &file)?) {
            roots.add(certificate).map_err(|why| TlsError::Certificate {
                file: file.clone(),
                number,
                why: match why {
                    Error::InvalidCertificate(why) => words::certificate(&why),
                    _ => "is damaged".to_owned(),
                },
            })?;
        }
    }
    Ok(roots)
}

fn certificates(pem: &Pem, file: &TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = pem.read(file)?;
    pem::certificates(&text).map_err(|why| unusable(file, why))
}

fn private_key(pem: &Pem, file: &TlsFile) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = pem.read(file)?;
    pem::private_key(&text).map_err(|why| unusable(file, why))
}

fn unusable(file: &TlsFile, why: PemError) -> TlsError {
    let file = file.clone();
    match why {
        PemError::Empty | PemError::Absent { .. } => TlsError::Nothing { file },
        PemError::Encrypted => TlsError::EncryptedKey { file },
        PemError::Binary(_) | PemError::Torn(_) => TlsError::Pem { file, why: why.to_string() },
    }
}

impl Pem {
    fn file(&self, part: TlsPart) -> TlsFile {
        let path = match self {
            Pem::File(path) => Some(path.clone()),
            Pem::Bytes(_) => None,
        };
        TlsFile { part, path }
    }

    fn read(&self, file: &TlsFile) -> Result<Cow<'_, [u8]>, TlsError> {
        match self {
            Pem::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Pem::File(path) => match read(path) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(source) => Err(TlsError::Unreadable { file: file.clone(), source }),
            },
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let text = regular::read(path, MAX_FILE)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(io::Error::other(format!("it has more than {MAX_FILE} bytes"))),
        false => Ok(text),
    }
}
