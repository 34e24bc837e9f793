//! Benchmark of a full TLS 1.3 handshake in memory, by provider and kind of key: the figures of
//! `docs/decisions/0018-tls-provider.md`.
//!
//!     cargo run --profile dist -p ringbinder-tls --features ring --example handshakes

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbinder_tls::{identity::Identity, pem};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData,
};

/// Handshakes of each kind; the median is reported.
const ROUNDS: usize = 300;

const KINDS: [&str; 7] = [
    "EC -pkeyopt ec_paramgen_curve:P-256",
    "EC -pkeyopt ec_paramgen_curve:P-384",
    "EC -pkeyopt ec_paramgen_curve:P-521",
    "ED25519",
    "RSA -pkeyopt rsa_keygen_bits:2048",
    "RSA -pkeyopt rsa_keygen_bits:4096",
    "RSA -pkeyopt rsa_keygen_bits:8192",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    for kind in KINDS {
        let genpkey = format!("genpkey -out key -algorithm {kind}");
        openssl(folder.path(), &genpkey)?;
        openssl(
            folder.path(),
            "req -x509 -new -key key -subj /CN=localhost -out pem -addext \
             basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost",
        )?;
        for (name, provider) in
            [("ring", ring::default_provider()), ("aws-lc-rs", aws_lc_rs::default_provider())]
        {
            match measure(folder.path(), Arc::new(provider)) {
                Ok((server, client)) => println!(
                    "{kind}, {name}: server {} us, client {} us",
                    server.as_micros(),
                    client.as_micros()
                ),
                Err(_) => println!("{kind}, {name}: refused"),
            }
        }
    }
    Ok(())
}

fn openssl(folder: &Path, arguments: &str) -> Result<(), Failure> {
    let words = arguments.split_whitespace();
    let output = Command::new("openssl").args(words).current_dir(folder).output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(error.into()) }
}

/// The median times of both sides.
fn measure(folder: &Path, provider: Arc<CryptoProvider>) -> Result<(Duration, Duration), Failure> {
    let read = |name: &str| std::fs::read(folder.join(name));
    let chain = pem::certificates(&read("pem")?)?;
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone())?;
    let identity = Identity::new(chain, pem::private_key(&read("key")?)?, &provider)?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified)));
    server.send_tls13_tickets = 0;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let name = ServerName::try_from("localhost")?;
        let mut one = ClientConnection::new(Arc::clone(&client), name)?;
        let mut ours = begun.elapsed();
        let begun = Instant::now();
        let mut other = ServerConnection::new(Arc::clone(&server))?;
        let mut theirs = begun.elapsed();
        let mut flight = Vec::new();
        while one.is_handshaking() || other.is_handshaking() {
            ours += turn(&mut one, &mut flight)?;
            theirs += turn(&mut other, &mut flight)?;
        }
        servers.push(theirs);
        clients.push(ours);
    }
    servers.sort_unstable();
    clients.sort_unstable();
    Ok((servers[ROUNDS / 2], clients[ROUNDS / 2]))
}

/// Passes bytes from one side to the other, which processes and answers them. Returns the time that took.
fn turn<D: SideData>(
    side: &mut ConnectionCommon<D>,
    flight: &mut Vec<u8>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut came = flight.as_slice();
    while !came.is_empty() {
        side.read_tls(&mut came)?;
        side.process_new_packets()?;
    }
    flight.clear();
    while side.wants_write() {
        side.write_tls(flight)?;
    }
    Ok(begun.elapsed())
}
