//! Tests with certificates and keys of every kind, as `openssl` makes them: of listeners, of clients, and of
//! authorities. A refusal is one line that says what was refused and how to make an acceptable one.

use std::path::Path;

use ringbinder_tests::server::scratch;
use ringbinder_tests::{Kind, Server};

use super::await_log;
use super::certs::{Files, write};
use super::client::Dial;
use super::command::Ran;
use super::fleet::{Fleet, Setup};
use super::openssl::{Authority, GOOD, Key, REFUSED, Version, client, key, openssl, text};
use super::ring::misfit;
use super::start::run;

const P256: &Key = &GOOD[4];

/// Asserts that a text contains no identifiers from the code of libraries.
#[track_caller]
fn is_for_people(text: &str) {
    for code in ["Other(", "OtherError", "UnsupportedCert", "InvalidCert", "CaUsed", "PeerIncom"] {
        assert!(!text.contains(code), "{text}");
    }
}

/// The result of `--check-config`: exit code and standard error.
fn check(files: &Files) -> (Option<i32>, String) {
    let (code, _, error) = run(&["-Z", "-o", &files.options(), "--check-config"]);
    is_for_people(&error);
    (code, error)
}

fn start(files: &Files, more: &[&str]) -> Server {
    let options = files.options();
    let arguments = [&["-Z", "-o", &options], more].concat();
    Server::start(Kind::Ringbinder, &arguments)
}

/// Tests all versions of each kind of key; the last certificate is one of version 1. The client is OpenSSL's,
/// as in most clients, and also rustls's if that accepts the certificate.
#[test]
fn a_node_shows_every_kind_of_certificate() {
    let dir = scratch();
    let authority = Authority::new(dir.path(), P256, Version::V3);
    for kind in &GOOD {
        let key = key(dir.path(), kind);
        for version in [Version::V3, Version::V1] {
            let files = authority.issue(dir.path(), &key, version);
            let (code, warned) = check(&files);
            let old = "is X.509 version 1, which cannot hold names";
            assert_eq!(code, Some(0), "{} {version:?}: {warned}", kind.name);
            assert_eq!(warned.contains(old), version == Version::V1, "{}: {warned}", kind.name);
            assert!(warned.is_empty() || warned.contains("-extfile /dev/stdin"), "{warned}");
            let server = start(&files, &["-o", "ssl_verify_mode=2"]);
            let shown = ["-cert", text(&files.chain), "-key", text(&key)];
            let served = client(server.address(), &files.authority, &shown);
            if version == Version::V3 {
                assert_eq!(served, Ok(()), "{}", kind.name);
                let dial = Dial::trusting(&files.authority).showing(&files);
                dial.connect(server.address()).unwrap().talk("get a\r\n", "END\r\n");
            } else {
                // Such a client certificate is not usable (RFC 5246, 7.4.6; RFC 8446, 4.4.2.3).
                assert!(served.is_err(), "{}", kind.name);
                await_log(&server, "its certificate, or one above it, is X.509 version 1");
                is_for_people(&server.log());
            }
            drop(server);
            if version == Version::V1 {
                let server = start(&files, &[]);
                assert_eq!(
                    client(server.address(), &files.authority, &[]),
                    Ok(()),
                    "{}",
                    kind.name
                );
            }
        }
    }
}

#[test]
fn a_key_of_another_kind_is_named() {
    let dir = scratch();
    let authority = Authority::new(dir.path(), P256, Version::V3);
    for (kind, name) in
        REFUSED.iter().zip(["an RSA key of 1024 bits", "an RSA-PSS key", "an Ed448 key"])
    {
        let key = key(dir.path(), kind);
        for version in [Version::V1, Version::V3] {
            let (code, error) = check(&authority.issue(dir.path(), &key, version));
            let line = format!("{} holds {name}, which is not accepted: RSA keys of", text(&key));
            assert_eq!(code, Some(78), "{error}");
            assert!(error.contains(&line) && error.lines().count() == 1, "{error}");
            assert!(error.contains("`openssl genpkey -algorithm EC"), "{error}");
        }
        // A client with such a certificate.
        let good = authority.issue(dir.path(), &self::key(dir.path(), P256), Version::V3);
        let files = authority.issue(dir.path(), &key, Version::V3);
        let server = start(&good, &["-o", "ssl_verify_mode=2"]);
        let shown =
            ["-cipher", "DEFAULT@SECLEVEL=0", "-cert", text(&files.chain), "-key", text(&key)];
        assert!(client(server.address(), &files.authority, &shown).is_err(), "{name}");
        await_log(&server, "in its TLS handshake: it");
        is_for_people(&server.log());
    }
}

#[test]
fn authorities_of_every_kind() {
    for (kind, version) in [
        (&GOOD[0], Version::V1),
        (&GOOD[2], Version::V3),
        (&GOOD[6], Version::V3),
        (&GOOD[6], Version::V1),
    ] {
        let dir = scratch();
        let authority = Authority::new(dir.path(), kind, version);
        let files = authority.issue(dir.path(), &key(dir.path(), P256), Version::V3);
        assert_eq!(check(&files), (Some(0), String::new()), "{} {version:?}", kind.name);
        let server = start(&files, &["-o", "ssl_verify_mode=2"]);
        let dial = Dial::trusting(&files.authority).showing(&files);
        dial.connect(server.address()).unwrap().talk("get a\r\n", "END\r\n");
    }
}

/// `openssl req -x509` makes an authority's certificate. Many users start with one.
#[test]
fn an_authority_s_certificate_is_pointed_out() {
    let dir = scratch();
    let key = key(dir.path(), P256);
    let own = |name: &str, more: &[&str]| {
        let chain = dir.path().join(name);
        let words = ["req", "-x509", "-new", "-days", "365", "-subj", "/CN=a", "-key", text(&key)];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", text(&chain)];
        openssl(&[&words[..], &names, more].concat());
        Files { authority: chain.clone(), chain, key: key.clone() }
    };
    let files = own("ca.pem", &[]);
    let (code, warned) = check(&files);
    assert_eq!(code, Some(0), "{warned}");
    assert!(warned.contains("is that of an authority (CA:TRUE)"), "{warned}");
    assert!(warned.contains("-addext basicConstraints=critical,CA:FALSE"), "{warned}");
    let server = start(&files, &[]);
    assert_eq!(client(server.address(), &files.authority, &[]), Ok(()));
    // The certificate that the line recommends is accepted everywhere.
    let files = own("good.pem", &["-addext", "basicConstraints=critical,CA:FALSE"]);
    assert_eq!(check(&files), (Some(0), String::new()));
    let server = start(&files, &["-o", "ssl_verify_mode=2"]);
    let dial = Dial::trusting(&files.authority).showing(&files);
    dial.connect(server.address()).unwrap().talk("get a\r\n", "END\r\n");
}

#[test]
fn nodes_and_tools_that_are_shown_such_a_certificate() {
    let sub = scratch();
    let pair = |name: &str, more: &[&str]| {
        let path = |end: &str| sub.path().join(format!("{name}.{end}"));
        let key = key(sub.path(), P256);
        let (request, chain) = (path("csr"), path("pem"));
        let words = ["req", "-new", "-subj", "/CN=a", "-key", text(&key)];
        openssl(&[&words[..], &["-out", text(&request)]].concat());
        if more.is_empty() {
            let words = ["x509", "-req", "-in", text(&request), "-signkey", text(&key)];
            openssl(&[&words[..], &["-out", text(&chain)]].concat());
        } else {
            openssl(&[&words[..], &["-x509", "-out", text(&chain)], more].concat());
        }
        (chain, key)
    };
    let names = "subjectAltName=IP:127.0.0.1";
    for (name, more, says) in [
        ("v1", &[][..], "is X.509 version 1, which cannot hold names"),
        (
            "ca",
            &["-addext", names],
            "is that of an authority (CA:TRUE), which is only for signing others",
        ),
    ] {
        let (chain, key) = pair(name, more);
        let line = format!("TLS failed: its certificate, or one above it, {says}");
        let adjust = |fleet: &Fleet, setup: &mut Setup| {
            let authority = fleet.authority.file.clone();
            setup.files = Some(Files { chain, key, authority });
        };
        let fleet = misfit(adjust, &line);
        is_for_people(&fleet.server(0).log());
        is_for_people(&fleet.server(1).log());
        let users = write(&fleet.dir().join("auth"), "web:two\n");
        let flags = [("--tls-ca", text(&fleet.authority.file)), ("--auth-file", text(&users))];
        for words in [&["stats"][..], &["check"], &["top", "--once", "--interval", "0.1"]] {
            let ran = Ran::of(&fleet.ring(), words, &flags);
            let all = format!("{}{}", ran.out, ran.err);
            is_for_people(&all);
            // A table may wrap the line.
            let flat = all.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(says), "{words:?}: {all}");
        }
    }
}

#[test]
fn files_of_every_form() {
    let dir = scratch();
    let authority = Authority::new(dir.path(), P256, Version::V3);
    let path = |name: &str| dir.path().join(name);
    for (kind, old) in [(&GOOD[0], "rsa"), (P256, "ec")] {
        let key = key(dir.path(), kind);
        let files = authority.issue(dir.path(), &key, Version::V3);
        let v1 = authority.issue(dir.path(), &key, Version::V1);
        let with_key = |key: &Path| Files { key: key.to_owned(), ..files.clone() };
        let with_chain = |chain: &Path| Files { chain: chain.to_owned(), ..files.clone() };
        let convert = |name: &str, more: &[&str]| {
            let out = write(&path(name), "");
            openssl(&[&[old, "-in", text(&key), "-out", text(&out)], more].concat());
            out
        };
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();

        // PKCS#1 or SEC1 instead of PKCS#8; text before it; line breaks of another system.
        let traditional =
            convert("traditional", if old == "rsa" { &["-traditional"] } else { &[] });
        let around = format!("Bag Attributes\n    friendlyName: a\n{}", read(&key));
        let around = write(&path("around"), &around);
        let crlf = write(&path("crlf"), &read(&key).replace('\n', "\r\n"));
        for key in [&traditional, &around, &crlf] {
            assert_eq!(check(&with_key(key)), (Some(0), String::new()), "{key:?}");
        }
        let described = openssl(&["x509", "-in", text(&files.chain), "-text"]);
        let described = write(&path("described"), &String::from_utf8(described).unwrap());
        let crlf = write(&path("crlf.pem"), &read(&files.chain).replace('\n', "\r\n"));
        for chain in [&described, &crlf] {
            assert_eq!(check(&with_chain(chain)), (Some(0), String::new()), "{chain:?}");
        }

        // Keys that are refused.
        let password = ["-aes128", "-passout", "pass:secret"];
        let encrypted = write(&path("encrypted"), "");
        let names = ["-in", text(&key), "-out", text(&encrypted)];
        openssl(&[&["pkcs8", "-topk8", "-passout", "pass:secret"], &names[..]].concat());
        let more: &[&str] = if old == "rsa" { &["-traditional"] } else { &[] };
        let old_encrypted = convert("old-encrypted", &[&password[..], more].concat());
        let der = convert("der.key", &["-outform", "DER"]);
        let public = convert("public", &["-pubout"]);
        let empty = write(&path("empty"), "");
        let sub = path("other");
        std::fs::create_dir_all(&sub).unwrap();
        let foreign = self::key(&sub, kind);
        for (key, line) in [
            (&encrypted, "encrypted is encrypted: write it without its passphrase"),
            (&old_encrypted, "old-encrypted is encrypted: write it without its passphrase"),
            (
                &der,
                "der.key is not a PEM file but a binary one (DER or PKCS#12): convert it to PEM",
            ),
            (&public, "public holds no private key in PEM form, but this: PUBLIC KEY"),
            (&empty, "empty is empty"),
            (&foreign, "is not that of the certificate in"),
        ] {
            let (code, error) = check(&with_key(key));
            assert!(code == Some(78) && error.lines().count() == 1, "{line}: {error}");
            assert!(error.contains(line), "{line}: {error}");
        }
        // A version 1 certificate with another certificate's key is refused too.
        let (code, error) = check(&Files { key: foreign.clone(), ..v1 });
        assert!(code == Some(78) && error.contains("is not that of the certificate in"), "{error}");
        let der = path("der.pem");
        openssl(&["x509", "-in", text(&files.chain), "-outform", "DER", "-out", text(&der)]);
        let trusted = path("trusted.pem");
        openssl(&["x509", "-in", text(&files.chain), "-trustout", "-out", text(&trusted)]);
        for (chain, line) in [
            (
                &der,
                "der.pem is not a PEM file but a binary one (DER or PKCS#12): convert it to PEM",
            ),
            (&trusted, "holds no certificate in PEM form, but this: TRUSTED CERTIFICATE"),
            (&empty, "empty is empty"),
            (&key, "holds no certificate in PEM form, but this: PRIVATE KEY"),
        ] {
            let (code, error) = check(&with_chain(chain));
            assert!(code == Some(78) && error.lines().count() == 1, "{line}: {error}");
            assert!(error.contains(line), "{line}: {error}");
        }
    }
}
