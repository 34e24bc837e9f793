//! Requests in every form and at every cut; no input breaks the parser.

use proptest::prelude::*;
use ringbinder_protocol::{
    Admin, BinaryRequest, Follows, Foreign, Keyed, MAX_GET_LINE, MAX_KEY_LEN, MAX_LINE, Parsed,
    Refusal, Request, Stats, Storage, Verb, WatchFlags, parse,
};

fn request(line: &[u8]) -> Request<'_> {
    match parse(line) {
        Parsed::Request { request, consumed } => {
            assert_eq!(consumed, line.len());
            request
        }
        other => panic!("{} is {other:?}", line.escape_ascii()),
    }
}

fn keyed(line: &[u8]) -> Keyed<'_> {
    match request(line) {
        Request::Keyed(keyed) => keyed,
        other => panic!("{} is {other:?}", line.escape_ascii()),
    }
}

/// The refusal of a line, whether it is suppressed, and what follows it.
fn refused(line: &[u8]) -> (Refusal, bool, Follows) {
    match parse(line) {
        Parsed::Refused { refusal, quiet, consumed, follows } => {
            assert_eq!(consumed, line.len());
            (refusal, quiet, follows)
        }
        other => panic!("{} is {other:?}", line.escape_ascii()),
    }
}

/// Lines of every command and every kind of refusal.
const LINES: &[&[u8]] = &[
    b"get a\r\n",
    b"get a b  c \r\n",
    b"gets a\n",
    b"gat 10 a b\r\n",
    b"gats -1 a\r\n",
    b"set a 1 2 3\r\n",
    b"set a 1 2 3 noreply\r\n",
    b"cas a 1 2 3 4\r\n",
    b"append a 0 0 0\r\n",
    b"delete a\r\n",
    b"delete a 0 noreply\r\n",
    b"incr a 5\r\n",
    b"touch a 5 noreply\r\n",
    b"mg a v k f c t Oabc q\r\n",
    b"mg YQ== b v\r\n",
    b"ms a 5 T10 F2 MA\r\n",
    b"md a q I T5\r\n",
    b"ma a N0 J5 D2 MD\r\n",
    b"mn\r\n",
    b"me a\r\n",
    b"version\r\n",
    b"stats\r\n",
    b"stats settings\r\n",
    b"flush_all 10 noreply\r\n",
    b"lru_crawler metadump all\r\n",
    b"watch fetchers mutations\r\n",
    b"verbosity 1\r\n",
    b"quit\r\n",
    b"set a x 0 5\r\n",
    b"get\r\n",
    b"nonsense\r\n",
    b"\r\n",
    b"GET / HTTP/1.1\r\n",
];

#[test]
fn a_line_is_incomplete_until_its_last_byte_and_the_same_whatever_follows() {
    for line in LINES {
        for cut in 0..line.len() {
            let head = parse(&line[..cut]);
            assert!(matches!(head, Parsed::Incomplete), "{:?} is {head:?}", &line[..cut]);
        }
        let alone = format!("{:?}", parse(line));
        for follower in [&b"x"[..], b"\r\n", b"get b\r\n", &[0, 255, 10]] {
            let mut more = line.to_vec();
            more.extend_from_slice(follower);
            assert_eq!(format!("{:?}", parse(&more)), alone);
        }
    }
}

#[test]
fn retrieval_lines() {
    let Request::Get(get) = request(b"gets a bb ccc\r\n") else { panic!() };
    assert_eq!((get.exptime, get.with_cas), (None, true));
    assert_eq!(get.keys.collect::<Vec<_>>(), [&b"a"[..], b"bb", b"ccc"]);
    let Request::Get(gat) = request(b"gat -1 a\r\n") else { panic!() };
    assert_eq!((gat.exptime, gat.with_cas), (Some(-1), false));
    let alone = |refusal| (refusal, false, Follows::Request);
    assert_eq!(refused(b"get\r\n"), alone(Refusal::BadFormat));
    assert_eq!(refused(b"gat 0\r\n"), alone(Refusal::BadFormat));
    assert_eq!(refused(b"gat x a\r\n"), alone(Refusal::BadExptime));
    let long = [b"get a ", &[b'k'; MAX_KEY_LEN + 1][..], b"\r\n"].concat();
    assert_eq!(refused(&long), alone(Refusal::BadFormat));
    assert_eq!(refused(b"get a\x01\r\n"), alone(Refusal::BadFormat));
}

#[test]
fn storage_lines() {
    let Request::Storage(Storage::Classic(store)) =
        request(b"cas key 4294967295 -5 10 77 noreply\r\n")
    else {
        panic!()
    };
    assert_eq!((store.verb, store.key), (Verb::Cas, &b"key"[..]));
    assert_eq!((store.flags, store.exptime, store.len), (u32::MAX, -5, 10));
    assert_eq!((store.cas, store.noreply), (77, true));
    let Request::Storage(Storage::Classic(store)) = request(b"set a 0 0 1 noreply x\r\n") else {
        panic!()
    };
    assert_eq!((store.len, store.noreply), (1, false), "words too many say nothing");
}

#[test]
fn lines_of_delete_arithmetic_and_touch() {
    assert!(matches!(keyed(b"delete a 0\r\n"), Keyed::Delete(d) if !d.noreply));
    assert!(matches!(keyed(b"delete a noreply\r\n"), Keyed::Delete(d) if d.noreply));
    assert!(matches!(keyed(b"delete a 0 noreply\r\n"), Keyed::Delete(d) if d.noreply));
    assert!(matches!(keyed(b"delete a 5 noreply\r\n"), Keyed::Delete(d) if d.noreply));
    assert!(matches!(keyed(b"delete a noreply x y\r\n"), Keyed::Delete(d) if !d.noreply));
    assert_eq!(refused(b"delete\r\n").0, Refusal::BadFormat);
    assert!(
        matches!(keyed(b"decr a 007\r\n"), Keyed::Arithmetic(a) if a.delta == 7 && !a.increment)
    );
    assert_eq!(refused(b"incr a -1\r\n").0, Refusal::BadDelta);
    assert_eq!(refused(b"incr a x noreply\r\n"), (Refusal::BadDelta, true, Follows::Request));
    assert_eq!(refused(b"incr a\r\n").0, Refusal::BadFormat);
    assert!(matches!(keyed(b"touch a 60\r\n"), Keyed::Touch(t) if t.exptime == 60));
    assert_eq!(refused(b"touch a x\r\n").0, Refusal::BadExptime);
}

#[test]
fn meta_lines() {
    let Keyed::MetaGet(meta) = keyed(b"mg YWI= b k v T30 N60 R10 C5 E6 Oxyz q\r\n") else {
        panic!()
    };
    let mut room = [0; MAX_KEY_LEN];
    assert_eq!(meta.key.bytes(&mut room), b"ab");
    assert_eq!((meta.exptime, meta.vivify, meta.recache), (Some(30), Some(60), Some(10)));
    assert_eq!((meta.compare_cas, meta.new_cas), (Some(5), Some(6)));
    assert!(meta.quiet() && meta.has(b'v') && !meta.has(b'u'));
    let letters: Vec<u8> = meta.flags().map(|(letter, _)| letter).collect();
    assert_eq!(letters, *b"bkvTNRCEOq");

    let Request::Storage(Storage::Meta(store)) = request(b"ms a 7 F9 MP I\r\n") else { panic!() };
    assert_eq!((store.len, store.meta.client_flags), (7, 9));
    assert_eq!(store.verb, Verb::Prepend);
    let Keyed::MetaArithmetic(line) = keyed(b"ma a M- D3 J4\r\n") else { panic!() };
    assert_eq!((line.increment, line.meta.delta, line.meta.initial), (false, 3, 4));

    for (line, refusal) in [
        (&b"mg\r\n"[..], Refusal::BadFormat),
        (b"mg a v v\r\n", Refusal::DuplicateFlag),
        (b"mg a \xff\r\n", Refusal::BadFormat),
        (b"mg a !\r\n", Refusal::BadFormat),
        (b"mg a y\r\n", Refusal::InvalidFlag),
        (b"mg a T\r\n", Refusal::BadToken),
        (b"mg a F\r\n", Refusal::BadFormat),
        (b"mg a Jx\r\n", Refusal::BadInitial),
        (b"mg a Dx\r\n", Refusal::BadMetaDelta),
        (b"mg a b\r\n", Refusal::BadBase64Key),
        (b"mg a Tx Jx\r\n", Refusal::BadInitial),
        (b"mg a O12345678901234567890123456789012\r\n", Refusal::OpaqueTooLong),
        (b"mg a A B C D E F G H I J K L M N O P Q R S\r\n", Refusal::TooManyFlags),
        (b"md a v v\r\n", Refusal::DuplicateFlag),
        (b"ma a v v\r\n", Refusal::InvalidOrDuplicateFlag),
        (b"ma a M\r\n", Refusal::BadArithmeticMode),
        (b"ma a MX\r\n", Refusal::BadArithmeticMode),
        (b"me\r\n", Refusal::BadFormat),
    ] {
        assert_eq!(refused(line), (refusal, false, Follows::Request), "{}", line.escape_ascii());
    }
    assert_eq!(refused(b"ms a 5 zz\r\n").0, Refusal::InvalidFlag);
    assert_eq!(refused(b"ms a 5 MZ\r\n").0, Refusal::BadStoreMode);
    assert_eq!(refused(b"ms a 5 M\r\n").0, Refusal::BadStoreMode);
    assert!(
        matches!(request(b"ms a 5 MSX\r\n"), Request::Storage(Storage::Meta(s)) if s.verb == Verb::Set)
    );
}

#[test]
fn administrative_lines() {
    let admin = |line| match request(line) {
        Request::Admin(admin) => admin,
        other => panic!("{other:?}"),
    };
    assert!(matches!(admin(b"version anything\r\n"), Admin::Version));
    assert!(matches!(admin(b"flush_all\r\n"), Admin::FlushAll { delay: Ok(0), noreply: false }));
    assert!(matches!(
        admin(b"flush_all 5 noreply\r\n"),
        Admin::FlushAll { delay: Ok(5), noreply: true }
    ));
    assert!(matches!(admin(b"flush_all x\r\n"), Admin::FlushAll { delay: Err(_), .. }));
    assert!(matches!(admin(b"stats\r\n"), Admin::Stats(Stats::General)));
    assert!(matches!(
        admin(b"stats cachedump 1 9\r\n"),
        Admin::Stats(Stats::Cachedump(Ok((1, 9))))
    ));
    let Admin::Watch { flags: Ok(flags) } = admin(b"watch fetchers deletions\r\n") else {
        panic!()
    };
    assert!(flags.intersects(WatchFlags::DELETIONS) && !flags.intersects(WatchFlags::EVICTIONS));
    for line in [
        &b"lru tune 10 25 0.1 2.0\r\n"[..],
        b"lru mode flat\r\n",
        b"slabs automove 1\r\n",
        b"extstore item_size 5\r\n",
        b"lru_crawler sleep 1\r\n",
    ] {
        assert!(matches!(admin(line), Admin::Harmless { answer: "OK", .. }));
    }
    for (line, refusal) in [
        (&b"lru tune 50 50 0.1 2.0\r\n"[..], Refusal::LruShares),
        (b"lru tune 10 10 0 2.0\r\n", Refusal::LruFactors),
        (b"lru_crawler sleep 1000001\r\n", Refusal::CrawlerSleep),
        (b"slabs automove window 1\r\n", Refusal::AutomoveWindow),
        (b"verbosity x\r\n", Refusal::BadFormat),
        (b"verbosity\r\n", Refusal::BadFormat),
        (b"cache_memlimit\r\n", Refusal::Unknown),
    ] {
        assert_eq!(refused(line).0, refusal, "{}", line.escape_ascii());
    }
}

#[test]
fn lines_end() {
    let endless = |buffer: &[u8]| matches!(parse(buffer), Parsed::Foreign(Foreign::EndlessLine));
    let spaces = |len| [b"set ", &vec![b'x'; len - 4][..]].concat();
    assert!(!endless(&spaces(MAX_LINE)));
    assert!(endless(&spaces(MAX_LINE + 2)));
    // The same once the line end is there: the cut must not change the result.
    assert!(endless(&[&spaces(MAX_LINE + 1)[..], b"\r\n"].concat()));
    for get in [&b"get "[..], b"gets ", b"gat 0 ", b"gats 0 ", b"  get "] {
        let mut line = get.to_vec();
        while line.len() < MAX_GET_LINE - 10 {
            line.extend_from_slice(b"key:1234 ");
        }
        assert!(matches!(parse(&line), Parsed::Incomplete));
        line.extend_from_slice(b"\r\n");
        assert!(matches!(parse(&line), Parsed::Request { .. }));
        line.truncate(line.len() - 2);
        line.extend_from_slice(&[b'a'; 20]);
        assert!(endless(&line));
    }
}

#[test]
fn other_protocols_are_recognised() {
    let binary = [&b"\x80\x0b"[..], &[0; 10], b"abcd", &[0; 8]].concat();
    let asked = BinaryRequest { opcode: 0x0b, opaque: *b"abcd" };
    for cut in 0..binary.len() {
        assert!(matches!(parse(&binary[..cut]), Parsed::Incomplete));
    }
    for behind in [&b""[..], b"\n", b"key and value"] {
        let whole = [&binary, behind].concat();
        assert!(matches!(parse(&whole), Parsed::Foreign(Foreign::Binary(it)) if it == asked));
    }
    assert!(matches!(parse(&[0x16, 0x03, 0x01]), Parsed::Foreign(Foreign::Tls)));
    assert!(matches!(parse(b"GET / HTTP/1.1\r\n"), Parsed::Foreign(Foreign::Http)));
    assert!(matches!(parse(b"POST /x HTTP/1.0\n"), Parsed::Foreign(Foreign::Http)));
    assert!(matches!(parse(b"get HTTP/1.1\r\n"), Parsed::Request { .. }), "a key like any other");
}

#[test]
fn reading_takes_no_memory() {
    let multiget = [&b"get "[..], &b"some:key:123 ".repeat(100), b"\r\n"].concat();
    let lines: [&[u8]; 5] = [
        b"get notes:1\r\n",
        &multiget,
        b"mg notes:1 v k f t c Oabc q\r\n",
        b"mg YWJj b v\r\n",
        b"set notes:1 0 0 10 noreply\r\n",
    ];
    for line in lines {
        let memory = allocation_counter::measure(|| {
            assert!(matches!(parse(line), Parsed::Request { .. }));
        });
        assert_eq!(memory.count_total, 0, "{}", line[..20.min(line.len())].escape_ascii());
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            &b"get"[..],
            b"gets",
            b"gat",
            b"set",
            b"add",
            b"cas",
            b"delete",
            b"incr",
            b"touch",
            b"mg",
            b"ms",
            b"md",
            b"ma",
            b"me",
            b"stats",
            b"watch",
            b"lru",
            b"slabs",
            b"noreply",
            b"0",
            b"-1",
            b"18446744073709551616",
            b"v",
            b"T10",
            b"Oq",
            b"b",
            b"YQ==",
            b"\r\n",
            b"\n",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #[test]
    fn no_input_breaks_the_parser_and_no_cut_changes_the_answer(
        words in prop::collection::vec(word(), 0..12),
        end in prop::sample::select(vec![&b"\r\n"[..], b"\n", b""]),
    ) {
        let mut input = words.join(&b' ');
        input.extend_from_slice(end);
        let whole = parse(&input);
        let consumed = match &whole {
            Parsed::Request { consumed, .. } | Parsed::Refused { consumed, .. } => *consumed,
            Parsed::Incomplete | Parsed::Foreign(_) => return Ok(()),
        };
        prop_assert!(consumed <= input.len());
        prop_assert_eq!(input[consumed - 1], b'\n');
        for cut in 0..consumed {
            prop_assert!(matches!(parse(&input[..cut]), Parsed::Incomplete));
        }
        prop_assert_eq!(format!("{:?}", parse(&input[..consumed])), format!("{whole:?}"));
        if let Parsed::Request { request: Request::Get(get), .. } = whole {
            for key in get.keys {
                prop_assert!((1..=MAX_KEY_LEN).contains(&key.len()));
                prop_assert!(key.iter().all(|&byte| byte > 0x20 && byte != 0x7f));
            }
        }
    }
}
