//! Certificates for tests, and the authority that signs them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) file: PathBuf,
}

/// A certificate's files.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
}

impl Files {
    /// The value of `-o`.
    pub(crate) fn options(&self) -> String {
        let Files { chain, key, authority } = self;
        format!(
            "ssl_chain_cert={},ssl_key={},ssl_ca_cert={}",
            chain.display(),
            key.display(),
            authority.display()
        )
    }

    /// Overwrites this certificate with another one.
    pub(crate) fn replace_by(&self, other: &Files) {
        fs::copy(&other.chain, &self.chain).expect("our own file");
        fs::copy(&other.key, &self.key).expect("our own file");
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).expect("our own directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
    path.to_owned()
}

impl Authority {
    pub(crate) fn new(dir: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = write(&dir.join(format!("{name}.pem")), &issuer.as_ref().pem());
        Authority { issuer, file }
    }

    /// Issues a certificate for these names.
    pub(crate) fn issue(&self, dir: &Path, name: &str, names: &[&str]) -> Files {
        self.issue_with(dir, name, names, |_| {})
    }

    /// Issues a certificate that expired in 2021.
    pub(crate) fn issue_expired(&self, dir: &Path, name: &str, names: &[&str]) -> Files {
        self.issue_with(dir, name, names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// Issues a certificate for these names and these uses.
    pub(crate) fn issue_for(
        &self,
        dir: &Path,
        name: &str,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
    ) -> Files {
        self.issue_with(dir, name, names, |params| params.extended_key_usages = vec![purpose])
    }

    fn issue_with(
        &self,
        dir: &Path,
        name: &str,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Files {
            chain: write(&dir.join(format!("{name}.pem")), &certificate.pem()),
            key: write(&dir.join(format!("{name}.key")), &key.serialize_pem()),
            authority: self.file.clone(),
        }
    }
}
