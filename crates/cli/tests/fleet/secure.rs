//! Tests with nodes that require TLS or a login. Each is a small server inside the test.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ringbinder_tests::ring::ring_file;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::command::Ran;
use crate::of;

/// The files of a CA, and a ring file of one node with a certificate from it.
struct Place {
    folder: TempDir,
    ring: String,
}

impl Place {
    fn with(tls: Tls, login: Option<&'static [u8]>) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        write("ca.pem", &ca.pem());
        let issuer = Issuer::new(params, key);
        let certify = |name: &str| {
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let (chain, key) = certify("app");
        write("app.pem", &chain);
        write("app.key", &key);
        write("auth", "shop:tr0ub4dor\n");
        write("wrong", "shop:Tr0ub4dor\n");
        let own = KeyPair::generate().unwrap();
        let stranger = CertificateParams::default().self_signed(&own).unwrap();
        write("other.pem", &stranger.pem());
        let (chain, key) = certify(if tls == Tls::ByName { "cache.example" } else { "127.0.0.1" });
        let server = (tls != Tls::Off).then(|| server(&chain, &key, tls, &ca.pem()));
        let port = start(server, login);
        let ring = folder.path().join("ring.toml");
        std::fs::write(&ring, ring_file(1, [("cache-a", port, 1)])).unwrap();
        Place { ring: ring.to_str().unwrap().to_owned(), folder }
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Runs the command. A word that begins with @ stands for a file.
    fn run(&self, words: &[&str]) -> Ran {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.strip_prefix('@').map_or((*word).to_owned(), |name| self.file(name)))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ran::of(&mut of(&self.ring, &words))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Off,
    On,
    /// The node has a certificate for another name.
    ByName,
    /// The node requires a client certificate.
    Mutual,
}

fn server(chain: &str, key: &str, tls: Tls, ca: &str) -> Arc<ServerConfig> {
    let provider = ringbinder_tls::provider();
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = if tls == Tls::Mutual {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Arc::new(config.with_single_cert(chain, key).unwrap())
}

/// Starts a server and returns its port. The server ends with the test.
fn start(tls: Option<Arc<ServerConfig>>, login: Option<&'static [u8]>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = tls.clone();
            std::thread::spawn(move || match tls {
                None => talk(stream, login),
                Some(tls) => {
                    let session = ServerConnection::new(tls).unwrap();
                    talk(StreamOwned::new(session, stream), login)
                }
            });
        }
    });
    port
}

/// Serves a node with a value for every key. Returns `None` after the client has gone.
fn talk(stream: impl Read + Write, login: Option<&[u8]>) -> Option<()> {
    let mut peer = BufReader::new(stream);
    let mut known = login.is_none();
    loop {
        let mut line = Vec::new();
        if peer.read_until(b'\n', &mut line).ok()? == 0 {
            return Some(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        let mut value = Vec::new();
        if let ["set", _, _, _, len] | ["ms", _, len, ..] = words[..] {
            value.resize(len.parse::<usize>().ok()? + 2, 0);
            peer.read_exact(&mut value).ok()?;
            value.truncate(value.len() - 2);
        }
        let answer = match words[..] {
            ["set", ..] if !known && login == Some(&value) => {
                known = true;
                "STORED\r\n"
            }
            ["set", ..] if !known => "CLIENT_ERROR authentication failure\r\n",
            _ if !known => "CLIENT_ERROR unauthenticated\r\n",
            ["set", ..] => "STORED\r\n",
            ["gets", key] => &format!("VALUE {key} 0 5 1\r\nvalue\r\nEND\r\n"),
            ["ms", ..] => "HD c1\r\n",
            ["delete", ..] => "DELETED\r\n",
            ["flush_all"] | ["refresh_certs"] => "OK\r\n",
            ["stats", ..] => "STAT curr_items 7\r\nEND\r\n",
            _ => "ERROR\r\n",
        };
        peer.get_mut().write_all(answer.as_bytes()).ok()?;
        peer.get_mut().flush().ok()?;
    }
}

const LOGIN: &[u8] = b"shop tr0ub4dor";

#[test]
fn every_command_goes_by_tls_and_logs_in() {
    let place = Place::with(Tls::On, Some(LOGIN));
    let secure = ["--tls-ca", "@ca.pem", "--auth-file", "@auth"];
    let run = |words: &[&str]| place.run(&[words, &secure].concat()).succeeds();
    assert_eq!(run(&["get", "k"]).out, "value");
    run(&["set", "k", "v"]);
    run(&["delete", "k"]);
    assert!(run(&["stats"]).out.contains('7'));
    run(&["flush", "--yes"]);
    assert_eq!(run(&["refresh-certs"]).out, "certificates reloaded on cache-a\n");
    // The node has no ring. It can report that only after a successful login.
    let ran = place.run(&[&["check"][..], &secure].concat());
    assert!(ran.code == 1 && ran.out.contains("no ring"), "{ran:?}");
}

#[test]
fn variables_do_as_well_as_flags_and_empty_ones_are_none() {
    let place = Place::with(Tls::Mutual, Some(LOGIN));
    let with = |variables: &[(&str, &str)]| {
        let mut command = of(&place.ring, &["get", "k"]);
        for (name, file) in variables {
            let value = if file.is_empty() { String::new() } else { place.file(file) };
            command.env(format!("RINGBINDER_{name}"), value);
        }
        Ran::of(&mut command)
    };
    let all = [
        ("TLS_CA", "ca.pem"),
        ("TLS_CERT", "app.pem"),
        ("TLS_KEY", "app.key"),
        ("AUTH_FILE", "auth"),
        ("TLS_NAME", ""),
    ];
    assert_eq!(with(&all).succeeds().out, "value");
    with(&[("TLS_CA", ""), ("TLS_CERT", ""), ("TLS_KEY", "")]).fails(76, &["--tls-ca FILE"]);
    // Without a CA file the system's CAs apply. These flags alone enable TLS.
    let mut command = of(&place.ring, &["get", "k", "--tls-cert", &place.file("app.pem")]);
    command.args(["--tls-key", &place.file("app.key"), "--auth-file", &place.file("auth")]);
    command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", place.file("ca.pem"));
    assert_eq!(Ran::of(&mut command).succeeds().out, "value");
    for (value, code) in [("1", 0), ("yes", 0), ("0", 76), ("false", 76), ("", 76)] {
        let place = Place::with(Tls::On, None);
        let mut command = of(&place.ring, &["get", "k"]);
        command.env("RINGBINDER_TLS", value).env("SSL_CERT_FILE", place.file("ca.pem"));
        assert_eq!(Ran::of(command.env_remove("SSL_CERT_DIR")).code, code, "{value:?}");
    }
}

#[test]
fn what_does_not_fit_is_one_line_with_advice() {
    let secure = Place::with(Tls::On, Some(LOGIN));
    let get = |place: &Place, words: &[&str]| place.run(&[&["get", "k"], words].concat());
    get(&secure, &[]).fails(76, &["cache-a", "it speaks TLS on this port", "--tls-ca FILE"]);
    get(&secure, &["--tls-ca", "@other.pem"]).fails(76, &["not from a CA", "--tls-ca FILE"]);
    get(&secure, &["--tls-ca", "@ca.pem"]).fails(77, &["requires a login", "--auth-file FILE"]);
    let wrong = ["--tls-ca", "@ca.pem", "--auth-file", "@wrong"];
    get(&secure, &wrong).fails(77, &["rejects the login of \"shop\""]);
    assert!(!get(&secure, &wrong).err.to_lowercase().contains("tr0ub4dor"));
    let ran = secure.run(&[&["check"][..], &wrong].concat());
    assert!(ran.code == 77 && ran.out.contains("no login"), "{ran:?}");
    let ran = secure.run(&["check"]);
    assert!(ran.code == 76 && ran.out.contains("no tls"), "{ran:?}");
    let ran = secure.run(&["check", "--json"]);
    assert_eq!(ran.json()["nodes"][0]["state"], "no_tls");

    let named = Place::with(Tls::ByName, None);
    let words = ["--tls-ca", "@ca.pem"];
    get(&named, &words).fails(76, &["not for 127.0.0.1 but for cache.example", "--tls-name HOST"]);
    get(&named, &[&words[..], &["--tls-name", "cache.example"]].concat()).succeeds();

    let mutual = Place::with(Tls::Mutual, None);
    get(&mutual, &words).fails(77, &["requires a client certificate", "--tls-cert FILE"]);

    let plain = Place::with(Tls::Off, None);
    // The server answers only if the handshake happens to contain a line break.
    let mut command = crate::command::command();
    command.args(["get", "k", "--timeout", "1", "--ring", &plain.ring]);
    let ran = Ran::of(command.args(["--tls-ca", &plain.file("ca.pem")]));
    assert!(ran.code == 76 || ran.code == 69, "{ran:?}");
    assert!(
        ran.err.contains("does not speak TLS") && ran.err.contains("leave out --tls"),
        "{ran:?}"
    );
}

#[test]
fn files_that_are_not_in_order_are_named() {
    let place = Place::with(Tls::On, None);
    let get = |words: &[&str]| place.run(&[&["get", "k"], words].concat());
    get(&["--tls-ca", "@none"]).fails(66, &["cannot read the CA file", "none"]);
    get(&["--tls-ca", "@auth"]).fails(65, &["the CA file", "auth has no certificate"]);
    get(&["--tls-cert", "@app.pem"]).fails(64, &["--tls-cert needs --tls-key FILE"]);
    get(&["--tls-key", "@app.key"]).fails(64, &["--tls-key needs --tls-cert FILE"]);
    let words = ["--tls-ca", "@ca.pem", "--tls-cert", "@ca.pem", "--tls-key", "@app.key"];
    get(&words).fails(65, &["app.key does not belong to the first certificate of", "ca.pem"]);
    get(&["--auth-file", "@none"]).fails(66, &["cannot read the auth file"]);
    let ran = get(&["--auth-file", "@app.key"]);
    ran.fails(65, &["the first line of the auth file", "is not user:password"]);
    get(&["--tls-ca", "@ca.pem", "--tls-name", "no name"])
        .fails(64, &["\"no name\" is neither a host name"]);
}
