//! What is wrong with a command, and where reading goes on after it.

use super::{Target, ours_only};

const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn unknown_commands_and_wrong_counts_are_errors() {
    let mut t = Target::start();
    if !t.has_debian_errors() {
        return;
    }
    for line in [
        "",
        "x",
        "bogus",
        "bogus a b c",
        "GET a",
        "get",
        "gets",
        "gat",
        "gett a",
        "set",
        "set a",
        "set a 0 0",
        "add a 0 0",
        "cas a 0 0 1",
        "incr",
        "incr a",
        "incr a 1 2 3",
        "touch",
        "touch a",
        "delete",
        "delete a 0 noreply x",
        "flush_all 0 0 0",
        "verbosity",
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
}

#[test]
fn a_length_that_cannot_be_read_swallows_nothing() {
    let mut t = Target::start();
    t.set("a", "1");
    for length in ["abc", "-1", "1x", "2147483646", "2147483647"] {
        t.talk(
            format!("set a 0 0 {length}\r\nget a\r\n"),
            format!("{BAD_FORMAT}VALUE a 0 1\r\n1\r\nEND\r\n"),
        );
    }
    if t.is_ours() {
        // memcached would take this for 1.
        t.talk(
            "set a 0 0 4294967297\r\nget a\r\n",
            format!("{BAD_FORMAT}VALUE a 0 1\r\n1\r\nEND\r\n"),
        );
    }
}

#[test]
fn a_refused_storage_command_swallows_its_body() {
    ours_only!();
    let mut t = Target::start();
    let long = "k".repeat(251);
    for line in [
        "set a abc 0 7",
        "set a -1 0 7",
        "set a 4294967296 0 7",
        "set a 0 abc 7",
        "add a 0 1x 7",
        "cas a 0 0 7 abc",
        "cas a 0 0 7 -1",
        "cas a 0 0 7 18446744073709551616",
        "set a\x01 0 0 7",
        "set a\x7f 0 0 7",
        &format!("set {long} 0 0 7"),
    ] {
        t.talk(format!("{line}\r\nget a\r\n\r\n"), BAD_FORMAT);
        t.talk(format!("{line} noreply\r\nget a\r\n\r\n"), "");
    }
    t.talk("get a\r\n", "END\r\n");
    assert_eq!(t.count("cmd_get"), 1, "no body was taken for a command");
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
    if !t.has_debian_errors() {
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
    // None of the values, only the refusal.
    t.talk(format!("get a {key} a\r\n"), BAD_FORMAT);
}

#[test]
fn a_bad_data_chunk_is_refused_and_reading_goes_on_behind_it() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("set a 0 0 3\r\nabcde", "CLIENT_ERROR bad data chunk\r\n");
    t.talk("set a 0 0 3\r\nabcd\n", "CLIENT_ERROR bad data chunk\r\n");
    if t.has_debian_errors() {
        t.talk("set a 0 0 3\r\nabcdefg\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
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
    // Its times are unsigned 32-bit numbers: a client's -1, which Django sends for "at once",
    // leaves it as 4294967295.
    let mut t = Target::start();
    if !t.has_debian_errors() {
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
fn binary_and_tls_clients_are_told_and_closed() {
    ours_only!();
    for (request, answer) in [
        (
            &b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..],
            "CLIENT_ERROR this port speaks the memcached text protocol, not the binary one: set the client to text (ascii)\r\n",
        ),
        (
            &b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"[..],
            "CLIENT_ERROR this port speaks the memcached text protocol without TLS: connect without it\r\n",
        ),
    ] {
        let mut t = Target::start();
        t.conn.talk_to_close(request, answer);
        // Others are served on.
        t.server.connect().talk("get a\r\n", "END\r\n");
    }
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
            // Not a binary client's, nor one that hangs up by itself.
            .map(|byte| if byte == 0x80 || byte == 0x16 { b'\n' } else { byte })
            .collect();
        conn.send(&bytes);
        conn.finish_sending();
        conn.take_rest();
    }
    t.server.connect().talk("get a\r\n", "END\r\n");
}
