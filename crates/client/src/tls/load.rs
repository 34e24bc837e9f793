//! From PEM to what rustls works with. The only place that reads the files.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ringbinder_ring::regular;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Error, RootCertStore, SupportedProtocolVersion};

use super::error::{TlsError, TlsFile, TlsPart};
use super::{Pem, Tls, TlsVersion};

/// Longest file that is read, in bytes: a system's whole bundle of CAs has a fraction of it.
const MAX_FILE: u64 = 16 << 20;

/// What an encrypted key has in its PEM, in both of its forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Everything that a handshake goes by.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let roots = roots(&tls.ca)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::Settings { why: error.to_string() })?
        .with_root_certificates(roots);
    let Some((chain, key)) = &tls.identity else {
        return Ok(config.with_no_client_auth());
    };
    let (chain_file, key_file) = (chain.file(TlsPart::Chain), key.file(TlsPart::Key));
    let chain = certificates(chain, &chain_file)?;
    let key = private_key(key, &key_file)?;
    config.with_client_auth_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => TlsError::OtherKey { key: key_file, chain: chain_file },
        Error::InvalidCertificate(why) => {
            TlsError::Certificate { file: chain_file, number: 1, why: why.to_string() }
        }
        error => TlsError::Key { file: key_file, why: error.to_string() },
    })
}

fn roots(ca: &[Pem]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if ca.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        let why = system.errors.first().map(ToString::to_string);
        // Among a system's there may be some that nobody understands.
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
                why: why.to_string(),
            })?;
        }
    }
    Ok(roots)
}

fn certificates(pem: &Pem, file: &TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = pem.read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|why| broken(file, &why))?;
    if all.is_empty() {
        return Err(TlsError::Nothing { file: file.clone() });
    }
    Ok(all)
}

fn private_key(pem: &Pem, file: &TlsFile) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = pem.read(file)?;
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    if has(ENCRYPTED) {
        return Err(TlsError::EncryptedKey { file: file.clone() });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|why| match why {
        pem::Error::NoItemsFound => TlsError::Nothing { file: file.clone() },
        why => broken(file, &why),
    })
}

fn broken(file: &TlsFile, why: &pem::Error) -> TlsError {
    // Of a key not even a piece is shown.
    let why = match why {
        pem::Error::MissingSectionEnd { .. } => "it ends before a -----END line",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is broken",
        pem::Error::Base64Decode(_) => "what is between its lines is no base64",
        _ => "it cannot be understood",
    };
    TlsError::Pem { file: file.clone(), why: why.to_owned() }
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
