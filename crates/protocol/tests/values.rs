//! No byte of a value is ever parsed as a request, whatever is wrong with the line before it.

use proptest::prelude::*;
use proptest::sample::select;
use ringbinder_protocol::{Fault, Follows, Parsed, Request, Storage, parse};

/// The treatment of the bytes after a refused line.
fn follows(line: &str) -> Follows {
    let line = [line.as_bytes(), b"\r\n"].concat();
    match parse(&line) {
        Parsed::Refused { refusal, follows, .. } => {
            assert_eq!(refusal.fault(), Fault::Client, "{}", line.escape_ascii());
            follows
        }
        other => panic!("{} is {other:?}", line.escape_ascii()),
    }
}

#[test]
fn a_value_is_dropped_wherever_its_length_can_be_read() {
    for line in [
        "set k x 0 13",
        "set k 0 x 13",
        "set k 4294967296 0 13",
        "set k\x01 0 0 13",
        "set k x 0 13 noreply",
        "set k x 0 13 y",
        // Blanks in the key.
        "set my key 0 0 13",
        "set my user key 0 0 13",
        "set my key with 0 and 1 in it 0 0 13",
        "add a b c d e f 5 60 13 noreply",
        "cas my key 0 0 13 77",
        "cas my key 0 0 13 77 noreply",
        // No key.
        "set  0 0 13",
        "append  0 0 13 noreply",
        "cas  0 0 13 77",
        // The unique of `cas` is missing or invalid.
        "cas k 0 0 13",
        "cas k 0 0 13 noreply",
        "cas k 0 0 13 x",
        "cas k 0 0 13 -1",
        "cas k 0 x 13 77",
        "ms my key 13",
        "ms my key 13 T0",
        "ms  13 T0",
        "ms  13",
        "ms k S13",
        "ms k 13 ?",
        "ms k 13 F",
        &format!("ms {} 13", "k".repeat(251)),
        &format!("set {} 0 0 13", "k".repeat(9000)),
    ] {
        assert_eq!(follows(line), Follows::Value(15), "{line}");
    }
}

#[test]
fn where_no_length_or_more_than_one_can_be_meant_the_connection_closes() {
    for line in [
        "set",
        "set k",
        "set k 0",
        "set k 0 0",
        "set k 0 13",
        "set k 0 0 noreply",
        "set k 0 0 x",
        "set k 0 0 -1",
        "set k 0 0 13x",
        "set k 0 0 2147483646",
        "set k 0 0 99999999999999999999",
        "cas k 0 0",
        "cas k 0 0 x 77",
        "ms",
        "ms k",
        "ms 13",
        "ms k x",
        "ms k -1",
        // The key could be `k 0`, its flags 0, its exptime 5 and its length 13.
        "set k 0 0 5 13",
        "set k 0 0 5 0 13",
        "cas k 0 0 5 13 77",
        "cas k 0 13 77",
        "cas my key 0 0 13",
        "ms k 5 13",
    ] {
        assert_eq!(follows(line), Follows::Unknown, "{line}");
    }
}

#[test]
fn words_too_many_are_ignored_where_they_cannot_be_a_length() {
    for line in [
        "set k 0 0 13 x",
        "set k 0 0 13 x y",
        "set k 0 0 13 x y noreply",
        "set k 0 0 13 noreply x",
        "prepend k 0 0 13 1 x",
        "cas k 0 0 13 77 x y z",
    ] {
        let line = [line.as_bytes(), b"\r\n"].concat();
        let Parsed::Request { request: Request::Storage(Storage::Classic(store)), .. } =
            parse(&line)
        else {
            panic!("{} is {:?}", line.escape_ascii(), parse(&line));
        };
        assert_eq!((store.key, store.len), (&b"k"[..], 13), "{}", line.escape_ascii());
        assert_eq!(store.noreply, line.ends_with(b"noreply\r\n"));
    }
}

#[test]
fn a_ring_that_is_refused_is_dropped_too() {
    for (line, follows) in [
        ("ring offer zz 13", Follows::Value(15)),
        ("ring offer zz 13 more", Follows::Value(15)),
        ("ring offer zz 9999999", Follows::Value(10_000_001)),
        ("ring offer", Follows::Unknown),
        ("ring offer zz", Follows::Unknown),
        ("ring offer zz 13 14", Follows::Unknown),
    ] {
        let line = [line.as_bytes(), b"\r\n"].concat();
        match parse(&line) {
            Parsed::Refused { follows: found, .. } => assert_eq!(found, follows),
            other => panic!("{} is {other:?}", line.escape_ascii()),
        }
    }
}

/// A storage line as some client writes it, and its value.
#[derive(Clone, Debug)]
struct Sent {
    line: Vec<u8>,
    value: Vec<u8>,
    /// Whether the client's only mistake is to use an unchecked key.
    only_key: bool,
}

/// One mistake of a client.
#[derive(Clone, Debug)]
enum Mistake {
    None,
    /// An unchecked key.
    Key(String),
    /// Surplus words at the end of the line.
    Extra(Vec<&'static str>),
    /// One of the words after the key is missing.
    Missing(usize),
    /// One of the words after the key is replaced.
    Garbled(usize, &'static str),
}

fn mistake() -> impl Strategy<Value = Mistake> {
    let word = || select(vec!["0", "1", "5", "13", "60", "x", "noreply", "-1", "S5", "T0", "a,b"]);
    prop_oneof![
        Just(Mistake::None),
        prop::collection::vec(word(), 0..6).prop_map(|words| Mistake::Key(words.join(" "))),
        "[ -~]{0,20}".prop_map(Mistake::Key),
        prop::collection::vec(word(), 1..4).prop_map(Mistake::Extra),
        (0..4usize).prop_map(Mistake::Missing),
        (0..4usize, select(vec!["x", "-1", "", "1x", "4294967296", "99999999999999999999"]))
            .prop_map(|(word, garbled)| Mistake::Garbled(word, garbled)),
    ]
}

/// Bytes of a value: requests that must not be carried out, at every offset in it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        select(vec!["\r\n", "\n", "x", "delete victim\r\n", "set victim 0 0 1\r\nx\r\n", " "]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

fn sent() -> impl Strategy<Value = Sent> {
    let verb = select(vec!["set", "add", "replace", "append", "prepend", "cas", "ms"]);
    (verb, value(), mistake(), any::<bool>()).prop_map(|(verb, value, mistake, noreply)| {
        let len = value.len().to_string();
        let mut words: Vec<String> = match verb {
            "ms" => vec![len, "T0".into(), "F1".into(), "c".into()],
            "cas" => vec!["0".into(), "60".into(), len, "77".into()],
            _ => vec!["0".into(), "60".into(), len],
        };
        let mut key = "key".to_owned();
        let mut extra = Vec::new();
        let only_key = matches!(mistake, Mistake::None | Mistake::Key(_));
        match mistake {
            Mistake::None => {}
            Mistake::Key(other) => key = other,
            Mistake::Extra(words) => extra = words,
            Mistake::Missing(word) => {
                words.remove(word % words.len());
            }
            Mistake::Garbled(word, garbled) => {
                let word = word % words.len();
                words[word] = garbled.to_owned();
            }
        }
        let mut line = vec![verb.to_owned(), key];
        line.append(&mut words);
        line.extend(extra.into_iter().map(str::to_owned));
        if noreply && verb != "ms" {
            line.push("noreply".into());
        }
        Sent { line: [line.join(" ").as_bytes(), b"\r\n"].concat(), value, only_key }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(65_536))]

    #[test]
    fn no_byte_of_a_value_is_taken_for_a_request(sent in sent()) {
        let Sent { line, value, only_key } = sent;
        let stream = [&line[..], &value, b"\r\n", b"get next\r\n"].concat();
        let next = line.len() + value.len() + 2;
        let shown = stream.escape_ascii().to_string();
        // Start of the next request, if the connection reads on.
        let at = match parse(&stream) {
            Parsed::Request { request, consumed } => match request {
                Request::Storage(storage) => Some(consumed + storage.value_len() + 2),
                other => panic!("{shown} is {other:?}"),
            },
            Parsed::Refused { consumed, follows: Follows::Value(len), .. } => Some(consumed + len),
            Parsed::Refused { follows: Follows::Unknown, .. } => None,
            other => panic!("{shown} is {other:?}"),
        };
        if let Some(at) = at {
            prop_assert!(at >= next, "{} goes on within its value, at {}", shown, at);
            // A user who chooses keys and values cannot change where the next request starts
            // either.
            prop_assert!(at == next || !only_key, "{} goes on at {}", shown, at);
        }
    }
}
