//! Malformed commands, which are used in framed batches only.
//!
//! After a malformed command the two sides may read at different positions, but for at most one command: a
//! body that is too short or too long is padded to the bytes that the reference consumes. After a storage
//! line without a length, ringbinderd closes the connection, so such a line has its own connections
//! ([`without_length`]).

use rand::Rng as _;

use super::command::Command;
use super::generate::Generator;

/// Lines that are invalid by themselves.
const LINES: &[&str] = &[
    "",
    " ",
    "x",
    "m",
    "mx",
    "mgg k1",
    "bogus",
    "bogus k1 0 0 1",
    "GET k1",
    "Set k1 0 0 1",
    "gett k1",
    "get",
    "gets",
    "gat",
    "gat 0",
    "gats 0",
    "gat abc k1",
    "gats  k1",
    "getx k1",
    "g k1",
    "incr",
    "incr k1",
    "incr k1 abc",
    "incr k1 -1",
    "decr k1 1.5",
    "incr k1 18446744073709551616",
    "decr k1 ",
    "incr k1 5x",
    "decr k1 99999999999999999999999",
    "touch",
    "touch k1",
    "touch k1 abc",
    "touch k1 1.5",
    "delete",
    "flush_all abc",
    "flush_all -x noreply",
    "verbosity",
    "verbosity abc",
    "verbosity -1",
    "mg",
    "md",
    "ma",
    "me",
    "mg  ",
    "mg k1 v v",
    "mg k1 z",
    "mg k1 !",
    "mg k1 k k k",
    "mg k1 Nabc",
    "mg k1 T",
    "mg k1 Tabc",
    "mg k1 R1x",
    "mg k1 ME",
    "mg k1 D-1",
    "mg k1 Jx",
    "mg k1 \u{ff}",
    "mg k1 v z v",
    "mg k1 1",
    "mg k1 u O123456789012345678901234567890123",
    "mg k1 v u O12345678901234567890123456789012",
    "mg missing k O12345678901234567890123456789012",
    "mg k1 b",
    "mg azE b",
    "mg azE= b b",
    "mg azE= k b v",
    "mg ==== b",
    "mg !!!! b k",
    "me azE b",
    "me !!!! b",
    "me azE= b",
    "me k1 x",
    "mg missing v c f t k q O1 P L s u h l C1 F1 MI J1 D1",
    "mg k1 v c f t k q O1 P L s u h l N0 T0 R30 b C1 F1 E1",
    "md k1 q k z",
    "md k1 I I",
    "md k1 Cx",
    "md k1 O12345678901234567890123456789012",
    "md azE b",
    "ma k1 N0 N0",
    "ma k1 Jx",
    "ma k1 Dx",
    "ma k1 D-1",
    "ma k1 MX",
    "ma k1 M",
    "ma k1 Cx",
    "ma missing k N0 MZ",
    "ma azE b",
    "ma missing O12345678901234567890123456789012 q",
    "lru",
    "lru bogus",
    "lru tune 10 25 abc 2.0",
    "lru tune 50 50 0.1 2.0",
    "lru tune 10 25 0 2.0",
    "lru mode",
    "lru mode bogus",
    "lru temp_ttl abc",
    "slabs",
    "slabs bogus",
    "slabs automove abc",
    "slabs automove 3",
    "slabs reassign 1",
    "slabs reassign a b",
    "cache_memlimit",
    "cache_memlimit abc",
    "cache_memlimit 1",
    "cache_memlimit 2000000000",
    "lru_crawler",
    "lru_crawler bogus",
    "lru_crawler tocrawl abc",
    "lru_crawler sleep abc",
    "lru_crawler sleep 2000000",
    "lru_crawler tocrawl",
    "lru_crawler bogus all",
    "shutdown",
    "stats bogus",
    "stats detail",
    "stats detail bogus",
    "stats cachedump",
    "stats cachedump 1",
    "stats cachedump a b",
    "stats cachedump 64 1",
    "extstore",
    "extstore bogus",
    "extstore bogus 1",
];

/// Storage lines whose length cannot be read or located.
const WITHOUT_LENGTH: &[&str] = &[
    "set",
    "set k1",
    "set k1 0",
    "set k1 0 0",
    "set k1 0 5",
    "add k1 0 0",
    "add k1 0 0 noreply",
    "cas k1 0 0",
    "cas k1 0 7",
    "append k1",
    "prepend",
    "replace k1",
    "set k1 0 0 -1",
    "set k1 0 0 abc",
    "set k1 0 0 1x",
    "set k1 0 0 1.5",
    "add k1 0 0 -2147483648",
    "replace k1 0 0 2147483646",
    "append k1 0 0 2147483647",
    "set k1 0 0 99999999999999999999",
    "cas k1 0 0 -5 1",
    "cas k1 0 0 abc 1 noreply",
    "ms",
    "ms k1",
    "ms k1 abc",
    "ms k1 -1",
    "ms k1 1x",
    "ms k1 abc T0 c",
];

/// Lines with more words than they need. 1.6.45 executes them and 1.6.18 does not.
const MORE_WORDS: &[&str] = &[
    "incr {} 1 2 3",
    "decr {} 1 x y z noreply",
    "touch {} 0 1 2 3",
    "touch {} 0 x y noreply",
    "delete {} 1",
    "delete {} 5 noreply",
    "delete {} 0 0",
    "delete {} 0 0 0",
    "delete {} noreply 0",
    "delete {} abc",
    "delete {} a b c d noreply",
    "mg {} M",
    "mg {} MEE",
    "mg {} MXY v",
    "verbosity 1 2 3",
    "cache_memlimit 1024 0 0",
];

/// Such lines that store something or have a CAS unique.
const MORE_WORDS_THAT_STORE: &[&str] = &[
    "set {} 0 0 3 x y\r\nxyz",
    "set {} 0 0 3 noreply x\r\nxyz",
    "set {} 0 0 3 x noreply\r\nxyz",
    "replace {} 0 60 3 1 x\r\nxyz",
    "append {} 0 0 3 x y z noreply\r\nxyz",
    "prepend {} 0 0 0 x y\r\n",
    "cas {} 0 0 3 99999 x y\r\nxyz",
    "cas {} 0 0 3 99999 x y noreply\r\nxyz",
    "add {} 7 0 3 a b c d e f g\r\nxyz",
    "ma {} MII N0",
    "ms {} 3 MSS\r\nxyz",
];

/// Storage lines that are refused although their length is readable. A body follows.
const REFUSED: &[&str] = &[
    "set k1 abc 0 3",
    "set k1 -1 0 3",
    "set k1 1.5 0 3 noreply",
    "add k1 0 abc 3",
    "cas k1 0 0 3 abc",
    "cas k1 0 0 3 -1",
    "cas k1 0 0 3 18446744073709551616 noreply",
    "replace k1 0 1x 3 noreply",
    "append k1 x 0 3",
    // The CAS unique is missing.
    "cas k1 0 0 3",
    "cas k1 0 0 3 noreply",
    // There are too many words, and one of them is invalid.
    "set k1 x 0 3 y",
    "set k1 0 x 3 y z",
    "cas k1 0 0 3 x y z",
];

/// Storage lines whose key is missing or contains blanks. memcached reads the length from the wrong position,
/// and executes the body, or part of it, as a command.
const NO_WORD_FOR_A_KEY: &[&str] = &[
    "set my key 0 0 3",
    "set my own key 0 0 3",
    "add my own key 0 0 3 noreply",
    "cas my key 0 0 3 99999",
    "set  0 0 3",
    "ms my key 3 T0",
    "ms k1 S3",
];

/// Meta sets that are refused after their length was read. Their body is consumed.
const REFUSED_META: &[&str] = &[
    "ms k1 3 z",
    "ms k1 3 c c",
    "ms k1 3 Fx",
    "ms k1 3 F-1",
    "ms k1 3 Tx",
    "ms k1 3 Cx",
    "ms k1 3 MX",
    "ms k1 3 O12345678901234567890123456789012",
    "ms azE 3 b",
    "ms !!!! 3 b k",
    "ms k1 3 q z",
    "ms k1 3 M",
    "ms k1 3 Nx",
    "ms k1 3 Dx MS",
];

/// Generates a malformed command.
pub(super) fn any(make: &mut Generator) -> Command {
    match make.rng.random_range(0..12) {
        0..5 => {
            let line = make.pick(LINES);
            let mut command = Command::new(line);
            command.push(make.eol());
            command
        }
        10 => more_words(make),
        11 => refused(make, NO_WORD_FOR_A_KEY),
        5 => refused(make, REFUSED),
        6 => refused(make, REFUSED_META),
        7 => long_key(make),
        8 => bad_chunk(make),
        _ => too_large(make),
    }
}

/// Generates a storage line after which ringbinderd closes the connection.
pub(super) fn without_length(make: &mut Generator) -> Command {
    Command::new(format!("{}\r\n", make.pick(WITHOUT_LENGTH)))
}

fn more_words(make: &mut Generator) -> Command {
    // If the reference refuses them, they use a key that never exists. Otherwise the two servers would hold
    // different items from then on.
    let (line, key) = match make.latest() {
        true if make.chance(40) => (make.pick(MORE_WORDS_THAT_STORE), make.key()),
        true => (make.pick(MORE_WORDS), make.key()),
        false => (make.pick(MORE_WORDS), b"absent".to_vec()),
    };
    let (before, after) = line.split_once("{}").unwrap_or((line, ""));
    let mut command = Command::new(before);
    if before != line {
        command.push(key);
    }
    command.push(after).push("\r\n");
    command
}

fn refused(make: &mut Generator, lines: &[&'static str]) -> Command {
    // The body, if it is executed as a command, is an unknown one.
    Command::new(format!("{}\r\nxyz\r\n", make.pick(lines)))
}

fn long_key(make: &mut Generator) -> Command {
    let length = *[251, 252, 300, 1000].get(make.rng.random_range(0..4)).expect("four");
    let key = "l".repeat(length);
    let form = make.pick(&[
        "get {}\r\n",
        "gets missing {} k2\r\n",
        "gat 0 {}\r\n",
        "incr {} 1\r\n",
        "decr {} 1\r\n",
        "touch {} 0\r\n",
        "delete {}\r\n",
        "delete {} noreply\r\n",
        "mg {} v\r\n",
        "mg {}\r\n",
        "md {} q\r\n",
        "ma {}\r\n",
        "me {}\r\n",
        "ms {} 3\r\nxyz\r\n",
        "set {} 0 0 3\r\nxyz\r\n",
        "add {} 0 0 3 noreply\r\nxyz\r\n",
        "cas {} 0 0 3 1\r\nxyz\r\n",
        "touch {} 0 noreply\r\n",
        "incr {} 1 noreply\r\n",
    ]);
    // `gets k1 <long> k2` drops the commands before it in the same write; framing keeps it separate.
    Command::new(form.replace("{}", &key))
}

/// Generates a body that does not end at its announced length.
fn bad_chunk(make: &mut Generator) -> Command {
    let key = make.key();
    let announced = make.rng.random_range(0..40usize);
    // In 1.6.45, the connection's next set gets the CAS unique that such an `ms` took, which is then lower
    // than those before it.
    let forms = if make.latest() { 3 } else { 5 };
    let (before, after) = match make.rng.random_range(0..forms) {
        0 => ("set {} 0 0 ", ""),
        1 => ("add {} 0 0 ", " noreply"),
        2 => ("append {} 0 0 ", ""),
        3 => ("ms {} ", " c"),
        _ => ("ms {} ", " q k"),
    };
    let (verb, rest) = before.split_once("{}").expect("a key in each form");
    let mut command = Command::new(verb);
    command.push(&key).push(format!("{rest}{announced}{after}\r\n"));
    // Exactly as many bytes as are consumed, with an end other than CRLF ...
    command.push(vec![b'z'; announced]).push(make.pick(&["zz", "\n\r", "z\n", "\rz"]));
    // ... and sometimes more, up to the end of the line: an unknown command.
    if make.chance(60) {
        command.push("zzzz\r\n");
    }
    command
}

fn too_large(make: &mut Generator) -> Command {
    let key = make.key();
    if make.chance(70) {
        // Rare, because it is slow.
        return long_key(make);
    }
    let length = 1_048_577 + make.rng.random_range(0..1000usize);
    let form =
        make.pick(&["set {} 0 0 ", "add {} 0 0 ", "append {} 0 0 ", "ms {} ", "cas {} 0 0 "]);
    let (verb, rest) = form.split_once("{}").expect("a key in each form");
    let mut command = Command::new(verb);
    command.push(&key).push(format!("{rest}{length}"));
    command.push(if verb == "cas " { " 1\r\n" } else { "\r\n" });
    command.push(vec![b'z'; length]).push("\r\n");
    command
}
