//! Tests of the protocols on each address, and of values of all sizes through TLS.

use ringbinder_tests::process::rss_kib;
use ringbinder_tests::server::scratch;
use ringbinder_tests::wait;

use super::client::{Client, Dial, NEW, OLD};
use super::{addresses, pair, start, start_on, stat};

#[test]
fn requests_are_answered_through_every_version() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &[]);
    for versions in [OLD, NEW] {
        let dial = Dial::trusting(&authority.file).speaking(versions);
        let mut client = dial.connect(server.address()).unwrap();
        assert_eq!(client.version(), versions[0].version);
        client.talk("set a 1 0 5\r\nhello\r\n", "STORED\r\n");
        client.talk("get a none\r\nget a\r\n", "VALUE a 1 5\r\nhello\r\nEND\r\n".repeat(2));
        let pipeline: String = (0..2000)
            .map(|number| format!("set k{number} 0 0 1 noreply\r\nx\r\nget k{number}\r\n"))
            .collect();
        let expected: String =
            (0..2000).map(|number| format!("VALUE k{number} 0 1\r\nx\r\nEND\r\n")).collect();
        client.talk(pipeline, expected);
        // The node closes the TLS session properly instead of only closing the connection.
        client.send("quit\r\n");
        let (rest, end) = client.try_rest();
        assert!(rest.is_empty() && end.is_ok(), "{end:?}");
    }
    let mut client = Dial::trusting(&authority.file).connect(server.address()).unwrap();
    assert_eq!(stat(&mut client, "settings", "ssl_enabled"), "yes");
    assert_eq!(stat(&mut client, "settings", "ssl_min_version"), "tlsv1.2");
    assert_eq!(stat(&mut client, "", "ssl_handshake_errors"), "0");
    assert!(stat(&mut client, "", "ssl_cert_expires").parse::<u64>().unwrap() > 4_000_000_000);
}

#[test]
fn values_pass_however_they_are_cut() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &["-I", "8m"]);
    let mut client = Dial::trusting(&authority.file).connect(server.address()).unwrap();
    let small = b"set s 0 0 12\r\nsmall\r\nvalue\r\nget s\r\n";
    for cut in 1..small.len() {
        client.send(&small[..cut]);
        client.send(&small[cut..]);
        let expected = b"STORED\r\nVALUE s 0 12\r\nsmall\r\nvalue\r\nEND\r\n";
        assert_eq!(client.take(expected.len()), expected, "cut at {cut}");
    }
    // Sizes around those of a record, of a buffer, and of large values.
    for len in [4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_537, 1 << 20, 5_000_000] {
        let value: Vec<u8> = (0..len).map(|at: usize| (at % 251).to_le_bytes()[0]).collect();
        let request = [format!("set big 0 0 {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        for chunk in request.chunks(len / 3 + 7) {
            client.send(chunk);
        }
        assert_eq!(client.take(8), b"STORED\r\n", "{len}");
        let expected =
            [format!("VALUE big 0 {len}\r\n").as_bytes(), &value, b"\r\nEND\r\n"].concat();
        client.send("get big\r\n");
        assert!(client.take(expected.len()) == expected, "{len}");
    }
}

#[test]
fn a_client_that_does_not_read_makes_the_node_hold_little() {
    const GETS: usize = 40;
    const LEN: usize = 1_000_000;
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &[]);
    let dial = Dial::trusting(&authority.file);
    let mut client = dial.connect(server.address()).unwrap();
    client.talk(
        [format!("set big 0 0 {LEN}\r\n").into_bytes(), vec![b'v'; LEN], b"\r\n".to_vec()].concat(),
        "STORED\r\n",
    );
    let mut other = dial.connect(server.address()).unwrap();
    let before = rss_kib(server.pid());
    client.send("get big\r\n".repeat(GETS));
    wait::until("the node to wait for its client", || {
        other.ask_text("stats conns\r\n").contains("conn_mwrite").then_some(())
    });
    let grown = rss_kib(server.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for {GETS} answers of {LEN} bytes");
    let one =
        [format!("VALUE big 0 {LEN}\r\n").into_bytes(), vec![b'v'; LEN], b"\r\nEND\r\n".to_vec()]
            .concat();
    for _ in 0..GETS {
        assert!(client.take(one.len()) == one);
    }
}

#[test]
fn plain_and_tls_stand_side_by_side() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start_on(&files, &["", "notls:", "opttls:"], &[]);
    let [tls, plain, either] = addresses(&server)[..] else { panic!("three addresses") };
    let dial = Dial::trusting(&authority.file);
    dial.connect(tls).unwrap().talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    for mut client in [Client::plain(plain), Client::plain(either), dial.connect(either).unwrap()] {
        client.talk("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    }
    let log = server.log();
    assert!(log.contains(&format!("{tls} (TLS), {plain}, {either} (TLS or plain);")), "{log}");
}

#[test]
fn an_idle_connection_costs_some_kilobytes() {
    const CONNECTIONS: u64 = 200;
    const MOST_BYTES_EACH: u64 = 16 * 1024;
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &["-t", "2"]);
    let config = Dial::trusting(&authority.file).config();
    let connect = |count: u64| -> Vec<Client> {
        let one = |_| {
            let dial = Dial::trusting(&authority.file).resuming(&config);
            let mut client = dial.connect(server.address()).unwrap();
            client.talk("set idle 0 0 1\r\nx\r\n", "STORED\r\n");
            client
        };
        (0..count).map(one).collect()
    };
    let first = connect(20);
    let before = rss_kib(server.pid());
    let idle = connect(CONNECTIONS);
    let each = rss_kib(server.pid()).saturating_sub(before) * 1024 / CONNECTIONS;
    println!("{each} bytes a connection with TLS");
    assert!(each <= MOST_BYTES_EACH, "{each} bytes for each of {CONNECTIONS} idle connections");
    drop((first, idle));
}

#[test]
fn sessions_are_taken_up_where_that_is_wanted() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    for (arguments, resumed) in [(&[][..], false), (&["-o", "ssl_session_cache"], true)] {
        let server = start(&files, arguments);
        let config = Dial::trusting(&authority.file).config();
        let connect = || {
            let dial = Dial::trusting(&authority.file).resuming(&config);
            let mut client = dial.connect(server.address()).unwrap();
            client.talk("get a\r\n", "END\r\n");
            client
        };
        assert!(!connect().is_resumed());
        let mut second = connect();
        assert_eq!(second.is_resumed(), resumed);
        if resumed {
            assert_eq!(stat(&mut second, "", "ssl_new_sessions"), "1");
        }
    }
}
