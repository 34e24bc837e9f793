//! CAs with their certificates, made for one test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a CA").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names and IP addresses.
    pub(crate) fn certify(&self, names: &[&str]) -> Identity {
        self.certify_in(names, 2020..=4000)
    }

    /// A certificate that is valid from the beginning of one year to that of another.
    pub(crate) fn certify_in(
        &self,
        names: &[&str],
        years: std::ops::RangeInclusive<i32>,
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(*years.start(), 1, 1);
        params.not_after = date_time_ymd(*years.end(), 1, 1);
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { chain, key: key.serialize_pem() }
    }
}

impl Identity {
    /// A server with this certificate, for any client.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server_with(rustls::ALL_VERSIONS, None)
    }

    /// A server with these versions, which asks for a certificate of this CA.
    pub(crate) fn server_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
    ) -> Arc<ServerConfig> {
        let provider = ringbinder_tls::provider();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_protocol_versions(versions).expect("versions");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_slice(ca.pem.as_bytes()).expect("a certificate");
                roots.add(ca).expect("a CA");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        Arc::new(config.with_single_cert(chain, key).expect("a server"))
    }
}
