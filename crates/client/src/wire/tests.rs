//! Answers cut at every byte, malformed answers, and random bytes.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Answer, Decoder, Line, Request};
use crate::item::Item;

const MAX_VALUE: usize = 100_000;

const GET: Request<'_> = Request::Get { key: b"k", with_cas: false };
const MANY: Request<'_> = Request::GetMany { keys: &[b"a", b"b", b"a", b"c"], with_cas: false };
const SET: Request<'_> =
    Request::Store { verb: "set", key: b"k", flags: 0, exptime: 0, value: b"" };
const META: Request<'_> = Request::Meta { verb: "mg", key: b"k", value: None, flags: "v" };
const STATS: Request<'_> = Request::Stats { argument: "" };
const RING: Request<'_> = Request::Block { line: "ring get" };
const LINE: Request<'_> = Request::Line { line: "version" };
const INCR: Request<'_> = Request::Arithmetic { verb: "incr", key: b"k", delta: 1 };
const DELETE: Request<'_> = Request::Delete { key: b"k" };
const TOUCH: Request<'_> = Request::Touch { key: b"k", exptime: 0 };

fn item(value: impl Into<Bytes>, flags: u32, cas: Option<u64>) -> Item {
    Item { value: value.into(), flags, cas }
}

fn value_line(key: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("VALUE {key} 7 {}\r\n", value.len());
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// Reads pieces as they come: the answer, and the bytes left over; `None` if the answer is
/// incomplete.
fn read(
    request: Request<'_>,
    pieces: &[&[u8]],
) -> Result<Option<(Answer, Vec<u8>)>, super::Nonsense> {
    let (mut decoder, mut input) = (request.decoder(), BytesMut::new());
    for (index, piece) in pieces.iter().enumerate() {
        input.extend_from_slice(piece);
        if let Some(answer) = decoder.read(&mut input, MAX_VALUE)? {
            let rest = pieces[index + 1..].concat();
            return Ok(Some((answer, [&input[..], &rest].concat())));
        }
    }
    Ok(None)
}

/// Reads the answer cut in two at every byte, and byte by byte, with another answer after it.
#[track_caller]
fn expect(request: Request<'_>, bytes: &[u8], expected: Answer) {
    let behind = b"VALUE k 0 1\r\n";
    let whole = [bytes, behind].concat();
    for cut in 0..whole.len() {
        let (one, other) = whole.split_at(cut);
        let (answer, left) = read(request, &[one, other]).expect("an answer").expect("all of it");
        assert_eq!(answer, expected, "cut at {cut}");
        assert_eq!(left, behind, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(request, &single), Ok(Some((expected, Vec::new()))));
    assert_eq!(read(request, &single[..single.len() - 1]), Ok(None), "it ends too early");
}

#[test]
fn every_kind_of_answer_however_it_is_cut() {
    let line = |line| Answer::Line(line);
    let found = |value: &'static [u8], flags, cas| Answer::One(Some(item(value, flags, cas)));
    expect(GET, b"END\r\n", Answer::One(None));
    expect(GET, b"VALUE k 7 2\r\nab\r\nEND\r\n", found(b"ab", 7, None));
    expect(GET, b"VALUE k 4294967295 0 18446744073709551615\r\n\r\nEND\r\n", {
        found(b"", u32::MAX, Some(u64::MAX))
    });
    expect(GET, b"VALUE k 0 7\r\n\r\nEND\r\n\r\nEND\r\n", found(b"\r\nEND\r\n", 0, None));
    let none = Answer::Many(vec![None; 4]);
    expect(MANY, b"END\r\n", none);
    let all = ["1", "2", "3", "4"].map(|value| Some(item(value, 7, None)));
    let lines = [("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4")]
        .map(|(key, value)| value_line(key, value));
    expect(MANY, &[&lines.concat()[..], b"END\r\n"].concat(), Answer::Many(all.to_vec()));
    // Misses are left out, including the first of two requests for one key.
    let [one, _, _, four] = all;
    let some = Answer::Many(vec![one, None, None, four]);
    expect(MANY, &[&lines[0][..], &lines[3], b"END\r\n"].concat(), some);
    expect(SET, b"STORED\r\n", line(Line::Stored));
    expect(SET, b"NOT_STORED\r\n", line(Line::NotStored));
    expect(SET, b"EXISTS\r\n", line(Line::Exists));
    expect(SET, b"NOT_FOUND\r\n", line(Line::NotFound));
    expect(DELETE, b"DELETED\r\n", line(Line::Deleted));
    expect(TOUCH, b"TOUCHED\r\n", line(Line::Touched));
    expect(INCR, b"18446744073709551615\r\n", line(Line::Number(u64::MAX)));
    expect(INCR, b"5   \r\n", line(Line::Number(5)));
    let meta = |line: &'static [u8], value: Option<&'static [u8]>| {
        Answer::Meta(Bytes::from_static(line), value.map(Bytes::from_static))
    };
    expect(META, b"HD\r\n", meta(b"HD", None));
    expect(META, b"EN\r\n", meta(b"EN", None));
    expect(META, b"NS c5\r\n", meta(b"NS c5", None));
    expect(META, b"VA 2 t-1 W\r\nab\r\n", meta(b"VA 2 t-1 W", Some(b"ab")));
    expect(STATS, b"STAT pid 5\r\nSTAT x a b\r\nSTAT y\r\nEND\r\n", {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Answer::Stats([("pid", "5"), ("x", "a b"), ("y", "")].map(pair).to_vec())
    });
    expect(STATS, b"RESET\r\n", line(Line::Ok));
    let block = Answer::Block(Bytes::from_static(b"RING 7 0a 4"), Bytes::from_static(b"a\r\nb"));
    expect(RING, b"RING 7 0a 4\r\na\r\nb\r\nEND\r\n", block);
    expect(LINE, b"VERSION 1.6.45\r\n", line(Line::Other("VERSION 1.6.45".to_owned())));
}

#[test]
fn an_error_answers_everything_also_behind_values() {
    for says in ["ERROR", "CLIENT_ERROR bad", "SERVER_ERROR out of memory writing get response"] {
        let expected = match says.starts_with("SERVER") {
            true => Line::ServerError(says.to_owned()),
            false => Line::ClientError(says.to_owned()),
        };
        for request in [GET, MANY, SET, INCR, DELETE, TOUCH, META, STATS, RING, LINE] {
            expect(request, format!("{says}\r\n").as_bytes(), Answer::Line(expected.clone()));
        }
        for (request, before) in [(GET, value_line("k", b"v")), (MANY, value_line("b", b"v"))] {
            let bytes = [&before[..], says.as_bytes(), b"\r\n"].concat();
            expect(request, &bytes, Answer::Line(expected.clone()));
        }
    }
}

#[test]
fn values_of_all_lengths_at_which_something_changes() {
    for len in [0, 1, 2, 32_767, 32_768, 32_769, MAX_VALUE - 1, MAX_VALUE] {
        let value = vec![b'\n'; len];
        let bytes = [&value_line("k", &value)[..], b"END\r\nHD\r\n"].concat();
        for cut in [0, 5, 20, len, len + 18, len + 19, len + 20, bytes.len() - 1] {
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            let (answer, left) = read(GET, &[one, other]).expect("an answer").expect("all of it");
            assert_eq!(answer, Answer::One(Some(item(value.clone(), 7, None))), "{len}, {cut}");
            assert_eq!(left, b"HD\r\n");
        }
    }
    let longer = value_line("k", &vec![0; MAX_VALUE + 1]);
    for request in [GET, Request::GetMany { keys: &[b"k"], with_cas: true }] {
        assert!(read(request, &[&longer]).is_err());
        // The announced length is enough to see it.
        assert!(read(request, &[&longer[..22]]).is_err());
    }
    assert!(read(META, &[format!("VA {}\r\n", MAX_VALUE + 1).as_bytes()]).is_err());
    assert!(read(RING, &[format!("RING 1 a {}\r\n", MAX_VALUE + 1).as_bytes()]).is_err());
}

#[test]
fn a_large_value_keeps_nothing_alive_but_itself() {
    let value = vec![b'x'; 40_000];
    let one = [&value_line("k", &value)[..], b"END\r\n"].concat();
    let mut input = BytesMut::from(&one.repeat(3)[..]);
    let mut kept = Vec::new();
    while !input.is_empty() {
        let Ok(Some(Answer::One(Some(item)))) = GET.decoder().read(&mut input, MAX_VALUE) else {
            panic!("a value");
        };
        assert!(item.value.is_unique(), "its memory is shared");
        kept.push(item);
    }
    assert!(kept.iter().all(|item| item.value == value));
}

#[test]
fn values_may_come_in_another_order() {
    let [a, b, c] = [("a", b"1"), ("b", b"2"), ("c", b"3")].map(|(key, v)| value_line(key, v));
    let bytes = [&c[..], &b, &a, &a, b"END\r\n"].concat();
    let [one, two, three] = ["1", "2", "3"].map(|value| Some(item(value, 7, None)));
    expect(MANY, &bytes, Answer::Many(vec![one.clone(), two, one, three]));
}

#[test]
fn what_was_not_asked_is_no_answer() {
    let a = value_line("a", b"1");
    for (request, bytes) in [
        (GET, &b"VALUE other 0 1\r\na\r\nEND\r\n"[..]),
        (GET, b"VALUE k 0 1\r\na\r\nVALUE k 0 1\r\na\r\nEND\r\n"),
        (GET, b"VALUE k 0 1\r\nab\r\nEND\r\n"),
        (GET, b"VALUE k 0 2\r\na\r\nEND\r\n"),
        (GET, b"VALUE k 0 -1\r\n"),
        (GET, b"VALUE k 4294967296 1\r\na\r\n"),
        (GET, b"VALUE k 0 1 18446744073709551616\r\na\r\n"),
        (GET, b"VALUE k x 1\r\na\r\n"),
        (GET, b"STORED\r\n"),
        (GET, b"OK\r\n"),
        (GET, b"VA 1\r\na\r\n"),
        (GET, b"END\n"),
        (GET, b"HTTP/1.1 400 Bad Request\r\n"),
        (MANY, &[&a[..], &a, &a].concat()),
        (MANY, b"VALUE d 0 1\r\na\r\n"),
        (SET, b"DELETED\r\n"),
        (SET, b"5\r\n"),
        (SET, b"HTTP/1.1 400 Bad Request\r\n"),
        (SET, b"END\r\n"),
        (INCR, b"18446744073709551616\r\n"),
        (INCR, b"-1\r\n"),
        (INCR, b"STORED\r\n"),
        (DELETE, b"TOUCHED\r\n"),
        (TOUCH, b"OK\r\n"),
        (META, b"VALUE k 0 1\r\na\r\n"),
        (META, b"HTTP/1.1 400 Bad Request\r\n"),
        (META, b"STORED\r\n"),
        (META, b"\r\n"),
        (STATS, b"STAT a b\r\nSTORED\r\n"),
        (RING, b"END\r\n"),
        (RING, b"RING 1 a 1\r\nx\r\nRING 1 a 1\r\nx\r\nEND\r\n"),
        (RING, b"RING\r\n"),
        (LINE, b"VALUE k 0 1\r\na\r\n"),
    ] {
        let shown = bytes.escape_ascii();
        assert!(read(request, &[bytes]).is_err(), "{request:?}: {shown}");
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert!(read(request, &single).is_err(), "{request:?}, byte by byte: {shown}");
    }
}

#[test]
fn errors_do_not_steer_a_terminal() {
    for (line, says) in [
        (&b"SERVER_ERROR \x1b[2Jgone\r\n"[..], r"SERVER_ERROR \u{1b}[2Jgone"),
        (b"CLIENT_ERROR \xc2\x9b2J\tx\r\n", r"CLIENT_ERROR \u{9b}2J\u{9}x"),
        (b"ERROR \xe2\x80\xaegnp\r\n", r"ERROR \u{202e}gnp"),
    ] {
        let answer = read(GET, &[line]).expect("an answer");
        assert!(format!("{answer:?}").contains(&says.replace('\\', r"\\")), "{answer:?}");
    }
}

#[test]
fn nonsense_is_told_in_a_few_words() {
    let long = format!("HTTP/1.1 {}\r\n", "x".repeat(3000));
    let nonsense = read(GET, &[long.as_bytes()]).expect_err("no answer");
    assert!(nonsense.0.starts_with("HTTP/1.1 xxx") && nonsense.0.len() < 200, "{nonsense:?}");
}

/// Sends the same line for ever, and returns the number of bytes taken before it was refused.
fn taken_before_refusal(request: Request<'_>, line: &[u8]) -> usize {
    let (mut decoder, mut input, mut taken) = (request.decoder(), BytesMut::new(), 0);
    loop {
        input.extend_from_slice(line);
        taken += line.len();
        match decoder.read(&mut input, MAX_VALUE) {
            Ok(answer) => assert_eq!(answer, None),
            Err(_) => return taken,
        }
        assert!(taken < 1 << 26, "it goes on for ever");
    }
}

#[test]
fn what_never_ends_is_refused() {
    assert!(taken_before_refusal(GET, b"x") <= 4096);
    assert!(taken_before_refusal(STATS, b"x") <= 4096);
    // Each line costs memory, however short it is.
    assert!(taken_before_refusal(STATS, b"STAT \r\n") <= 1 << 20);
    assert!(taken_before_refusal(STATS, b"STAT a b\r\n") <= 2 << 20);
    assert!(taken_before_refusal(MANY, b"VALUE a 0 0\r\n\r\n") <= 64);
}

fn any_request() -> impl Strategy<Value = Request<'static>> {
    prop::sample::select(vec![GET, MANY, SET, INCR, DELETE, TOUCH, META, STATS, RING, LINE])
}

/// Bytes that look like answers, in any order.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"VALUE ",
        b"k ",
        b"a ",
        b"b ",
        b"c ",
        b"0 ",
        b"1",
        b"2",
        b"\r\n",
        b"\n",
        b"END",
        b"VA ",
        b"HD",
        b"STAT ",
        b"RING ",
        b"ERROR",
        b"STORED",
        b"NOT_FOUND",
        b"99999999999",
        b"x",
        b"\0",
        b"END\r\n",
        b"VALUE k 0 1\r\nx\r\n",
        b"VALUE a 0 0\r\n\r\n",
        b"STAT a b\r\n",
    ];
    vec(prop::sample::select(words), 0..40).prop_map(|words| words.concat())
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![words(), vec(any::<u8>(), 0..300)]
}

/// The outcome of bytes that arrive in such pieces: an answer and the bytes left over, an error, or
/// neither yet.
fn outcome(
    mut decoder: Decoder,
    bytes: &[u8],
    piece: usize,
) -> Result<Option<(Answer, usize)>, ()> {
    let mut input = BytesMut::new();
    let mut handed = 0;
    for piece in bytes.chunks(piece) {
        handed += piece.len();
        input.extend_from_slice(piece);
        match decoder.read(&mut input, MAX_VALUE) {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Some((answer, handed - input.len()))),
            Err(_) => return Err(()),
        }
    }
    Ok(None)
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        request in any_request(),
        bytes in noise(),
        piece in 1usize..20,
    ) {
        let whole = outcome(request.decoder(), &bytes, bytes.len().max(1));
        prop_assert_eq!(outcome(request.decoder(), &bytes, piece), whole);
    }

    #[test]
    fn values_are_read_as_they_were_sent(
        values in vec(prop::option::of((vec(any::<u8>(), 0..2000), any::<u32>(), any::<u64>())), 0..20),
        piece in 1usize..5000,
    ) {
        let keys: Vec<Vec<u8>> = (0..values.len()).map(|n| format!("k{n}").into_bytes()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        for (key, value) in keys.iter().zip(&values) {
            if let Some((value, flags, cas)) = value {
                bytes.extend_from_slice(b"VALUE ");
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(format!(" {flags} {} {cas}\r\n", value.len()).as_bytes());
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(b"END\r\n");
        let expected = values
            .iter()
            .map(|value| value.as_ref().map(|(v, flags, cas)| item(v.clone(), *flags, Some(*cas))))
            .collect();
        let request = Request::GetMany { keys: &keys, with_cas: true };
        let outcome = outcome(request.decoder(), &bytes, piece);
        prop_assert_eq!(outcome, Ok(Some((Answer::Many(expected), bytes.len()))));
    }
}
