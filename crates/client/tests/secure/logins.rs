//! Logins: sent first, and nothing else before the node accepts.

use ringbinder_client::{Absence, Error, Login, OnAway, Ttl};

use crate::authority::Authority;
use crate::node::{Manner, Node};
use crate::{client_of, connect, trust, until};

const PASSWORD: &str = "tr0ub4dor";

/// Whether an error is the expected one.
type Fits<'f> = &'f dyn Fn(&Error) -> bool;

fn login() -> Login {
    Login::new("shop", PASSWORD).expect("a login")
}

fn manner() -> Manner {
    Manner { login: Some("shop tr0ub4dor"), ..Manner::default() }
}

#[tokio::test]
async fn it_is_the_first_thing_on_every_connection() {
    let ca = Authority::new();
    let tls = Some(ca.certify(&["127.0.0.1"]).server());
    for (manner, tls) in [(manner(), None), (Manner { tls, ..manner() }, Some(trust(&ca)))] {
        let node = Node::start(manner).await;
        for _ in 0..3 {
            let builder = client_of(node.address()).login(login());
            let builder = tls.iter().fold(builder, |builder, tls| builder.tls(tls.clone()));
            let client = connect(builder).await;
            assert!(client.get("k-3").await.expect("an answer").is_some());
            assert!(client.get("k-4").await.expect("an answer").is_some());
        }
        let each = ["set auth 0 -1 14", "get k-3", "get k-4"];
        assert_eq!(node.heard(), [each; 3].concat());
    }
}

#[tokio::test]
async fn a_wrong_one_is_said_once_and_told_as_what_it_is() {
    let node = Node::start(manner()).await;
    for on_away in [OnAway::Error, OnAway::Miss] {
        let before = node.accepted();
        let wrong = Login::new("shop", "Tr0ub4dor").expect("a login");
        let builder = client_of(node.address()).login(wrong).retries(5).on_away(on_away);
        let client = connect(builder).await;
        tokio::time::pause();
        for _ in 0..100 {
            let error = client.get("k-3").await.expect_err("a wrong password");
            let Error::Unauthenticated { node: named, user } = &error else { panic!("{error:?}") };
            assert_eq!(user.as_deref(), Some("shop"));
            assert!(named.contains(&node.address()), "{named}");
            let text = format!("{error} {error:?} {client:?}");
            assert!(!text.to_lowercase().contains(PASSWORD), "{text}");
        }
        tokio::time::resume();
        assert_eq!(node.accepted(), before + 1);
    }
    // The node received nothing else.
    assert!(node.heard().iter().all(|line| line == "set auth 0 -1 14"), "{:?}", node.heard());
}

#[tokio::test]
async fn a_login_that_is_granted_later_is_found_out() {
    let node = Node::start(Manner { login: Some("shop old"), ..Manner::default() }).await;
    let client = connect(client_of(node.address()).login(login())).await;
    assert!(matches!(client.get("k-3").await, Err(Error::Unauthenticated { .. })));
    node.change(|manner| manner.login = Some("shop tr0ub4dor"));
    let found = async {
        while let Err(error) = client.get("k-3").await {
            assert!(matches!(error, Error::Unauthenticated { .. }), "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, found).await.expect("granted");
}

#[tokio::test]
async fn a_client_without_one_is_told_that_it_is_asked_for() {
    let node = Node::start(manner()).await;
    let client = connect(client_of(node.address())).await;
    for error in [
        client.get("k-3").await.expect_err("no login"),
        client.set("k", "v", Ttl::Never).await.expect_err("no login"),
        client.nodes()[0].version().await.expect_err("no login"),
    ] {
        assert!(matches!(error, Error::Unauthenticated { user: None, .. }), "{error:?}");
        assert!(error.to_string().ends_with("requires a login, and this client has none"));
    }
}

#[tokio::test]
async fn a_node_that_asks_for_none_does_not_keep_it() {
    let node = Node::start(Manner::default()).await;
    let client = connect(client_of(node.address()).login(login())).await;
    assert!(client.get("k-3").await.expect("an answer").is_some());
    // A value that expires at once (protocol.txt, "Storage commands").
    assert_eq!(node.heard()[0], "set auth 0 -1 14");
}

#[tokio::test]
async fn other_answers_are_told_apart_and_give_nothing_away() {
    let refused: fn(&Error) -> bool = |error| matches!(error, Error::Unauthenticated { .. });
    let nonsense: fn(&Error) -> bool = |error| matches!(error, Error::Nonsense { .. });
    let away = |why: Absence| move |error: &Error| matches!(error, Error::Away { why: is, .. } if *is == why);
    let (full, closed) = (away(Absence::Full), away(Absence::Closed));
    let cases: [(&str, Fits<'_>); 7] = [
        ("CLIENT_ERROR authentication failure\r\n", &refused),
        ("CLIENT_ERROR shop tr0ub4dor\r\n", &refused),
        ("ERROR Too many open connections\r\n", &full),
        ("shop tr0ub4dor\r\n", &nonsense),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", &nonsense),
        ("STORED\r\nSTORED\r\n", &nonsense),
        ("", &closed),
    ];
    for (retort, fits) in cases {
        let node = Node::start(Manner { retort: Some(retort), ..Manner::default() }).await;
        let client = connect(client_of(node.address()).login(login()).retries(0)).await;
        let error = client.get("k-3").await.expect_err("no login");
        assert!(fits(&error), "{retort:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
        drop(client);
        until("one login", || node.heard().len() == 1).await;
    }
}

#[test]
fn a_file_gives_its_first_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("auth");
    let of = |text: &[u8]| {
        std::fs::write(&path, text).expect("a file");
        Login::from_file(&path).map(|login| login.user().to_owned())
    };
    for good in [&b"shop:tr0ub4dor\n"[..], b"shop:tr0ub4dor", b"\n\r\nshop:a b:c\r\nother:x\n"] {
        assert_eq!(of(good).expect("a login"), "shop");
    }
    assert_eq!(Login::from_file(&path).ok(), Login::new("shop", "a b:c").ok());
    for bad in [&b""[..], b"\n\n", b"tr0ub4dor\n", b":x\n", b"shop:\n", b"sh op:x", b"\xff:x"] {
        let error = of(bad).expect_err("no login").to_string();
        assert!(error.contains("is not user:password"), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(!error.contains("tr0ub4dor"), "{error}");
    }
    let error = Login::from_file(folder.path().join("none")).expect_err("no file").to_string();
    assert!(error.starts_with("cannot read the auth file "), "{error}");
}
