//! Tests of invalid commands, and of the position at which reading continues after them.

use super::{Target, ours_only};

const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn unknown_commands_are_errors_and_missing_words_are_the_clients() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    for line in [
        "bogus",
        "bogus a b c",
        "GET a",
        "gett a",
        "mx a",
        "lru",
        "lru bogus",
        "slabs",
        "slabs bogus",
        "cache_memlimit",
        "cache_memlimit abc",
        "stats bogus",
        "lru_crawler",
        "lru_crawler bogus",
        "extstore",
        "extstore bogus 1",
    ] {
        t.talk(format!("{line}\r\n"), "ERROR\r\n");
    }
    for line in [
        "",
        "x",
        "get",
        "gets",
        "gat",
        "gat 0",
        "incr",
        "incr a",
        "touch",
        "touch a",
        "delete",
        "verbosity",
        "mg",
        "md",
        "ma",
        "me",
    ] {
        t.talk(format!("{line}\r\n"), BAD_FORMAT);
    }
    t.talk("bogus noreply\r\n", "");
}

#[test]
fn words_too_many_say_nothing() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    t.talk(
        "set a 0 0 9 x y\r\ndelete b\r\n\r\n",
        "CLIENT_ERROR bad data chunk\r\n".to_owned() + BAD_FORMAT,
    );
    t.talk("set a 0 0 8 x y\r\ndelete b\r\n", "STORED\r\n");
    t.talk("set a 0 0 1 x y noreply\r\n1\r\n", "");
    t.talk("set a 0 0 1 noreply y\r\n1\r\n", "STORED\r\n");
    t.talk("incr a 1 2 3\r\n", "2\r\n");
    t.talk("touch a 0 1 2 3\r\n", "TOUCHED\r\n");
    t.talk("cas a 0 0 1 1 x y z\r\n1\r\n", "EXISTS\r\n");
    t.talk("flush_all 0 0 0\r\n", "OK\r\n");
}

/// Each value, 13 bytes long, would delete another item if it were executed as a command.
#[test]
fn no_value_is_ever_carried_out() {
    ours_only!();
    let long = "k".repeat(9000);
    let t = Target::start();
    for (line, goes_on) in [
        // The length is in its place, or where blanks in the key have moved it.
        ("set k abc 0 13", true),
        ("set k -1 0 13", true),
        ("set k 4294967296 0 13", true),
        ("set k 0 abc 13", true),
        ("add k 0 1x 13", true),
        ("set k\x01 0 0 13", true),
        ("set k\x7f 0 0 13", true),
        ("set my user key 0 0 13", true),
        ("set my key 0 0 13", true),
        ("append  0 0 13", true),
        ("cas k 0 0 13 abc", true),
        ("cas k 0 0 13 -1", true),
        ("cas k 0 0 13 18446744073709551616", true),
        ("cas k 0 0 13", true),
        ("cas my key 0 0 13 77", true),
        ("ms my key 13 T0", true),
        ("ms k 13 ?", true),
        ("ms k S13", true),
        (&format!("set {long} 0 0 13"), true),
        // The end of the value is unknown.
        ("set k 0 13", false),
        ("set k 0 0", false),
        ("set k", false),
        ("set", false),
        ("set k 0 0 x", false),
        ("set k 0 0 -1", false),
        ("set k 0 0 2147483646", false),
        ("set k 0 0 4294967309", false),
        ("set k 0 0 0 0 13", false),
        ("set k 0 0 5 13", false),
        ("cas k 0 13 77", false),
        ("cas k 0 0 5 13 77", false),
        ("ms k", false),
        ("ms k x", false),
        ("ms k 5 13", false),
    ] {
        for noreply in [false, true] {
            if noreply && line.starts_with("ms") {
                continue;
            }
            let mut conn = t.server.connect();
            conn.talk("set victim 0 0 1\r\n1\r\n", "STORED\r\n");
            let end = if noreply { " noreply" } else { "" };
            conn.send(format!("{line}{end}\r\ndelete victim\r\nget victim\r\n"));
            let found = "VALUE victim 0 1\r\n1\r\nEND\r\n";
            if goes_on {
                let said = String::from_utf8(conn.take_until(found.as_bytes())).expect("text");
                let silent = noreply && said == found;
                assert!(silent || said == format!("{BAD_FORMAT}{found}"), "{line}{end}: {said}");
            } else {
                let said = String::from_utf8(conn.take_rest()).expect("text");
                assert!(
                    said == BAD_FORMAT || said.starts_with("CLIENT_ERROR invalid flag"),
                    "{line}{end}: {said}"
                );
            }
            t.server.connect().talk("get victim\r\n", found);
        }
    }
}

#[test]
fn keys_hold_no_control_characters() {
    ours_only!();
    let mut t = Target::start();
    for key in ["\x01", "a\tb", "a\x0bb", "a\x7f", "a\0b"] {
        for (line, answer) in [
            (format!("get {key}"), BAD_FORMAT),
            (format!("gets ok {key}"), BAD_FORMAT),
            (format!("gat 0 {key}"), BAD_FORMAT),
            (format!("delete {key}"), BAD_FORMAT),
            (format!("touch {key} 0"), BAD_FORMAT),
            (format!("incr {key} 1"), BAD_FORMAT),
            (format!("decr {key} 1"), BAD_FORMAT),
            (format!("mg {key} v"), BAD_FORMAT),
            (format!("md {key}"), BAD_FORMAT),
            (format!("ma {key}"), BAD_FORMAT),
            (format!("me {key}"), BAD_FORMAT),
        ] {
            t.talk(format!("{line}\r\n"), answer);
        }
    }
}

#[test]
fn long_keys_are_refused_everywhere() {
    let mut t = Target::start();
    // 1.6.45 has another text in one case, and an additional line in others.
    if !t.takes_older_lines() {
        return;
    }
    t.set("a", "1");
    let key = "k".repeat(251);
    for line in [
        "get {}",
        "gets {}",
        "gat 0 {}",
        "delete {}",
        "touch {} 0",
        "incr {} 1",
        "decr {} 1",
        "mg {} v",
        "md {}",
        "ma {}",
        "me {}",
    ] {
        t.talk(line.replace("{}", &key) + "\r\n", BAD_FORMAT);
    }
    // Only the refusal, without any value.
    t.talk(format!("get a {key} a\r\n"), BAD_FORMAT);
}

#[test]
fn a_bad_data_chunk_is_refused_and_reading_goes_on_behind_it() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("set a 0 0 3\r\nabcde", "CLIENT_ERROR bad data chunk\r\n");
    t.talk("set a 0 0 3\r\nabcd\n", "CLIENT_ERROR bad data chunk\r\n");
    if t.takes_older_lines() {
        t.talk("set a 0 0 3\r\nabcdefgh\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
        t.talk("set a 0 0 3 noreply\r\nabcde", "");
        t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    }
}

#[test]
fn exptimes_beyond_32_bits_lie_far_ahead() {
    ours_only!();
    let mut t = Target::start();
    t.talk("set a 0 99999999999 1\r\nx\r\n", "STORED\r\n");
    t.talk("touch a 99999999999\r\n", "TOUCHED\r\n");
    t.talk("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn minus_one_may_come_as_libmemcached_writes_it() {
    // Its times are unsigned 32-bit numbers. A client's -1, which Django sends for immediate expiry, arrives
    // as 4294967295.
    let mut t = Target::start();
    if !t.takes_older_lines() {
        return;
    }
    t.talk("set a 0 4294967295 1\r\nx\r\n", "STORED\r\n");
    t.talk("get a\r\n", "END\r\n");
    t.set("a", "1");
    t.talk("touch a 4294967295\r\n", "TOUCHED\r\n");
    t.talk("get a\r\n", "END\r\n");
}

#[test]
fn http_is_hung_up_on() {
    for request in ["GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PUT /a/b HTTP/2\r\n"] {
        let mut t = Target::start();
        t.conn.talk_to_close(request, "");
    }
}

#[test]
fn tls_clients_are_told_and_closed() {
    ours_only!();
    let mut t = Target::start();
    t.conn.talk_to_close(
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
        "CLIENT_ERROR this port speaks the memcached text protocol without TLS: connect without it\r\n",
    );
    // Other clients are still served.
    t.server.connect().talk("get a\r\n", "END\r\n");
}

#[test]
fn binary_clients_are_told_in_their_own_protocol_and_closed() {
    ours_only!();
    let t = Target::start();
    // A version request, a get with its key, a quiet set, and the start of a SASL login.
    for (opcode, body) in
        [(0x0b, &b""[..]), (0x00, b"key"), (0x11, b"ffffeeeekeyvalue"), (0x20, b"")]
    {
        let mut request = vec![0x80, opcode, 0, 3, 0, 0, 0, 0];
        request.extend_from_slice(&u32::try_from(body.len()).expect("few").to_be_bytes());
        request.extend_from_slice(b"abcd");
        request.extend_from_slice(&[0; 8]);
        request.extend_from_slice(body);
        let mut conn = t.server.connect();
        conn.send(&request);
        let answer = conn.take_rest();
        let (head, text) = answer.split_at(24);
        assert_eq!(head[..8], [0x81, opcode, 0, 0, 0, 0, 0x00, 0x81], "unknown command");
        assert_eq!(head[8..12], u32::try_from(text.len()).expect("few").to_be_bytes());
        assert_eq!(&head[12..16], b"abcd", "the client's own number");
        assert_eq!(head[16..], [0; 8]);
        let text = std::str::from_utf8(text).expect("text");
        assert!(text.contains("set the client to text"), "{text}");
    }
    t.server.connect().talk("get a\r\n", "END\r\n");
}

#[test]
fn garbage_never_takes_the_server_down() {
    let t = Target::start();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..50 {
        let mut conn = t.server.connect();
        let bytes: Vec<u8> = (0..4096)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_be_bytes()[0]
            })
            // Excludes the first byte of a binary request, and of a TLS handshake.
            .map(|byte| if byte == 0x80 || byte == 0x16 { b'\n' } else { byte })
            .collect();
        conn.send(&bytes);
        conn.finish_sending();
        conn.take_rest();
    }
    t.server.connect().talk("get a\r\n", "END\r\n");
}
