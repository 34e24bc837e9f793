//! Sides that do not fit together: each fault is reported in one line that says who can act.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_client::{Login, OnAway, Stored, TlsFault, TlsVersion, Ttl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::node::{Manner, Node};
use crate::{client_of, connect, fault, trust};

#[tokio::test]
async fn certificates_that_are_not_to_be_trusted() {
    let (ca, other) = (Authority::new(), Authority::new());
    let node = Node::secure(ca.certify_in(&["127.0.0.1"], 2020..=2021).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    let why = fault(client.get("k-1").await);
    assert!(matches!(why, TlsFault::Expired(Some(since)) if since > Duration::from_secs(86400)));
    assert!(why.to_string().ends_with(" days ago: renew it there"), "{why}");

    let node = Node::secure(ca.certify_in(&["127.0.0.1"], 3999..=4000).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    assert_eq!(fault(client.get("k-1").await), TlsFault::NotYetValid);

    let node = Node::secure(other.certify(&["127.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    assert_eq!(fault(client.get("k-1").await), TlsFault::UnknownIssuer);

    let node = Node::secure(ca.certify(&["a.example", "10.0.0.1"]).server()).await;
    let client = connect(client_of(node.address()).tls(trust(&ca))).await;
    let why = fault(client.get("k-1").await);
    let presented = vec!["a.example".to_owned(), "10.0.0.1".to_owned()];
    assert_eq!(why, TlsFault::WrongName { expected: "127.0.0.1".to_owned(), presented });
    // Nothing was sent to any of them except the handshake.
    assert_eq!(node.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_fault_of_tls_is_an_absence_as_any_other() {
    let (ca, other) = (Authority::new(), Authority::new());
    let node = Node::secure(other.certify(&["127.0.0.1"]).server()).await;
    let builder = client_of(node.address()).tls(trust(&ca)).on_away(OnAway::Miss).retries(5);
    let client = connect(builder).await;
    assert_eq!(client.get("k-1").await.expect("a miss"), None);
    assert_eq!(client.set("k-1", "v", Ttl::Never).await.expect("no error"), Stored::Away);
    // The node rests: not every request checks an untrusted certificate again.
    assert!(node.accepted() <= 2, "{}", node.accepted());
}

#[tokio::test]
async fn clients_that_a_node_does_not_trust() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (own, foreign) = (ca.certify(&["app"]), other.certify(&["app"]));
    let late = ca.certify_in(&["app"], 2020..=2021);
    let identity = ca.certify(&["127.0.0.1"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let node = Node::secure(identity.server_with(&[version], Some(&ca))).await;
        let with = |tls| async {
            let client = connect(client_of(node.address()).tls(tls)).await;
            client.get("k-1").await
        };
        assert_eq!(fault(with(trust(&ca)).await), TlsFault::CertificateRequired);
        let why = fault(with(trust(&ca).certificate_pem(&foreign.chain, &foreign.key)).await);
        assert!(matches!(why, TlsFault::ClientCertificate(_)), "{why:?}");
        let why = fault(with(trust(&ca).certificate_pem(&late.chain, &late.key)).await);
        assert_eq!(why, TlsFault::ClientCertificate("it has expired".to_owned()));
        let found = with(trust(&ca).certificate_pem(&own.chain, &own.key)).await;
        assert!(found.expect("an answer").is_some());
        // With a login, the fault appears while the login is sent.
        let builder = client_of(node.address()).tls(trust(&ca));
        let client = connect(builder.login(Login::new("u", "p").expect("a login"))).await;
        assert_eq!(fault(client.get("k-1").await), TlsFault::CertificateRequired);
    }
}

#[tokio::test]
async fn versions_that_do_not_meet() {
    let ca = Authority::new();
    let server = ca.certify(&["127.0.0.1"]).server_with(&[&rustls::version::TLS12], None);
    let node = Node::secure(server).await;
    let tls = trust(&ca).min_version(TlsVersion::V1_3);
    let client = connect(client_of(node.address()).tls(tls)).await;
    let why = fault(client.get("k-1").await);
    assert!(matches!(why, TlsFault::NothingInCommon(_)), "{why:?}");
}

/// A server that sends these words to every client, or nothing.
async fn says(words: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await.is_ok_and(|len| len > 0) {
                    stream.write_all(words.as_bytes()).await.ok();
                    if words.is_empty() {
                        continue;
                    }
                    break;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_plain_node_is_told_from_a_node_with_tls() {
    let ca = Authority::new();
    for words in ["ERROR\r\n", "CLIENT_ERROR bad command line format\r\n", "220 mail\r\n"] {
        let client = connect(client_of(says(words).await).tls(trust(&ca))).await;
        assert_eq!(fault(client.get("k-1").await), TlsFault::NotTls, "{words}");
    }
    // A server that waits for a line end, which a handshake does not contain.
    let allowed = Duration::from_millis(200);
    let client = connect(client_of(says("").await).tls(trust(&ca)).timeout(allowed)).await;
    assert_eq!(fault(client.get("k-1").await), TlsFault::Late(allowed));
    // A server that closes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let client = connect(client_of(address).tls(trust(&ca))).await;
    assert_eq!(fault(client.get("k-1").await), TlsFault::Closed);
}

#[tokio::test]
async fn a_node_with_tls_is_told_from_a_plain_one() {
    let ca = Authority::new();
    let tls = Some(ca.certify(&["127.0.0.1"]).server());
    let node = Node::start(Manner { tls, ..Manner::default() }).await;
    let client = |login: Option<Login>| async {
        let builder = client_of(node.address());
        connect(login.into_iter().fold(builder, |builder, login| builder.login(login))).await
    };
    assert_eq!(fault(client(None).await.get("k-1").await), TlsFault::OnlyTls);
    assert_eq!(fault(client(None).await.set("k", "v", Ttl::Never).await), TlsFault::OnlyTls);
    // Any line would be a valid answer to it.
    assert_eq!(fault(client(None).await.nodes()[0].version().await), TlsFault::OnlyTls);
    let login = Login::new("u", "p").expect("a login");
    assert_eq!(fault(client(Some(login)).await.get("k-1").await), TlsFault::OnlyTls);
    // A Ringbinder node reports it in words.
    let words = "CLIENT_ERROR this port speaks TLS only: connect with it\r\n";
    let client = connect(client_of(says(words).await)).await;
    assert_eq!(fault(client.get("k-1").await), TlsFault::OnlyTls);
    let client = connect(client_of(says(words).await)).await;
    assert_eq!(fault(client.nodes()[0].version().await), TlsFault::OnlyTls);
    // Other servers send other alerts, some of which are a line (10 is an unexpected message).
    for alert in ["\x15\x03\x01\x00\x02\x02\x46", "\x15\x03\x03\x00\x02\x02\x0a"] {
        let address = says(alert).await;
        let client = connect(client_of(address)).await;
        assert_eq!(fault(client.get("k-1").await), TlsFault::OnlyTls);
        let client = connect(client_of(says(alert).await)).await;
        assert_eq!(fault(client.nodes()[0].version().await), TlsFault::OnlyTls);
    }
}

#[tokio::test]
async fn a_host_that_no_certificate_is_for() {
    let ca = Authority::new();
    let node = Node::secure(ca.certify(&["127.0.0.1"]).server()).await;
    let tls = trust(&ca).server_name("no name");
    let error = client_of(node.address()).tls(tls).connect().await.expect_err("no name");
    assert!(error.to_string().starts_with("\"no name\" is neither a host name"), "{error}");
    drop(Arc::new(node));
}
