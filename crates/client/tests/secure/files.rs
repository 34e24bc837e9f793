//! Files of certificates: faults in each, and new files while a client runs.

use std::path::{Path, PathBuf};

use ringbinder_client::{Client, ConnectError, Tls, TlsError, TlsPart};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::node::Node;
use crate::{client_of, connect, fault};

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

async fn error_of(tls: Tls) -> TlsError {
    match Client::with_servers(["127.0.0.1:1"]).tls(tls).connect().await {
        Err(ConnectError::Tls(error)) => error,
        other => panic!("no error of TLS: {other:?}"),
    }
}

fn path_of(error: &TlsError) -> Option<(TlsPart, &Path)> {
    let file = match error {
        TlsError::Unreadable { file, .. }
        | TlsError::Pem { file, .. }
        | TlsError::Nothing { file }
        | TlsError::EncryptedKey { file }
        | TlsError::Certificate { file, .. }
        | TlsError::Key { file, .. }
        | TlsError::OtherKey { key: file, .. } => file,
        _ => return None,
    };
    Some((file.part, file.path.as_deref()?))
}

#[tokio::test]
async fn each_mistake_is_told_with_its_file() {
    let folder = Folder::new();
    let ca = Authority::new();
    let (own, other) = (ca.certify(&["app"]), ca.certify(&["app"]));
    let good_ca = folder.write("ca", &ca.pem);
    let (chain, key) = (folder.write("chain", &own.chain), folder.write("key", &own.key));
    let other_key = folder.write("other key", &other.key);
    let missing = folder.0.path().join("missing");
    let text = folder.write("text", "hello\n");
    let cut = folder.write("cut", &ca.pem[..ca.pem.len() - 40]);
    let no_base64 = folder.write("no base64", ca.pem.replacen("MII", "M!!", 1));
    let no_der = folder
        .write("no der", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    let second = folder.write(
        "second",
        format!("{}-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", ca.pem),
    );
    let encrypted = folder.write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let no_key = folder
        .write("no key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let (cas, chains, keys) = (TlsPart::Ca, TlsPart::Chain, TlsPart::Key);
    let with =
        |chain: &PathBuf, key: &PathBuf| Tls::new().ca_file(&good_ca).certificate_files(chain, key);
    for (tls, part, path, says) in [
        (Tls::new().ca_file(&missing), cas, &missing, "cannot read the CA file"),
        (Tls::new().ca_file(folder.0.path()), cas, &folder.0.path().to_owned(), "cannot read"),
        (Tls::new().ca_file(&text), cas, &text, "has no certificate"),
        (Tls::new().ca_file(&key), cas, &key, "has no certificate"),
        (Tls::new().ca_file(&good_ca).ca_file(&cut), cas, &cut, "-----END"),
        (Tls::new().ca_file(&no_base64), cas, &no_base64, "no base64"),
        (Tls::new().ca_file(&no_der), cas, &no_der, "certificate 1 of the CA file"),
        (Tls::new().ca_file(&second), cas, &second, "certificate 2 of the CA file"),
        (with(&missing, &key), chains, &missing, "cannot read the certificate file"),
        (with(&key, &key), chains, &key, "has no certificate"),
        (with(&no_der, &key), chains, &no_der, "certificate 1 of"),
        (with(&chain, &missing), keys, &missing, "cannot read the key file"),
        (with(&chain, &chain), keys, &chain, "has no private key"),
        (with(&chain, &encrypted), keys, &encrypted, "is encrypted"),
        (with(&chain, &no_key), keys, &no_key, "holds a key of an unknown kind, which is not"),
        (with(&chain, &other_key), keys, &other_key, "does not belong to the first certificate"),
    ] {
        let error = error_of(tls).await;
        assert_eq!(path_of(&error), Some((part, path.as_path())), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(says) && !text.contains('\n'), "{text}");
        assert!(!text.contains("c2VjcmV0") && !text.contains("secret"), "{text}");
    }
    let error = error_of(Tls::new().ca_pem("hello")).await.to_string();
    assert!(error.starts_with("the CA given as bytes has no certificate"), "{error}");
    let shown = format!("{:?}", Tls::new().certificate_pem(&own.chain, &own.key));
    assert!(!shown.contains("PRIVATE KEY") && shown.contains("bytes"), "{shown}");
}

#[tokio::test]
async fn new_files_are_taken_up_for_new_connections() {
    let folder = Folder::new();
    let (old, new) = (Authority::new(), Authority::new());
    let path = folder.write("ca", &old.pem);
    let node = Node::secure(old.certify(&["127.0.0.1"]).server()).await;
    let builder = client_of(node.address()).tls(Tls::new().ca_file(&path));
    let client = connect(builder.clone()).await;
    client.get("k-1").await.expect("an answer");
    let server = new.certify(&["127.0.0.1"]).server();
    node.change(|manner| manner.tls = Some(server));
    // Invalid files change nothing.
    folder.write("ca", "hello");
    assert!(matches!(client.reload_certificates(), Err(TlsError::Nothing { .. })));
    folder.write("ca", &new.pem);
    client.reload_certificates().expect("a good file");
    // The open connection is still usable.
    client.get("k-1").await.expect("an answer");
    assert_eq!(node.accepted(), 1);
    // The builder reads the file for each client; a client without TLS reads none.
    connect(builder).await.get("k-1").await.expect("an answer");
    assert!(connect(client_of("127.0.0.1:1")).await.reload_certificates().is_ok());
}

#[tokio::test]
async fn a_client_that_runs_trusts_what_it_was_told_last() {
    let folder = Folder::new();
    let (old, new) = (Authority::new(), Authority::new());
    let path = folder.write("ca", &old.pem);
    let node = Node::secure(new.certify(&["127.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(Tls::new().ca_file(&path))).await;
    fault(client.get("k-1").await);
    folder.write("ca", &new.pem);
    client.reload_certificates().expect("a good file");
    let found = async {
        while client.get("k-1").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, found).await.expect("trusted");
}

/// Runs `openssl` in a folder.
#[track_caller]
fn openssl(folder: &Folder, arguments: &str) {
    let mut command = std::process::Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder.0.path());
    let output = command.output().expect("openssl");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {error}");
}

#[tokio::test]
async fn files_as_openssl_makes_them() {
    let folder = Folder::new();
    let path = |name: &str| folder.0.path().join(name);
    let kinds = [
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048", None),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521", None),
        ("short", "RSA -pkeyopt rsa_keygen_bits:1024", Some("an RSA key of 1024 bits")),
        ("pss", "RSA-PSS -pkeyopt rsa_keygen_bits:2048", Some("an RSA-PSS key")),
        ("ed448", "ED448", Some("an Ed448 key")),
    ];
    for (name, algorithm, refused) in kinds {
        openssl(&folder, &format!("genpkey -out {name}.key -algorithm {algorithm}"));
        openssl(&folder, &format!("req -x509 -new -key {name}.key -subj /CN=a -out {name}.pem"));
        let (chain, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        let tls = Tls::new().ca_file(path("rsa.pem")).certificate_files(&chain, &key);
        let Some(refused) = refused else {
            connect(client_of("127.0.0.1:1").tls(tls)).await;
            continue;
        };
        let error = error_of(tls).await;
        assert_eq!(path_of(&error), Some((TlsPart::Key, key.as_path())));
        let text = error.to_string();
        assert!(text.contains(&format!("holds {refused}, which is not accepted")), "{text}");
    }

    openssl(&folder, "req -new -key rsa.key -subj /CN=a -out rsa.csr");
    openssl(&folder, "x509 -req -in rsa.csr -signkey rsa.key -out v1.pem");
    // As a CA it is valid.
    connect(client_of("127.0.0.1:1").tls(Tls::new().ca_file(path("v1.pem")))).await;
    let with = |chain: &str, key: &str| Tls::new().certificate_files(path(chain), path(key));
    openssl(&folder, "x509 -in rsa.pem -outform DER -out der.pem");
    openssl(&folder, "rsa -in rsa.key -traditional -aes128 -passout pass:x -out old.key");
    folder.write("empty", "");
    for (tls, part, name, says) in [
        (with("v1.pem", "rsa.key"), TlsPart::Chain, "v1.pem", "is X.509 version 1, which"),
        (with("v1.pem", "p521.key"), TlsPart::Key, "p521.key", "does not belong to the first"),
        (
            with("der.pem", "rsa.key"),
            TlsPart::Chain,
            "der.pem",
            "is not a PEM file but a binary one",
        ),
        (with("rsa.pem", "old.key"), TlsPart::Key, "old.key", "is encrypted"),
        (with("rsa.pem", "empty"), TlsPart::Key, "empty", "has no private key"),
    ] {
        let error = error_of(tls.ca_file(path("rsa.pem"))).await;
        assert_eq!(path_of(&error), Some((part, path(name).as_path())), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(says) && !text.contains("Other("), "{text}");
    }
}
