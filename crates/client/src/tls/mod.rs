//! TLS to the nodes: the user's settings, and the handshake.
//!
//! A node's certificate is always verified; this cannot be turned off. Files are read when the
//! client is made, and again on request ([`Client::reload_certificates`]): open connections do not
//! change, and new ones use the new certificates.
//!
//! [`Client::reload_certificates`]: crate::Client::reload_certificates

mod error;
mod fault;
mod load;

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use arc_swap::ArcSwap;
use ringbinder_protocol::Refusal;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use error::{TlsError, TlsFile, TlsPart};
pub use fault::TlsFault;

/// Encrypted connections to the nodes, whose certificates are verified.
///
/// Without a CA, the system's CAs are trusted. With one, only that is: the usual case for a cache,
/// whose nodes have certificates of the company's own CA. The certificate must be valid for the
/// node's host in the ring, a name or an IP address, unless [`server_name`](Tls::server_name) sets
/// another.
///
/// ```
/// use ringbinder_client::{Client, Tls, TlsError, TlsVersion};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = rcgen::generate_simple_self_signed(["ca".to_owned()])?.cert.pem();
/// let tls = Tls::new().ca_pem(ca).min_version(TlsVersion::V1_3);
/// let client = Client::with_servers(["cache-a.example:11211"]).tls(tls).connect().await?;
/// # drop(client);
///
/// // An invalid file is reported when the client is made.
/// let tls = Tls::new().ca_file("/nonexistent/ca.pem");
/// let error = Client::with_servers(["cache-a.example:11211"]).tls(tls).connect().await.unwrap_err();
/// assert!(error.to_string().starts_with("cannot read the CA file /nonexistent/ca.pem: "));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Tls {
    /// The trusted CAs; the system's if empty.
    ca: Vec<Pem>,
    /// The client's certificate chain and its key.
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    min_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2
    #[default]
    V1_2,
    /// TLS 1.3
    V1_3,
}

/// The source of PEM data.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => path.fmt(f),
            // The bytes may be a key.
            Pem::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl Tls {
    /// TLS that trusts the system's CAs (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    pub fn new() -> Tls {
        Tls::default()
    }

    /// Trusts the CAs in this PEM file, in addition to others that are named here, instead of the
    /// system's.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Tls {
        self.ca.push(Pem::File(path.into()));
        self
    }

    /// As [`Tls::ca_file`], with the text of such a file.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Tls {
        self.ca.push(Pem::Bytes(pem.as_ref().into()));
        self
    }

    /// Presents a certificate to nodes that ask for one: its chain, from the client's own
    /// certificate upward, and its key, each a PEM file. The key must not be encrypted.
    pub fn certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Tls {
        self.identity = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// As [`Tls::certificate_files`], with the texts of such files.
    pub fn certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Tls {
        let bytes = |pem: &[u8]| Pem::Bytes(pem.into());
        self.identity = Some((bytes(chain.as_ref()), bytes(key.as_ref())));
        self
    }

    /// The name or IP address that every node's certificate must be valid for, instead of the
    /// node's host in the ring.
    pub fn server_name(mut self, name: impl Into<String>) -> Tls {
        self.server_name = Some(name.into());
        self
    }

    /// The oldest version of TLS that is accepted; TLS 1.2 by default.
    pub fn min_version(mut self, version: TlsVersion) -> Tls {
        self.min_version = version;
        self
    }
}

/// Makes connections secure.
pub(crate) struct Connector {
    tls: Tls,
    name: Option<ServerName<'static>>,
    config: ArcSwap<ClientConfig>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

impl Connector {
    /// Reads the files.
    pub(crate) fn new(tls: Tls) -> Result<Connector, TlsError> {
        let name = tls.server_name.clone().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName { name })
        });
        let config = ArcSwap::from_pointee(load::config(&tls)?);
        Ok(Connector { name: name.transpose()?, config, tls })
    }

    /// Reads the files again. If anything is invalid, the previous configuration stays.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(load::config(&self.tls)?));
        Ok(())
    }

    /// The handshake with the node at `host`.
    pub(crate) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| TlsFault::Name { host: host.to_owned() })?,
        };
        let connector = TlsConnector::from(self.config.load_full());
        connector.connect(name, stream).await.map_err(|error| TlsFault::of_handshake(&error))
    }
}

/// Whether this is the answer of a Ringbinder node to a plain client on a TLS-only port.
pub(crate) fn is_only_tls(says: &[u8]) -> bool {
    says.starts_with(Refusal::TlsOnly.line().as_bytes())
}

/// Whether plain bytes are the beginning of a TLS alert (RFC 8446, 5.1 and 6): nothing in
/// memcached's protocol begins so.
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[21, 3])
}

/// The error of rustls inside the error of a stream.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
