//! Certificates and keys made by `openssl`, and its client: common tools of users, and the library of
//! memcached.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::certs::{Files, write};

/// A kind of key, with its arguments for `openssl genpkey`.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
}

/// Kinds of key that are accepted.
pub(crate) const GOOD: [Key; 8] = [
    Key { name: "rsa-2048", arguments: &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] },
    Key { name: "rsa-3072", arguments: &["RSA", "-pkeyopt", "rsa_keygen_bits:3072"] },
    Key { name: "rsa-4096", arguments: &["RSA", "-pkeyopt", "rsa_keygen_bits:4096"] },
    Key { name: "rsa-8192", arguments: &["RSA", "-pkeyopt", "rsa_keygen_bits:8192"] },
    Key { name: "p-256", arguments: &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"] },
    Key { name: "p-384", arguments: &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"] },
    Key { name: "p-521", arguments: &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"] },
    Key { name: "ed25519", arguments: &["ED25519"] },
];

/// Kinds of key that are refused.
pub(crate) const REFUSED: [Key; 3] = [
    Key { name: "rsa-1024", arguments: &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"] },
    Key { name: "rsa-pss", arguments: &["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"] },
    Key { name: "ed448", arguments: &["ED448"] },
];

/// The X.509 version of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Without extensions, and so without names. `openssl x509 -req` makes such a certificate if it is given
    /// no extensions.
    V1,
    /// With the name `127.0.0.1`.
    V3,
}

/// Runs `openssl` and returns its output.
#[track_caller]
pub(crate) fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("openssl");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    output.stdout
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// Makes a key of this kind.
pub(crate) fn key(dir: &Path, kind: &Key) -> PathBuf {
    let path = write(&dir.join(format!("{}.key", kind.name)), "");
    let mut arguments = vec!["genpkey", "-out", text(&path), "-algorithm"];
    arguments.extend(kind.arguments);
    openssl(&arguments);
    path
}

/// An authority, whose certificate is of version 3 or, like very old ones, of version 1.
pub(crate) struct Authority {
    pub(crate) certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path, kind: &Key, version: Version) -> Authority {
        let sub = dir.join("authority");
        std::fs::create_dir_all(&sub).expect("our own directory");
        let key = key(&sub, kind);
        let (certificate, request) = (sub.join("ca.pem"), sub.join("ca.csr"));
        let request_of: &[&str] = &["req", "-new", "-key", text(&key), "-subj", "/CN=authority"];
        if version == Version::V3 {
            openssl(&[request_of, &["-x509", "-days", "365", "-out", text(&certificate)]].concat());
        } else {
            openssl(&[request_of, &["-out", text(&request)]].concat());
            let (request, key, out) = (text(&request), text(&key), text(&certificate));
            openssl(&[
                "x509", "-req", "-in", request, "-signkey", key, "-days", "365", "-out", out,
            ]);
        }
        Authority { certificate, key }
    }

    /// Issues a certificate for a key. Returns the files of both.
    pub(crate) fn issue(&self, dir: &Path, key: &Path, version: Version) -> Files {
        let name = key.file_stem().and_then(|name| name.to_str()).expect("a name");
        let path = |end: &str| dir.join(format!("{name}-{version:?}.{end}"));
        let (request, chain) = (path("csr"), path("pem"));
        let subject = format!("/CN={name}");
        openssl(&["req", "-new", "-key", text(key), "-subj", &subject, "-out", text(&request)]);
        let (own, its_key) = (text(&self.certificate), text(&self.key));
        let mut arguments = vec!["x509", "-req", "-in", text(&request), "-CA", own];
        arguments.extend(["-CAkey", its_key, "-CAcreateserial", "-days", "365", "-out"]);
        arguments.push(text(&chain));
        let extensions = write(&path("ext"), "subjectAltName=IP:127.0.0.1\n");
        if version == Version::V3 {
            arguments.extend(["-extfile", text(&extensions)]);
        }
        openssl(&arguments);
        Files { chain, key: key.to_owned(), authority: self.certificate.clone() }
    }
}

/// Asks a node for its version with `openssl s_client`. Returns the client's error output if that fails.
pub(crate) fn client(address: SocketAddr, authority: &Path, more: &[&str]) -> Result<(), String> {
    let address = address.to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &address, "-CAfile"]);
    command.arg(authority).args(more).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("openssl");
    // The client may have exited already.
    let _ = std::io::Write::write_all(
        &mut running.stdin.take().expect("a pipe"),
        b"version\r\nquit\r\n",
    );
    let output = running.wait_with_output().expect("its end");
    if output.stdout.starts_with(b"VERSION ") {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
