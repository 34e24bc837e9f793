//! Tests of get, gets, gat, gats, touch and delete.

use super::Target;

#[test]
fn get_gives_hits_in_order_and_passes_over_misses() {
    let mut t = Target::start();
    t.talk("get a\r\n", "END\r\n");
    t.set("a", "1");
    t.set("b", "22");
    t.talk(
        "get b nope a b\r\n",
        "VALUE b 0 2\r\n22\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 2\r\n22\r\nEND\r\n",
    );
    t.talk("get   a  \r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    if t.takes_older_lines() {
        t.talk("  get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    }
}

#[test]
fn gets_tells_the_cas() {
    let mut t = Target::start();
    t.set("a", "1");
    let cas = t.cas("a");
    t.talk("gets a nope\r\n", format!("VALUE a 0 1 {cas}\r\n1\r\nEND\r\n"));
}

#[test]
fn a_line_of_many_keys_may_be_longer_than_2048_bytes() {
    let mut t = Target::start();
    let (mut line, mut expected) = (String::from("get"), String::new());
    for number in 0..2000 {
        let key = format!("key-{number}");
        if number % 2 == 0 {
            t.conn.send(format!("set {key} 0 0 3 noreply\r\nabc\r\n"));
            expected.push_str(&format!("VALUE {key} 0 3\r\nabc\r\n"));
        }
        line.push(' ');
        line.push_str(&key);
    }
    assert!(line.len() > 16_000);
    t.talk(line + "\r\n", expected + "END\r\n");
}

#[test]
fn gat_reads_and_gives_another_expiry() {
    let mut t = Target::start();
    t.talk("gat 100 a\r\n", "END\r\n");
    t.set("a", "1");
    t.set("b", "2");
    let cas = t.cas("b");
    t.talk("gat 1000 a b\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    t.talk("gats 0 b\r\n", format!("VALUE b 0 1 {cas}\r\n2\r\nEND\r\n"));
    t.talk("mg b t\r\n", "HD t-1\r\n");
    let left = t.conn.ask_text("mg a t\r\n");
    assert!(["HD t1000\r\n", "HD t999\r\n", "HD t998\r\n"].contains(&left.as_str()), "{left}");
    t.talk("gat -1 a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    t.talk("get a\r\n", "END\r\n");
    t.talk("gat abc b\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
}

#[test]
fn touch_gives_another_expiry() {
    let mut t = Target::start();
    t.talk("touch a 0\r\n", "NOT_FOUND\r\n");
    t.set("a", "1");
    t.talk("touch a 1000\r\n", "TOUCHED\r\n");
    t.talk("touch a 0 noreply\r\n", "");
    t.talk("mg a t\r\n", "HD t-1\r\n");
    t.talk("touch a abc\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
    t.talk("touch a -1\r\n", "TOUCHED\r\n");
    t.talk("get a\r\n", "END\r\n");
    t.talk("touch a 0\r\n", "NOT_FOUND\r\n");
}

#[test]
fn delete_removes() {
    let mut t = Target::start();
    t.talk("delete a\r\n", "NOT_FOUND\r\n");
    t.set("a", "1");
    t.talk("delete a\r\n", "DELETED\r\n");
    t.talk("get a\r\n", "END\r\n");
    t.set("a", "1");
    t.talk("delete a noreply\r\nget a\r\n", "END\r\n");
    if t.has_latest() {
        // A time argument, which delete once had, is accepted and ignored, whatever it is.
        for words in ["0", "5", "600", "abc", "noreply 0", "0 0 0"] {
            t.set("a", "1");
            t.talk(format!("delete a {words}\r\nget a\r\n"), "DELETED\r\nEND\r\n");
        }
        for words in ["0 noreply", "5 noreply", "x y noreply"] {
            t.set("a", "1");
            t.talk(format!("delete a {words}\r\nget a\r\n"), "END\r\n");
        }
    }
}

#[test]
fn what_is_read_is_what_was_written_at_every_size() {
    let mut t = Target::start();
    for size in [0, 1, 2, 1023, 1024, 4096, 16_384, 65_535, 100_000, 524_288, 1_000_000] {
        let value: Vec<u8> = (0..size).map(|at: usize| b"0123456789abcdef"[at % 16]).collect();
        let mut request = format!("set a 0 0 {size}\r\n").into_bytes();
        request.extend_from_slice(&value);
        request.extend_from_slice(b"\r\n");
        t.talk(&request, "STORED\r\n");
        let mut expected = format!("VALUE a 0 {size}\r\n").into_bytes();
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\nEND\r\n");
        t.talk("get a\r\n", &expected);
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let mut t = Target::start();
    for byte in b"set a 0 0 3\r\na\r\n\r\nget a\r\n" {
        t.conn.send([*byte]);
    }
    t.talk("", "STORED\r\nVALUE a 0 3\r\na\r\n\r\nEND\r\n");
}
