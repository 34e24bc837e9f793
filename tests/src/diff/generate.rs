//! Generates commands with all verbs, on few keys so that many commands meet the same item, and with current,
//! old and wrong CAS numbers.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use super::command::{CasPair, Command};
use super::{Profile, errors, meta};

/// Number of keys in a history. It is small, so that every command meets every state.
const KEYS: usize = 50;
/// memcached's limit for an item, including all overhead.
const ITEM_MAX: usize = 1024 * 1024;
/// Bytes that memcached counts for an item besides key, flags and value.
const ITEM_OVERHEAD: usize = 48 + 8 + 1 + 2;

/// A generator of commands. It learns CAS numbers from the answers.
pub struct Generator {
    pub(super) rng: StdRng,
    profile: Profile,
    /// Whether CAS numbers are renamed: see [`super::Plan::rename_cas`].
    rename_cas: bool,
    keys: Vec<Vec<u8>>,
    /// The latest known CAS of each key. The key is as sent, so in base64 if it was.
    known: HashMap<Vec<u8>, CasPair>,
    /// CAS numbers of earlier states.
    older: Vec<CasPair>,
    /// Whether the current batch is a raw one.
    raw: bool,
    /// The keys read in the current raw batch. Their answers may still be in memcached's queue. While an
    /// answer refers to a number, memcached does not change it in place, and so it loses its padding.
    read: Vec<Vec<u8>>,
}

impl Generator {
    /// A generator whose commands depend on `seed`, the profile, and the CAS numbers that it learns.
    pub fn new(seed: u64, profile: Profile, rename_cas: bool) -> Generator {
        let mut keys: Vec<Vec<u8>> =
            (0..KEYS - 6).map(|number| format!("k{number}").into_bytes()).collect();
        keys.push(vec![b'x'; 250]);
        keys.push(vec![b'y'; 249]);
        // Not `noreply` itself: 1.6.45 takes it for the option wherever it is the last word.
        keys.push(b"noreplies".to_vec());
        keys.push(b"0".to_vec());
        keys.push("schl\u{fc}ssel/\u{1f511}".as_bytes().to_vec());
        keys.push(b"a:b:c".to_vec());
        Generator {
            rng: StdRng::seed_from_u64(seed),
            profile,
            rename_cas,
            keys,
            known: HashMap::new(),
            older: Vec::new(),
            raw: false,
            read: Vec::new(),
        }
    }

    /// Whether the flags new in 1.6.45 are sent.
    pub(super) fn latest(&self) -> bool {
        self.profile == Profile::Latest
    }

    /// Whether the output of a batch must not contain CAS numbers. That is the case for a raw batch, whose
    /// output is not parsed.
    pub(super) fn hides_cas(&self) -> bool {
        self.raw && self.rename_cas
    }

    /// Whether the current batch is a raw one.
    pub(super) fn raw(&self) -> bool {
        self.raw
    }

    /// Records the CAS of a key from an answer.
    pub fn learn(&mut self, key: Vec<u8>, pair: CasPair) {
        if let Some(before) = self.known.insert(key, pair)
            && before != pair
        {
            if self.older.len() >= 64 {
                self.older.remove(0);
            }
            self.older.push(before);
        }
    }

    /// Generates the next batch. Returns its commands, and whether it is a raw batch.
    pub fn batch(&mut self) -> (Vec<Command>, bool) {
        self.raw = self.chance(30);
        self.read.clear();
        let count = self.rng.random_range(1..=50);
        let mut commands = Vec::with_capacity(count + 1);
        // A CAS from the previous batch is still current unless another command came between.
        if self.chance(60) {
            commands.push(self.compare_and_store());
        }
        while commands.len() < count {
            self.next(&mut commands);
        }
        if !self.raw && self.chance(60) {
            commands.push(self.read_cas());
        }
        (commands, self.raw)
    }

    fn next(&mut self, commands: &mut Vec<Command>) {
        let command = match self.rng.random_range(0..1000) {
            0..220 => self.storage(),
            220..270 => self.compare_and_store(),
            270..430 => self.retrieval(),
            430..530 => self.arithmetic(),
            530..560 => self.touch(),
            560..610 => self.delete(),
            610..750 => meta::get(self),
            750..850 => meta::set(self),
            850..900 => meta::delete(self),
            900..950 => meta::arithmetic(self),
            950..955 => self.plain(),
            955..958 => self.flush(),
            958..960 => return self.near_the_limit(commands),
            960..968 => return self.stale_and_win(commands),
            _ if self.raw => self.retrieval(),
            _ => errors::any(self),
        };
        commands.push(command);
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.rng).expect("something to choose from")
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        // Half of all commands use a few keys: sequences on the same key find differences.
        let index = if self.chance(50) {
            self.rng.random_range(0..6)
        } else {
            self.rng.random_range(0..self.keys.len())
        };
        self.keys[index].clone()
    }

    /// A CAS for a command on `key`: usually the last known one, else an older or a wrong one.
    pub(super) fn cas_for(&mut self, key: &[u8]) -> CasPair {
        let known = self.known.get(key).copied();
        match (self.rng.random_range(0..100), known) {
            (0..65, Some(pair)) => pair,
            (65..72, Some(pair)) if !self.rename_cas => CasPair::same(pair.theirs + 1),
            (0..85, _) if !self.older.is_empty() => {
                *self.older.choose(&mut self.rng).expect("not empty")
            }
            _ => CasPair::same(*[0, 1, 5, u64::MAX - 1].choose(&mut self.rng).expect("four")),
        }
    }

    /// An expiry for which answers do not depend on the time of the request.
    pub(super) fn exptime(&mut self) -> &'static str {
        let always = ["0", "0", "0", "0", "1500", "5000", "86400", "2592000", "2000000000"];
        // Expired at once: negative, or a Unix time in the past.
        let dead = ["-1", "-100", "2592001", "-2147483648"];
        if self.chance(92) { self.pick(&always) } else { self.pick(&dead) }
    }

    pub(super) fn flags(&mut self) -> String {
        match self.rng.random_range(0..10) {
            0..5 => "0".into(),
            5..7 => "4294967295".into(),
            7..9 => self.rng.random_range(1..100).to_string(),
            _ => self.rng.next_u32().to_string(),
        }
    }

    /// A value: a number, almost a number, or random bytes, usually few. It never contains `M`, so it cannot
    /// contain a sentinel.
    pub(super) fn value(&mut self) -> Vec<u8> {
        let length = match self.rng.random_range(0..1000) {
            0..250 => return self.number().into_bytes(),
            250..300 => return self.almost_number().into(),
            300..340 => 0,
            340..750 => self.rng.random_range(1..100),
            750..920 => self.rng.random_range(100..2_000),
            920..980 => self.rng.random_range(2_000..20_000),
            _ => self.rng.random_range(20_000..100_000),
        };
        self.bytes(length)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        for byte in &mut bytes {
            if *byte == b'M' {
                *byte = b'\n';
            }
        }
        if length >= 8 && self.chance(20) {
            let at = self.rng.random_range(0..=length - 5);
            bytes[at..at + 5].copy_from_slice(b"END\r\n");
        }
        // A value that begins with white space might contain nothing else. memcached would then read a number
        // beyond the end of the value.
        if let Some(first) = bytes.first_mut().filter(|first| is_space(**first)) {
            *first = b'x';
        }
        bytes
    }

    fn number(&mut self) -> String {
        match self.rng.random_range(0..8) {
            0 => "0".into(),
            1 => "4611686018427387904".into(),
            2 => (self.rng.next_u64() >> 2).to_string(),
            3 => "100".into(),
            4 => "1000000".into(),
            _ => self.rng.random_range(0..1000u32).to_string(),
        }
    }

    /// A text that is almost a number. It is never only white space: memcached would then read a number
    /// beyond the end of the value.
    fn almost_number(&mut self) -> &'static str {
        self.pick(&[
            "12 ",
            " 12",
            "+5",
            "-5",
            "12a",
            "a12",
            "1.5",
            "007",
            "0x10",
            "",
            "12 abc",
            "\t7",
            "18446744073709551616",
            "99999999999999999999",
            "5\r",
            "1e3",
        ])
    }

    /// A number to add or to start from. Sums stay below 2^63. For larger numbers, 1.6.18 looks for a minus
    /// sign in the memory after the value.
    pub(super) fn increment(&mut self) -> String {
        match self.rng.random_range(0..6) {
            0 => "0".into(),
            1 => (self.rng.next_u64() >> 24).to_string(),
            _ => self.rng.random_range(1..200u32).to_string(),
        }
    }

    /// Any number to subtract.
    pub(super) fn decrement(&mut self) -> String {
        match self.rng.random_range(0..6) {
            0 => "0".into(),
            1 => "18446744073709551615".into(),
            2 => self.rng.next_u64().to_string(),
            _ => self.rng.random_range(1..200u32).to_string(),
        }
    }

    fn noreply(&mut self) -> &'static str {
        if self.chance(12) { " noreply" } else { "" }
    }

    /// A line break: CRLF, and sometimes LF alone.
    pub(super) fn eol(&mut self) -> &'static str {
        if self.chance(3) { "\n" } else { "\r\n" }
    }

    /// `<verb> <key> `
    pub(super) fn start(&mut self, verb: &str, key: &[u8]) -> Command {
        let mut command = Command::new(verb);
        command.push(if self.chance(2) { "  " } else { " " }).push(key);
        command
    }

    fn storage(&mut self) -> Command {
        let verbs =
            ["set", "set", "set", "set", "add", "add", "replace", "replace", "append", "prepend"];
        let verb = self.pick(&verbs);
        let key = self.key();
        let value = if ["append", "prepend"].contains(&verb) { self.part() } else { self.value() };
        self.store(verb, &key, &value)
    }

    /// A value to append or prepend. It never has digits alone, which could result in a number of 2^63 or
    /// more.
    pub(super) fn part(&mut self) -> Vec<u8> {
        let mut part = self.value();
        if part.iter().all(u8::is_ascii_digit) {
            part.push(b'x');
        }
        part
    }

    fn store(&mut self, verb: &str, key: &[u8], value: &[u8]) -> Command {
        let (flags, exptime) = (self.flags(), self.exptime());
        let mut command = self.start(verb, key);
        command.push(format!(" {flags} {exptime} {}", value.len()));
        command.push(self.noreply()).push(self.eol()).push(value).push("\r\n");
        command
    }

    fn compare_and_store(&mut self) -> Command {
        let (key, value) = (self.key(), self.value());
        let (flags, exptime, cas) = (self.flags(), self.exptime(), self.cas_for(&key));
        let mut command = self.start("cas", &key);
        command.push(format!(" {flags} {exptime} {} ", value.len())).push_cas(cas);
        command.push(self.noreply()).push(self.eol()).push(value).push("\r\n");
        command
    }

    fn retrieval(&mut self) -> Command {
        // Raw batches are not masked, so they contain no CAS numbers if these are renamed.
        let verbs = if self.hides_cas() {
            ["get", "get", "get", "gat"]
        } else {
            ["get", "gets", "gat", "gats"]
        };
        let verb = self.pick(&verbs);
        let mut command = Command::new(verb);
        if verb.starts_with("gat") {
            command.push(" ").push(self.exptime());
        }
        let count = match self.rng.random_range(0..10) {
            0..6 => 1,
            6..9 => self.rng.random_range(2..8),
            // More words than memcached's tokenizer takes in one pass.
            _ => self.rng.random_range(20..60),
        };
        for _ in 0..count {
            let key = if self.chance(10) { b"missing".to_vec() } else { self.key() };
            command.push(" ").push(&key);
            self.note_read(&key);
        }
        command.push(self.eol());
        command
    }

    /// A command that reads the CAS of a few keys, for the next batch.
    fn read_cas(&mut self) -> Command {
        let mut command = Command::new("gets");
        for _ in 0..self.rng.random_range(1..6) {
            command.push(" ").push(self.key());
        }
        command.push("\r\n");
        command
    }

    /// Records that the batch has read this key.
    pub(super) fn note_read(&mut self, key: &[u8]) {
        if self.raw {
            self.read.push(key.to_vec());
        }
    }

    /// A key for arithmetic whose answers cannot be in memcached's queue.
    pub(super) fn key_for_arithmetic(&mut self) -> Vec<u8> {
        for _ in 0..20 {
            let key = self.key();
            if !self.read.contains(&key) {
                return key;
            }
        }
        b"missing".to_vec()
    }

    fn arithmetic(&mut self) -> Command {
        let verb = self.pick(&["incr", "decr"]);
        let key = self.key_for_arithmetic();
        let delta = if verb == "incr" { self.increment() } else { self.decrement() };
        let mut command = self.start(verb, &key);
        command.push(" ").push(delta).push(self.noreply()).push(self.eol());
        command
    }

    fn touch(&mut self) -> Command {
        let key = self.key();
        let mut command = self.start("touch", &key);
        command.push(" ").push(self.exptime()).push(self.noreply()).push(self.eol());
        command
    }

    fn delete(&mut self) -> Command {
        let key = self.key();
        let mut command = self.start("delete", &key);
        if self.chance(15) {
            command.push(" 0");
        }
        command.push(self.noreply()).push(self.eol());
        command
    }

    fn plain(&mut self) -> Command {
        // Without `mn`, which a framed batch would take for a sentinel.
        let lines = ["verbosity 0", "verbosity 1", "verbosity 0 noreply", "get missing"];
        Command::new(format!("{}\r\n", self.pick(&lines)))
    }

    fn flush(&mut self) -> Command {
        let lines = ["flush_all", "flush_all 0", "flush_all noreply", "flush_all 0 noreply"];
        Command::new(format!("{}\r\n", self.pick(&lines)))
    }

    /// Generates a value at memcached's limit or slightly above, and an append to it.
    fn near_the_limit(&mut self, commands: &mut Vec<Command>) {
        let key = self.key();
        let off = self.rng.random_range(-2i32..=3);
        let verb = self.pick(&["set", "set", "add", "replace", "ms"]);
        let flags = self.pick(&["0", "7"]);
        let room = ITEM_MAX - ITEM_OVERHEAD - key.len() - if flags == "0" { 0 } else { 4 };
        let length = room.saturating_add_signed(off as isize);
        let value = self.bytes(length);
        let mut command = self.start(verb, &key);
        if verb == "ms" {
            command.push(format!(" {length} F{flags}\r\n")).push(&value).push("\r\n");
        } else {
            command.push(format!(" {flags} 0 {length}\r\n")).push(&value).push("\r\n");
        }
        commands.push(command);
        for _ in 0..self.rng.random_range(0..3) {
            let verb = self.pick(&["append", "prepend"]);
            let part_length = self.rng.random_range(0..3);
            let part = self.bytes(part_length);
            commands.push(self.store(verb, &key, &part));
        }
        let mut read = self.start("mg", &key);
        read.push(if self.raw { " s f\r\n" } else { " s f k\r\n" });
        commands.push(read);
        // Large values are slow to read, so most are deleted at once.
        if self.chance(80) {
            let mut delete = self.start("delete", &key);
            delete.push("\r\n");
            commands.push(delete);
        } else {
            self.note_read(&key);
        }
    }

    /// Generates the cache-refill sequences that meta commands are made for, on one key.
    fn stale_and_win(&mut self, commands: &mut Vec<Command>) {
        let key = self.key();
        let steps: &[&str] = match self.rng.random_range(0..4) {
            // Invalidation, two readers, and a refill with the CAS that the winner received.
            0 => &["md {} I T1500", "mg {} v t", "mg {} v", "ms {} 2 I\r\nok", "mg {} v s"],
            // A miss with a single winner, which fills it.
            1 => &["delete {}", "mg {} s v N1500", "mg {} s v N1500", "ms {} 2 T5000\r\nok"],
            // Refresh before expiry: one winner, no further ones, and another after a refill.
            2 => &[
                "mg {} T1500",
                "mg {} v R3000",
                "mg {} v R3000",
                "ms {} 2 T1500\r\nok",
                "mg {} v R3000",
                "mg {} v R30",
            ],
            // Invalidated twice, with a plain set in between.
            _ => &["md {} I", "mg {} k", "md {} I q", "mg {} k v", "set {} 0 0 2\r\nok", "mg {} k"],
        };
        self.note_read(&key);
        for step in steps {
            let (before, after) = step.split_once("{}").expect("a key in each step");
            // A raw batch must not contain times, or the keys of items that exist.
            let raw = || after.replace(" t", "").replace(" k", "");
            let after = if self.raw { raw() } else { after.to_owned() };
            let mut command = Command::new(before);
            command.push(&key).push(after).push("\r\n");
            commands.push(command);
            if self.chance(20) {
                self.next(commands);
            }
        }
    }
}

/// White space by C's definition.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}
