//! Generates meta commands with random flags.

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use super::command::Command;
use super::generate::Generator;

/// The flags of a command that is being built.
struct Flags<'a> {
    make: &'a mut Generator,
    words: Vec<Command>,
}

impl Flags<'_> {
    /// Adds the flag with this probability in percent.
    fn maybe(&mut self, percent: u32, flag: &str) {
        if self.make.chance(percent) {
            self.words.push(Command::new(flag));
        }
    }

    fn maybe_with(
        &mut self,
        percent: u32,
        flag: &str,
        argument: impl FnOnce(&mut Generator) -> String,
    ) {
        if self.make.chance(percent) {
            let argument = argument(self.make);
            self.words.push(Command::new(format!("{flag}{argument}")));
        }
    }

    fn compare(&mut self, percent: u32, key: &[u8]) {
        if self.make.chance(percent) {
            let pair = self.make.cas_for(key);
            let mut word = Command::new("C");
            word.push_cas(pair);
            self.words.push(word);
        }
    }

    /// Adds a CAS number of the client's own. It is small, unlike the server's numbers.
    fn own_cas(&mut self, percent: u32) {
        if self.make.latest() && self.make.chance(percent) {
            let number = self.make.rng.random_range(1..super::renaming::OWN_NUMBERS);
            self.words.push(Command::new(format!("E{number}")));
        }
    }

    /// Adds flags that every meta command accepts: opaque, proxy hints, and `q`.
    fn common(&mut self) {
        self.maybe_with(20, "O", |make| {
            let length = make.rng.random_range(0..=31);
            "opaque0123456789abcdefghijklmnopqrs"[..length].to_owned()
        });
        self.maybe(2, "P");
        self.maybe(2, "Lhint");
        self.maybe(12, "q");
        // The output of a raw batch is not parsed, so it must not contain the known difference in binary
        // keys.
        let raw = self.make.raw();
        self.maybe(if raw { 0 } else { 25 }, "k");
    }

    /// Appends the words in random order, each after a space.
    fn append_to(mut self, command: &mut Command) -> Vec<u8> {
        self.words.shuffle(&mut self.make.rng);
        let mut letters = Vec::new();
        for word in &self.words {
            letters.push(word.render(super::Side::Ours)[0]);
            command.push(" ");
            command.append(word);
        }
        letters
    }
}

/// Returns a key, sometimes in base64, and whether it is.
fn key(make: &mut Generator, arithmetic: bool) -> (Vec<u8>, bool) {
    let key = if arithmetic { make.key_for_arithmetic() } else { make.key() };
    // A key of 186 bytes has 250 bytes as padded base64.
    if key.len() <= 186 && make.chance(12) {
        // The same item under its base64 key, or a key that has no plain form.
        let raw = if make.chance(60) || arithmetic { key } else { vec![0, 1, b' ', b'\n', 0xff] };
        (base64(&raw).into_bytes(), true)
    } else {
        (key, false)
    }
}

fn exptime_from_now(make: &mut Generator) -> String {
    // `t` with a time in the past shows the server's uptime, which differs between servers.
    make.pick(&["0", "0", "1500", "5000", "86400", "2592000", "2000000000"]).to_owned()
}

fn exptime(make: &mut Generator) -> String {
    make.exptime().to_owned()
}

fn timed(make: &mut Generator) -> (bool, fn(&mut Generator) -> String) {
    let shows_time = !make.raw() && make.chance(25);
    (shows_time, if shows_time { exptime_from_now } else { exptime })
}

/// Generates `mg`.
pub(super) fn get(make: &mut Generator) -> Command {
    let (key, binary) = key(make, false);
    // 1.6.45 does not find a base64 key here.
    let unknown = binary && make.latest();
    if !make.raw() && !unknown && make.chance(4) {
        let mut command = make.start("me", &key);
        command.push(if binary { " b\r\n" } else { "\r\n" });
        return command;
    }
    let mut command = make.start("mg", &key);
    let (shows_time, exptime) = timed(make);
    let raw = make.raw();
    let (latest, hides_cas) = (make.latest(), make.hides_cas());
    let mut flags = Flags { make, words: Vec::new() };
    flags.maybe(if binary { 100 } else { 0 }, "b");
    flags.maybe(if shows_time { 100 } else { 0 }, "t");
    flags.maybe(60, "v");
    flags.maybe(if hides_cas { 0 } else { 40 }, "c");
    flags.maybe(if raw { 0 } else { 10 }, "l");
    flags.maybe(20, "h");
    flags.maybe(25, "f");
    flags.maybe(25, "s");
    flags.maybe(10, "u");
    flags.maybe_with(15, "N", exptime);
    flags.maybe_with(15, "T", exptime);
    flags.maybe_with(15, "R", |make| make.pick(&["30", "3000", "50000", "0", "-1"]).to_owned());
    if latest {
        flags.compare(15, &key);
        flags.own_cas(10);
    }
    flags.common();
    flags.append_to(&mut command);
    make.note_read(&key);
    make.note_read(&plain(&key, binary));
    command.push(make.eol());
    command
}

/// The key as a classic command spells it.
fn plain(key: &[u8], binary: bool) -> Vec<u8> {
    if binary { unbase64(key) } else { key.to_vec() }
}

/// Generates `ms`.
pub(super) fn set(make: &mut Generator) -> Command {
    let (key, binary) = key(make, false);
    let value = make.value();
    let mut command = make.start("ms", &key);
    command.push(format!(" {}", value.len()));
    let mode = make.pick(&["", "", "MS", "MS", "ME", "MA", "MP", "MR"]);
    let (latest, hides_cas) = (make.latest(), make.hides_cas());
    let mut flags = Flags { make, words: Vec::new() };
    flags.maybe(if binary { 100 } else { 0 }, "b");
    flags.maybe(if hides_cas { 0 } else { 40 }, "c");
    flags.maybe_with(40, "F", Generator::flags);
    flags.maybe_with(40, "T", exptime);
    flags.maybe(25, "I");
    flags.maybe(if mode.is_empty() { 0 } else { 100 }, mode);
    flags.compare(25, &key);
    if latest {
        flags.own_cas(10);
        flags.maybe(10, "s");
        flags.maybe_with(20, "N", exptime);
    }
    flags.common();
    flags.append_to(&mut command);
    command.push(make.eol()).push(value).push("\r\n");
    command
}

/// Generates `md`.
pub(super) fn delete(make: &mut Generator) -> Command {
    let (key, binary) = key(make, false);
    let mut command = make.start("md", &key);
    let latest = make.latest();
    let mut flags = Flags { make, words: Vec::new() };
    flags.maybe(if binary { 100 } else { 0 }, "b");
    flags.maybe(50, "I");
    flags.maybe_with(30, "T", exptime);
    flags.compare(25, &key);
    if latest {
        flags.own_cas(10);
        flags.maybe(20, "x");
    }
    flags.common();
    flags.append_to(&mut command);
    command.push(make.eol());
    command
}

/// Generates `ma`.
pub(super) fn arithmetic(make: &mut Generator) -> Command {
    let (key, binary) = key(make, true);
    let mut command = make.start("ma", &key);
    let (shows_time, exptime) = timed(make);
    let mode = make.pick(&["", "", "MI", "MD", "M+", "M-"]);
    let (hides_cas, raw) = (make.hides_cas(), make.raw());
    let mut flags = Flags { make, words: Vec::new() };
    flags.maybe(if binary { 100 } else { 0 }, "b");
    flags.maybe(if shows_time { 100 } else { 0 }, "t");
    flags.maybe(if mode.is_empty() { 0 } else { 100 }, mode);
    // With `q` this is a known difference, which a raw batch must not contain.
    flags.maybe_with(if raw { 0 } else { 20 }, "N", exptime);
    flags.maybe_with(30, "J", Generator::increment);
    let subtracts = ["MD", "M-"].contains(&mode);
    let delta = if subtracts { Generator::decrement } else { Generator::increment };
    flags.maybe_with(50, "D", delta);
    // Without T: if the number gets longer, memcached sets the exptime of the item that it has just replaced.
    flags.compare(20, &key);
    flags.maybe(50, "v");
    flags.maybe(if hides_cas { 0 } else { 40 }, "c");
    // Without E: if the number gets longer, 1.6.45 nevertheless gives the new item a CAS of its own.
    flags.common();
    flags.append_to(&mut command);
    command.push(make.eol());
    command
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0u32, |word, (i, &b)| word | u32::from(b) << (16 - 8 * i));
        for i in 0..4 {
            let six = (word >> (18 - 6 * i)) & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    out
}

pub(crate) fn unbase64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in text.chunks(4) {
        let six = |byte: u8| ALPHABET.iter().position(|&b| b == byte).unwrap_or(0);
        let word = chunk.iter().fold(0usize, |word, &byte| word << 6 | six(byte));
        let bytes = u32::try_from(word).expect("24 bits").to_be_bytes();
        let kept = 3 - chunk.iter().filter(|&&byte| byte == b'=').count();
        out.extend_from_slice(&bytes[1..1 + kept]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        for (raw, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("k1", "azE=")] {
            assert_eq!(base64(raw.as_bytes()), text);
            assert_eq!(unbase64(text.as_bytes()), raw.as_bytes());
        }
    }
}
