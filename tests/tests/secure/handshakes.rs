//! Tests of failed handshakes: the client and the operator learn the reason.

use std::io::Read as _;
use std::net::TcpStream;

use rcgen::ExtendedKeyUsagePurpose;
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Conn, Kind, Server, wait};

use super::certs::Authority;
use super::client::{Client, Dial, OLD};
use super::{addresses, await_log, pair, start, start_on, stat};

/// The error of a client's connection, during the handshake or at the first answer.
fn refusal(dial: &Dial<'_>, address: std::net::SocketAddr) -> String {
    let failed = dial.connect(address).and_then(|mut client| {
        client.try_send(b"get a\r\n")?;
        let (answer, end) = client.try_rest();
        assert!(answer.is_empty(), "served: {answer:?}");
        end
    });
    failed.expect_err("the connection should have failed").to_string()
}

#[test]
fn clients_show_certificates_where_they_are_asked_to() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let stranger = Authority::new(dir.path(), "stranger");
    let known = authority.issue(dir.path(), "known", &["client"]);
    let unknown = stranger.issue(dir.path(), "unknown", &["client"]);
    let expired = authority.issue_expired(dir.path(), "expired", &["client"]);
    let purpose = ExtendedKeyUsagePurpose::ServerAuth;
    let for_servers = authority.issue_for(dir.path(), "for-servers", &["client"], purpose);
    let dial = || Dial::trusting(&authority.file);
    // One mode at a time, since the log reports one failure per second.
    for (mode, prefix, anonymous) in [
        ("0", "", true),
        ("1", "", true),
        ("2", "", false),
        ("3", "", false),
        ("0", "mtls:", false),
        ("2", "btls:", true),
    ] {
        let mode = format!("ssl_verify_mode={mode}");
        let server = start_on(&files, &[prefix], &["-o", &mode]);
        let address = addresses(&server)[0];
        let serves = |dial: Dial<'_>| dial.connect(address).unwrap().talk("get a\r\n", "END\r\n");
        serves(dial().showing(&known));
        if anonymous {
            serves(dial());
        } else {
            let why = refusal(&dial(), address);
            assert!(why.contains("CertificateRequired"), "{mode} {prefix}: {why}");
            await_log(&server, "it presents no certificate, and must");
        }
        if mode.ends_with('0') && prefix.is_empty() || prefix == "btls:" {
            serves(dial().showing(&unknown));
        }
    }
    for (shown, heard, logged) in [
        (&unknown, "UnknownCA", "its certificate is from an authority that is not trusted here"),
        (&expired, "CertificateExpired", "its certificate, or one above it, expired on 2021-01-01"),
        (&for_servers, "UnsupportedCertificate", "its certificate is not valid for this use"),
    ] {
        let server = start(&files, &["-o", "ssl_verify_mode=1"]);
        let why = refusal(&dial().showing(shown), server.address());
        assert!(why.contains(heard), "{why}");
        await_log(&server, logged);
        let mut client = dial().connect(server.address()).unwrap();
        assert_eq!(stat(&mut client, "", "ssl_handshake_errors"), "1");
    }
}

#[test]
fn a_session_without_a_certificate_is_not_taken_up_where_one_is_required() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start_on(&files, &["btls:", "mtls:"], &["-o", "ssl_session_cache"]);
    let [open, closed] = addresses(&server)[..] else { panic!("two addresses") };
    let config = Dial::trusting(&authority.file).config();
    let dial = || Dial::trusting(&authority.file).resuming(&config);
    dial().connect(open).unwrap().talk("get a\r\n", "END\r\n");
    assert!(refusal(&dial(), closed).contains("CertificateRequired"));
}

#[test]
fn old_versions_are_refused_where_that_is_wanted() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &["-o", "ssl_min_version=3"]);
    let dial = Dial::trusting(&authority.file);
    dial.connect(server.address()).unwrap().talk("get a\r\n", "END\r\n");
    let old = Dial::trusting(&authority.file).speaking(OLD);
    assert!(refusal(&old, server.address()).contains("ProtocolVersion"));
    await_log(&server, "it speaks no version or cipher suite that is accepted here");
}

#[test]
fn each_side_hears_what_the_other_speaks() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start_on(&files, &["", "notls:"], &[]);
    let [tls, plain] = addresses(&server)[..] else { panic!("two addresses") };
    let mut conn = Conn::tcp(tls).unwrap();
    conn.talk_to_close("get a\r\n", "CLIENT_ERROR this port speaks TLS only: connect with it\r\n");
    await_log(&server, "it speaks no TLS, and there is nothing else on this port");
    assert!(Dial::trusting(&authority.file).connect(plain).is_err());
    await_log(&server, "this port speaks the memcached text protocol without TLS");
    // A client that only checks whether the port is open is not a failure.
    drop(TcpStream::connect(tls).unwrap());
    let mut client = Client::plain(plain);
    assert_eq!(stat(&mut client, "", "ssl_handshake_errors"), "1");
}

#[test]
fn a_silent_client_does_not_keep_its_place() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &["-c", "2"]);
    let mut silent = TcpStream::connect(server.address()).unwrap();
    let mut halfway = TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut halfway, &[0x16, 0x03, 0x01]).unwrap();
    for stream in [&mut silent, &mut halfway] {
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        // The connection is closed, cleanly or not.
        let end = stream.read(&mut [0; 64]);
        assert!(
            !matches!(end, Ok(1..))
                && !end.is_err_and(|it| it.kind() == std::io::ErrorKind::WouldBlock)
        );
    }
    await_log(&server, "it did not finish its handshake within 10 seconds");
    let mut client =
        wait::until("a place", || Dial::trusting(&authority.file).connect(server.address()).ok());
    client.talk("get a\r\n", "END\r\n");
}

#[test]
fn the_handshake_of_a_stopping_node_ends() {
    let dir = scratch();
    let (_, files) = pair(dir.path());
    let mut server = start(&files, &[]);
    await_log(&server, "listens on");
    let mut silent = TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut silent, &[0x16]).unwrap();
    assert!(server.stop(nix::sys::signal::Signal::SIGTERM).success());
    assert!(!server.log().contains("did not read their answers"), "{}", server.log());
}

#[test]
fn clients_that_do_not_trust_the_server_are_told_of() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let stranger = Authority::new(dir.path(), "stranger");
    let server = start(&files, &[]);
    let why = refusal(&Dial::trusting(&stranger.file), server.address());
    assert!(why.contains("UnknownIssuer"), "{why}");
    await_log(&server, "it refuses the certificate that it was shown, which is of an authority");

    let expired = authority.issue_expired(dir.path(), "ended", &["127.0.0.1"]);
    let server = Server::start(Kind::Ringbinder, &["-Z", "-o", &expired.options()]);
    let why = refusal(&Dial::trusting(&authority.file), server.address());
    assert!(why.contains("xpired"), "{why}");
    let log = server.log();
    assert!(log.contains("expired on 2021-01-01: clients and other nodes refuse it"), "{log}");
    await_log(&server, "it refuses the certificate that it was shown, which has expired");
}
