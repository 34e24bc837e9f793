//! Tests of forwarding: a client gets the same answer from any node as from a single node.

use ringbinder_tests::conn::show;
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, Kind, Server, needs};

use crate::{hit, set};

/// A placeholder for the item's current CAS number, which is read just before.
const CAS: &str = "{cas}";

/// All forms of every command on a key `K`, with every state that affects the answer.
const COMMANDS: &[&str] = &[
    "get K\r\n",
    "set K 5 0 3\r\nabc\r\n",
    "get K\r\n",
    "gets K\r\n",
    "get K K\r\n",
    "add K 1 0 1\r\nx\r\n",
    "replace K 6 0 4\r\nabcd\r\n",
    "append K 0 0 2\r\nef\r\n",
    "prepend K 0 0 2\r\nyz\r\n",
    "get K\r\n",
    "cas K 7 0 2 {cas}\r\nok\r\n",
    "cas K 7 0 2 1\r\nno\r\n",
    "get K\r\n",
    "touch K 0\r\n",
    "gat 0 K\r\n",
    "gats 100 K K\r\n",
    "incr K 1\r\n",
    "set K 0 0 2\r\n10\r\n",
    "incr K 5\r\n",
    "decr K 7\r\n",
    "decr K 100\r\n",
    "incr K 18446744073709551615\r\n",
    "incr K 2\r\n",
    "incr K x\r\n",
    "incr K 3 noreply\r\n",
    "get K\r\n",
    "set K 0 0 1 noreply\r\nn\r\n",
    "append K 0 0 1 noreply\r\nm\r\n",
    "prepend K 0 0 1 noreply\r\nl\r\n",
    "add K 0 0 1 noreply\r\no\r\n",
    "replace K 9 0 3 noreply\r\nnew\r\n",
    "touch K 0 noreply\r\n",
    "get K\r\n",
    "cas K 0 0 1 1 noreply\r\nx\r\n",
    "get K\r\n",
    "set K 0 0 5\r\ntoo long\r\n",
    "get K\r\n",
    "set K 0 0 2\r\nhi\r\n",
    "set K 0 -1 3\r\nold\r\n",
    "get K\r\n",
    "delete K\r\n",
    "set K 0 0 0\r\n\r\n",
    "get K\r\n",
    "delete K\r\n",
    "delete K noreply\r\n",
    "append K 0 0 1\r\nx\r\n",
    "replace K 0 0 1\r\nx\r\n",
    "cas K 0 0 1 1\r\nx\r\n",
    "incr K 1\r\n",
    "decr K 1 noreply\r\n",
    "touch K 1\r\n",
    "gat 1 K\r\n",
    "gats 1 K\r\n",
    "add K 0 0 3\r\nadd\r\n",
    "gat -1 K\r\n",
    "get K\r\n",
    "cas K 0 0 1\r\nz\r\n",
    "replace K 0 0 1 x y\r\nz\r\n",
    "set K x 0 1\r\n1\r\n",
    "set K x 0 3\r\nxyz\r\n",
    "incr K\r\n",
    "touch K\r\n",
    "delete K 5\r\n",
    "mg K v\r\n",
    "mg K k v q O1\r\n",
    "mg K k O2\r\n",
    "ms K 3 T0 F5\r\nabc\r\n",
    "mg K\r\n",
    "mg K s v f k t c O123\r\n",
    "mg K s v f k q O124\r\n",
    "mg K h l v\r\n",
    "mg K T100 v\r\n",
    "ms K 2 k O9 c I\r\nxy\r\n",
    "ms K 2 q O9\r\nzz\r\n",
    "ms K 1 ME\r\ne\r\n",
    "ms K 1 ME q O5\r\ne\r\n",
    "ms K 1 MA\r\na\r\n",
    "ms K 1 MP\r\np\r\n",
    "ms K 4 MR k\r\nrepl\r\n",
    "ms K 2 C1 O7\r\nno\r\n",
    "ms K 2 C{cas} O8 b\r\nno\r\n",
    "ms K 2 C{cas} O8\r\nok\r\n",
    "mg K v\r\n",
    "ms K 9\r\nshort\r\nmore text\r\n",
    "ms K 3 ?\r\nxyz\r\n",
    "mg K v\r\n",
    "ms K 2 T0\r\nv2\r\n",
    "md K I T30 O4\r\n",
    "mg K s v c t\r\n",
    "mg K v\r\n",
    "md K q O2\r\n",
    "md K q O2\r\n",
    "md K O3 k\r\n",
    "mg K v N30 t\r\n",
    "mg K v N30\r\n",
    "ms K 3 T0\r\nviv\r\n",
    "mg K v R30 t\r\n",
    "md K x\r\n",
    "md K\r\n",
    "ma K\r\n",
    "ma K q\r\n",
    "ma K N0 J10 v\r\n",
    "ma K v O5 k\r\n",
    "ma K D7 v t c\r\n",
    "ma K MD D3 v\r\n",
    "ma K q v\r\n",
    "ma K q O1\r\n",
    "ma K MX\r\n",
    "me K\r\n",
    "mg K v\r\n",
    "ms K 3 T0\r\nabc\r\n",
    "ma K v\r\n",
    "md K C1\r\n",
    "md K C{cas}\r\n",
    "me K\r\n",
    "mg K ! v\r\n",
    "mg K v v\r\n",
];

/// Meta commands on a base64 key `B`.
const BINARY: &[&str] = &[
    "mg B b v\r\n",
    "ms B 3 b T0 k\r\nabc\r\n",
    "mg B b k v O1\r\n",
    "mg B b k q s v\r\n",
    "ms B 2 b MA\r\nde\r\n",
    "me B b\r\n",
    "mg B b v f\r\n",
    "ma B b k\r\n",
    "md B b k q\r\n",
    "md B b k q O2\r\n",
    "ma B b N0 J41 k v\r\n",
    "ma B b k v\r\n",
    "md B b k O3\r\n",
    "me B b\r\n",
    "mg B b k O4\r\n",
];

/// The answer without the numbers that differ between servers: CAS numbers and times.
fn comparable(answer: &[u8]) -> String {
    let text = String::from_utf8(answer.to_vec()).expect("answers of these commands are text");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let same = |word: &&str| (*word).to_owned();
        match words[0] {
            "VALUE" if words.len() == 5 => [&words[..4], &["CAS"]].concat().join(" "),
            "VA" | "HD" | "EN" => {
                let number = |word: &str, flag| {
                    let digits = word.strip_prefix(flag).unwrap_or_default();
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                };
                let hidden = |word: &&str| match word {
                    word if number(word, "c") => "cCAS".to_owned(),
                    word if number(word, "t") => "tTIME".to_owned(),
                    word if number(word, "l") => "lTIME".to_owned(),
                    word => (*word).to_owned(),
                };
                words.iter().map(hidden).collect::<Vec<_>>().join(" ")
            }
            "ME" => {
                let hidden = |word: &&str| match word.split_once('=') {
                    Some((name @ ("cas" | "la"), _)) => format!("{name}=..."),
                    _ => same(word),
                };
                words.iter().map(hidden).collect::<Vec<_>>().join(" ")
            }
            _ => line.to_owned(),
        }
    };
    text.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n")
}

fn cas_of(conn: &mut Conn, key: &str) -> String {
    let answer = conn.ask_text(&format!("mg {key} c\r\n"));
    answer.trim_end().strip_prefix("HD c").unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Sends a script to both servers, one command at a time, and compares the answers.
#[track_caller]
fn compare(ours: &mut Conn, reference: &mut Conn, commands: &[&str], key: &str) {
    for command in commands {
        let fill = |conn: &mut Conn| {
            let command = command.replace(['K', 'B'], key);
            if command.contains(CAS) {
                let cas = cas_of(conn, key);
                return command.replace(CAS, &cas);
            }
            command
        };
        let (to_us, to_reference) = (fill(ours), fill(reference));
        let (answer, expected) = (ours.ask(&to_us), reference.ask(&to_reference));
        assert!(
            comparable(&answer) == comparable(&expected),
            "\n    sent: {}\nexpected: {}\nanswered: {}",
            show(to_us.as_bytes()),
            show(&expected),
            show(&answer)
        );
    }
}

#[test]
fn every_command_is_answered_as_by_one_node() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let single = Server::start(Kind::Ringbinder, &[]);
    let (mut ours, mut reference) = (fleet.connect(0), single.connect());
    for owner in 0..3 {
        for key in fleet.keys_of(0, owner, "key-", 2) {
            compare(&mut ours, &mut reference, COMMANDS, &key);
        }
    }
    // Bytes that a plain key cannot contain, spread over all owners.
    for binary in ["AAE=", "IA0K", "/////w==", "CiA=", "Cg0=", "IAo=", "ICA=", "AA==", "DQ0N"] {
        compare(&mut ours, &mut reference, BINARY, binary);
    }
    assert!(fleet.count(0, "foreign_gets") > 40, "{:?}", fleet.stats(0));
    assert!(fleet.count(0, "foreign_requests") > 300, "{:?}", fleet.stats(0));
    assert_eq!(fleet.count(0, "foreign_failed"), 0);
}

#[test]
fn a_script_in_one_piece_is_answered_in_order() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let single = Server::start(Kind::Ringbinder, &[]);
    let keys: Vec<String> = (0..3).flat_map(|owner| fleet.keys_of(1, owner, "piped-", 3)).collect();
    // Each command goes to all keys before the next one, so neighbours have different owners.
    let mut script = String::new();
    for command in COMMANDS.iter().filter(|command| !command.contains(CAS)) {
        for key in &keys {
            script.push_str(&command.replace('K', key));
        }
    }
    let answer = fleet.connect(1).ask(&script);
    let expected = single.connect().ask(&script);
    let (answer, expected) = (comparable(&answer), comparable(&expected));
    let differs = answer.lines().zip(expected.lines()).position(|(ours, theirs)| ours != theirs);
    if let Some(line) = differs {
        let around = |text: &str| -> Vec<String> {
            text.lines().skip(line.saturating_sub(3)).take(8).map(str::to_owned).collect()
        };
        panic!("line {line}:\nexpected {:#?}\nanswered {:#?}", around(&expected), around(&answer));
    }
    assert_eq!(answer.len(), expected.len());
}

#[test]
fn a_long_pipeline_of_own_and_foreign_keys_is_answered_in_order() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let (mut request, mut expected) = (String::new(), String::new());
    for number in 0..4000 {
        let key = format!("long-{}", number % 700);
        let value = format!("{number}-{}", "v".repeat(number % 97));
        request.push_str(&set(&key, &value));
        request.push_str(&format!("get {key}\r\n"));
        expected.push_str("STORED\r\n");
        expected.push_str(&hit(&key, &value));
        if number % 5 == 0 {
            // A silent command between foreign ones produces no output.
            request.push_str(&format!("set silent-{number} 0 0 1 noreply\r\nx\r\n"));
            request.push_str(&format!("delete silent-{number}\r\n"));
            expected.push_str("DELETED\r\n");
        }
    }
    fleet.connect(2).talk(&request, &expected);
    assert!(fleet.count(2, "foreign_requests") > 2000);
}

#[test]
fn a_multi_get_answers_in_the_order_asked_whoever_owns_the_keys() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let mut conn = fleet.connect(0);
    let mut keys = Vec::new();
    for number in 0..100 {
        let key = format!("multi-{number}");
        if number % 7 != 3 {
            // Written through any node.
            fleet.connect(number % 3).talk(set(&key, &format!("value {number}")), "STORED\r\n");
        }
        keys.push((key, number));
    }
    let owners: std::collections::HashSet<usize> =
        keys.iter().map(|(key, _)| fleet.owner(0, key)).collect();
    assert_eq!(owners.len(), 3);
    // Some keys occur more than once, next to each other and apart.
    let mut asked = keys.clone();
    asked.extend_from_slice(&keys[10..30]);
    asked.insert(50, keys[49].clone());
    asked.insert(50, keys[49].clone());
    for command in ["get", "gat 0"] {
        let (mut request, mut expected) = (command.to_owned(), String::new());
        for (key, number) in &asked {
            request.push_str(&format!(" {key}"));
            if number % 7 != 3 {
                let value = format!("value {number}");
                expected.push_str(&format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len()));
            }
        }
        expected.push_str("END\r\n");
        conn.talk(format!("{request}\r\n"), &expected);
    }
    let many: Vec<&str> = asked.iter().map(|(key, _)| key.as_str()).collect();
    let answer = conn.ask_text(&format!("gets {}\r\n", many.join(" ")));
    let found = answer.lines().filter(|line| line.starts_with("VALUE ")).count();
    assert_eq!(found, asked.iter().filter(|(_, number)| number % 7 != 3).count());
}

#[test]
fn a_large_value_goes_there_and_back() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &["-I", "2m"]);
    let value: String = (0..1 << 20).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let mut request = String::new();
    let (mut gets, mut expected) = (String::new(), String::new());
    for owner in 0..3 {
        for key in fleet.keys_of(0, owner, "large-", 2) {
            request.push_str(&set(&key, &value));
            gets.push_str(&format!("get {key}\r\n"));
            expected.push_str(&hit(&key, &value));
        }
    }
    fleet.connect(0).talk(&request, "STORED\r\n".repeat(6));
    for node in 0..3 {
        fleet.connect(node).talk(&gets, &expected);
    }
}

#[test]
fn a_value_that_is_too_large_drops_the_old_one_at_its_owner() {
    needs!(Kind::Ringbinder);
    const REFUSED: &str = "SERVER_ERROR object too large for cache\r\n";
    let fleet = Fleet::running(3, &[]);
    let too_large = "x".repeat(1 << 20);
    for owner in 0..3 {
        let mut conn = fleet.connect(0);
        let key = &fleet.keys_of(0, owner, "too-", 1)[0];
        conn.talk(set(key, "old"), "STORED\r\n");
        conn.talk(set(key, &too_large), REFUSED);
        fleet.connect(owner).talk(format!("get {key}\r\n"), "END\r\n");
        conn.talk(set(key, "old"), "STORED\r\n");
        conn.talk(format!("ms {key} {} q\r\n{too_large}\r\n", too_large.len()), REFUSED);
        fleet.connect(owner).talk(format!("get {key}\r\n"), "END\r\n");
        // Only a set replaces the item unconditionally.
        conn.talk(set(key, "old"), "STORED\r\n");
        conn.talk(format!("add {key} 0 0 {}\r\n{too_large}\r\n", too_large.len()), REFUSED);
        fleet.connect(owner).talk(format!("get {key}\r\n"), hit(key, "old"));
    }
}

#[test]
fn a_client_that_hangs_up_in_the_middle_leaves_nothing_behind() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let key = &fleet.keys_of(0, 1, "gone-", 1)[0];
    for _ in 0..20 {
        let mut conn = fleet.connect(0);
        conn.send(format!("get {key}\r\n").repeat(300));
        conn.send(format!("set {key} 0 0 100000\r\nnot all of it"));
    }
    let mut conn = fleet.connect(0);
    conn.talk(set(key, "whole"), "STORED\r\n");
    conn.talk(format!("get {key}\r\n"), hit(key, "whole"));
    assert_eq!(fleet.stat(0, "peer:cache-1:state"), "up");
}
