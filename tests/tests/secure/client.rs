//! A byte-level client, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use ringbinder_tests::conn::{SENTINEL, show};
use ringbinder_tests::wait::PATIENCE;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::certs::Files;

/// TLS 1.2 only.
pub(crate) static OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// TLS 1.3 only.
pub(crate) static NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The settings of a client's connection.
pub(crate) struct Dial<'a> {
    authority: &'a Path,
    certificate: Option<&'a Files>,
    versions: &'static [&'static SupportedProtocolVersion],
    resumes: Option<&'a Arc<ClientConfig>>,
}

impl<'a> Dial<'a> {
    /// Trusts this authority.
    pub(crate) fn trusting(authority: &'a Path) -> Dial<'a> {
        Dial { authority, certificate: None, versions: rustls::ALL_VERSIONS, resumes: None }
    }

    /// Sends this certificate.
    pub(crate) fn showing(self, files: &'a Files) -> Dial<'a> {
        Dial { certificate: Some(files), ..self }
    }

    /// Offers only these versions.
    pub(crate) fn speaking(
        self,
        versions: &'static [&'static SupportedProtocolVersion],
    ) -> Dial<'a> {
        Dial { versions, ..self }
    }

    /// Resumes a session of this configuration, if it has one.
    pub(crate) fn resuming(self, config: &'a Arc<ClientConfig>) -> Dial<'a> {
        Dial { resumes: Some(config), ..self }
    }

    /// The resulting configuration.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.authority).expect("a file") {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let provider = ringbinder_tls::provider();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        Arc::new(match self.certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.chain).expect("a file");
                let chain: Result<Vec<_>, _> = chain.collect();
                let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
                builder.with_client_auth_cert(chain.expect("certificates"), key).expect("a pair")
            }
        })
    }

    /// Connects, and completes the client's side of the handshake.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Client> {
        let config = self.resumes.cloned().unwrap_or_else(|| self.config());
        let name = ServerName::from(address.ip());
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = tcp(address)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Client { stream: Stream::Tls(Box::new(StreamOwned::new(session, stream))) })
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection.
pub(crate) struct Client {
    stream: Stream,
}

impl Client {
    /// Connects without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Client {
        Client { stream: Stream::Plain(tcp(address).expect("connecting")) }
    }

    fn session(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(stream) => &stream.conn,
            Stream::Plain(_) => panic!("no TLS"),
        }
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.session().peer_certificates().expect("a certificate")[0].to_vec()
    }

    /// The negotiated version.
    pub(crate) fn version(&self) -> rustls::ProtocolVersion {
        self.session().protocol_version().expect("a version")
    }

    /// Whether an earlier session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.session().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Sends all bytes, in a record of their own.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("sending");
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.read(room),
            Stream::Tls(stream) => stream.read(room),
        }
    }

    /// Waits for `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let (mut bytes, mut done) = (vec![0; len], 0);
        while done < len {
            match self.read(&mut bytes[done..]) {
                Ok(0) => panic!("closed early; had {}", show(&bytes[..done])),
                Ok(more) => done += more,
                Err(error) => panic!("{error}; had {}", show(&bytes[..done])),
            }
        }
        bytes
    }

    /// Waits until the server closes the connection, cleanly or not. Returns the bytes received before that.
    pub(crate) fn try_rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut room) {
                Ok(0) => return (bytes, Ok(())),
                Ok(len) => bytes.extend_from_slice(&room[..len]),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    /// Sends a request and returns its whole answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Vec<u8> {
        self.send([request.as_ref(), b"mn\r\n"].concat());
        let (mut answer, mut room) = (Vec::new(), [0; 16 * 1024]);
        while !answer.ends_with(SENTINEL) {
            match self.read(&mut room) {
                Ok(len @ 1..) => answer.extend_from_slice(&room[..len]),
                end => panic!("{end:?} in mid-answer; had {}", show(&answer)),
            }
        }
        answer.truncate(answer.len() - SENTINEL.len());
        answer
    }

    /// [`Client::ask`] as text.
    pub(crate) fn ask_text(&mut self, request: &str) -> String {
        String::from_utf8(self.ask(request)).expect("a text answer")
    }

    /// Asserts that the answer to `request` is exactly `expected`.
    #[track_caller]
    pub(crate) fn talk(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        let answer = self.ask(request.as_ref());
        assert!(
            answer == expected.as_ref(),
            "\n    sent: {}\nexpected: {}\nanswered: {}\n",
            show(request.as_ref()),
            show(expected.as_ref()),
            show(&answer)
        );
    }

    /// Asserts that the answer to `request` is exactly `expected`. The server may close the connection after
    /// it.
    #[track_caller]
    pub(crate) fn tell(&mut self, request: impl AsRef<[u8]>, expected: &str) {
        self.send(request.as_ref());
        let answer = self.take(expected.len());
        assert_eq!(show(&answer), show(expected.as_bytes()), "to {}", show(request.as_ref()));
    }
}

/// The login request.
pub(crate) fn login(user: &str, password: &str) -> String {
    let words = format!("{user} {password}");
    format!("set auth 0 0 {}\r\n{words}\r\n", words.len())
}
