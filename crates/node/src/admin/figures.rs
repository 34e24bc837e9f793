//! A node's figures, parsed from the answers of its `stats` commands. This node's own answers are
//! parsed in the same way, so that both mean the same.
//!
//! A peer's answer is not trusted: a value that is missing or not a number counts as not reported.

use std::collections::{BTreeMap, HashMap};

/// The number of bounds of a latency histogram: powers of two in microseconds, and one without a
/// limit.
pub(super) const BOUNDS: usize = 22;

/// The most classes of commands that are distinguished; there are about ten.
const MAX_CLASSES: usize = 32;

/// The longest name of a class, in bytes.
const MAX_CLASS_NAME: usize = 32;

/// The most keys read from one node: as many as `stats hotkeys` has.
const MAX_HOT_KEYS: usize = 50;

/// One answer of `stats`: names and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer(HashMap<String, String>);

impl Answer {
    /// Reads `STAT name value` lines and skips others.
    pub(super) fn parse(text: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(text);
        let stat = |line: &str| {
            let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Answer(text.lines().filter_map(stat).collect())
    }

    /// A value as text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of one kind for each peer: from `peer:NAME:reason`, NAME and the value, sorted by
    /// name.
    pub(super) fn of_peers<'a>(&'a self, what: &str) -> Vec<(&'a str, &'a str)> {
        let peers = self.0.iter().filter_map(|(name, value)| {
            let peer = name.strip_prefix("peer:")?.strip_suffix(what)?.strip_suffix(':')?;
            Some((peer, value.as_str()))
        });
        let mut peers: Vec<_> = peers.collect();
        peers.sort_unstable();
        peers
    }

    /// A value as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The sum of some values; missing ones count as 0.
    pub(super) fn sum(&self, names: &[&str]) -> u64 {
        let numbers = names.iter().filter_map(|name| self.number(name));
        numbers.fold(0, u64::saturating_add)
    }
}

/// A cumulative histogram of sampled latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// The number of samples.
    pub(super) count: u64,
    /// Their sum in microseconds.
    pub(super) sum_us: u64,
    /// Samples of at most 1, 2, 4, ... 2^20 microseconds, and all.
    pub(super) upto: [u64; BOUNDS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { count: 0, sum_us: 0, upto: [0; BOUNDS] }
    }
}

impl Histogram {
    /// The samples since an earlier state; all of them if the counters were reset in between.
    pub(super) fn since(&self, earlier: &Histogram) -> Histogram {
        if self.count < earlier.count || self.upto.iter().zip(&earlier.upto).any(|(a, b)| a < b) {
            return self.clone();
        }
        let mut upto = self.upto;
        for (now, before) in upto.iter_mut().zip(&earlier.upto) {
            *now -= before;
        }
        let sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        Histogram { count: self.count - earlier.count, sum_us, upto }
    }

    /// Adds the samples of another one.
    pub(super) fn add(&mut self, other: &Histogram) {
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        for (mine, theirs) in self.upto.iter_mut().zip(&other.upto) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The latency in microseconds that a part of all samples, from 0 to 1, does not exceed.
    /// Interpolates between two bounds. `None` without samples.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.upto[BOUNDS - 1];
        if all == 0 {
            return None;
        }
        let rank = part * as_float(all);
        let at = self.upto.iter().position(|&upto| as_float(upto) >= rank)?;
        let (low, high) = match at {
            0 => (0.0, bound(0)),
            // Above the last bound, the value is unknown.
            at if at == BOUNDS - 1 => return Some(bound(BOUNDS - 2)),
            at => (bound(at - 1), bound(at)),
        };
        let before = if at == 0 { 0 } else { self.upto[at - 1] };
        let within = self.upto[at].saturating_sub(before);
        if within == 0 {
            return Some(high);
        }
        Some(low + (high - low) * ((rank - as_float(before)) / as_float(within)).clamp(0.0, 1.0))
    }
}

/// An upper bound in microseconds.
pub(super) fn bound(index: usize) -> f64 {
    as_float(1_u64 << index.min(BOUNDS - 2))
}

#[expect(clippy::cast_precision_loss, reason = "for people and for Prometheus, who has no others")]
pub(super) fn as_float(number: u64) -> f64 {
    number as f64
}

/// The answer of `stats latency`.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    /// One request in this many is timed; 0 if the node does not report it.
    pub(super) sampled_every: u64,
    /// By class of commands.
    pub(super) classes: BTreeMap<String, Histogram>,
}

impl Latency {
    /// Reads the answer.
    pub(super) fn parse(answer: &Answer) -> Latency {
        let mut latency = Latency {
            sampled_every: answer.number("sampled_every").unwrap_or(0),
            classes: BTreeMap::new(),
        };
        for name in answer.0.keys() {
            let Some((class, "count")) = name.split_once(':') else {
                continue;
            };
            if class.len() > MAX_CLASS_NAME {
                continue;
            }
            if latency.classes.len() == MAX_CLASSES {
                break;
            }
            let number = |what: &str| answer.number(&format!("{class}:{what}"));
            let mut histogram = Histogram {
                count: number("count").unwrap_or(0),
                sum_us: number("sum_us").unwrap_or(0),
                ..Histogram::default()
            };
            // Cumulative, even if the node's values are not.
            let mut highest = 0;
            for (index, upto) in histogram.upto.iter_mut().enumerate() {
                let said = match index {
                    index if index == BOUNDS - 1 => number("le_inf"),
                    index => number(&format!("le_{}us", 1_u64 << index)),
                };
                highest = said.unwrap_or(highest).max(highest);
                *upto = highest;
            }
            latency.classes.insert(class.to_owned(), histogram);
        }
        latency
    }

    /// The samples since an earlier state, by class.
    pub(super) fn since(&self, earlier: &Latency) -> BTreeMap<String, Histogram> {
        let none = Histogram::default();
        let classes = self.classes.iter();
        let since = classes.map(|(class, now)| {
            (class.clone(), now.since(earlier.classes.get(class).unwrap_or(&none)))
        });
        since.collect()
    }
}

/// All classes together.
pub(super) fn together(classes: &BTreeMap<String, Histogram>) -> Histogram {
    let mut all = Histogram::default();
    for histogram in classes.values() {
        all.add(histogram);
    }
    all
}

/// One line of `stats hotkeys`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HotKey {
    /// The key's bytes.
    pub(super) key: Vec<u8>,
    /// Estimated requests per second.
    pub(super) rate: f64,
}

/// Reads `stats hotkeys`.
pub(super) fn hot_keys(answer: &Answer) -> Vec<HotKey> {
    let line = |number: usize| {
        let key = decode(answer.get(&format!("{number}:key"))?);
        let rate: f64 = answer.get(&format!("{number}:rate"))?.parse().ok()?;
        (rate.is_finite() && rate >= 0.0).then_some(HotKey { key, rate })
    };
    (1..=MAX_HOT_KEYS).map_while(line).collect()
}

/// Decodes a percent-encoded key. Invalid encodings stay as they are.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut key = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                key.push(byte);
                at += 3;
            }
            None => {
                key.push(bytes[at]);
                at += 1;
            }
        }
    }
    key
}

/// A key in readable form. Printable ASCII, and letters and digits of any script, stay as they are;
/// the rest is percent-encoded, so that no character can hide or reverse the text around it.
pub(super) fn shown(key: &[u8]) -> String {
    let plain = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
    match std::str::from_utf8(key) {
        Ok(text) if text.chars().all(plain) => text.to_owned(),
        _ => key.iter().fold(String::new(), |mut text, &byte| {
            match byte {
                b'%' => text.push_str("%25"),
                byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
                byte => text.push_str(&format!("%{byte:02X}")),
            }
            text
        }),
    }
}

/// Another node's text in readable form: printable ASCII, and letters and digits of any script, so
/// that no character can control a terminal, or hide or reverse the text around it. Cut after
/// `most` bytes.
pub(super) fn plain(said: &str, most: usize) -> String {
    let mut kept = String::new();
    for character in said.chars() {
        let character = match character {
            ' '..='~' => character,
            character if character.is_alphanumeric() => character,
            _ => '?',
        };
        if kept.len() + character.len_utf8() > most {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: &[u8] = b"STAT sampled_every 64\r\nSTAT get:count 10\r\nSTAT get:sum_us 30\r\n\
        STAT get:le_1us 2\r\nSTAT get:le_2us 6\r\nSTAT get:le_4us 10\r\nSTAT get:le_inf 10\r\n\
        STAT set:count 1\r\nSTAT set:sum_us 9000000\r\nSTAT set:le_inf 1\r\nEND\r\n";

    #[test]
    fn histograms_are_read_and_their_quantiles_lie_between_the_bounds() {
        let latency = Latency::parse(&Answer::parse(LATENCY));
        assert_eq!(latency.sampled_every, 64);
        let get = &latency.classes["get"];
        assert_eq!((get.count, get.sum_us, get.upto[1], get.upto[20]), (10, 30, 6, 10));
        assert_eq!(get.quantile(0.5), Some(1.75));
        assert_eq!(get.quantile(1.0), Some(4.0));
        assert_eq!(latency.classes["set"].quantile(0.5), Some(bound(20)), "beyond the last bound");
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(together(&latency.classes).count, 11);
    }

    #[test]
    fn differences_are_since_the_reset_where_there_was_one() {
        let now = Latency::parse(&Answer::parse(LATENCY)).classes["get"].clone();
        let mut before = now.clone();
        before.count = 4;
        before.upto = before.upto.map(|upto| upto.min(4));
        assert_eq!(now.since(&before).count, 6);
        assert_eq!(now.since(&before).upto[0], 0);
        before.count = 100;
        assert_eq!(now.since(&before), now);
    }

    #[test]
    fn what_is_said_of_each_peer_is_found_by_its_name() {
        let text = b"STAT peer:b:rival -\r\nSTAT peer:a:1:rival 1f\r\nSTAT peer:a:1:rivals 2\r\n\
            STAT peer::rival 3\r\nSTAT rival 4\r\n";
        let answer = Answer::parse(text);
        assert_eq!(answer.of_peers("rival"), [("", "3"), ("a:1", "1f"), ("b", "-")]);
    }

    #[test]
    fn words_of_others_are_plain() {
        assert_eq!(plain("gr\u{f6}\u{df}e \u{1b}[31m\u{9b}31m\u{202e}x", 300), "größe ?[31m?31m?x");
        assert_eq!(plain("größe", 3), "gr", "no character is cut in two");
    }

    #[test]
    fn nonsense_of_a_peer_is_no_figure() {
        let answer = Answer::parse(b"STAT a x\r\nSTAT b\r\nnothing\r\n\xff\xfe\r\nSTAT c -1\r\n");
        assert_eq!(
            (answer.number("a"), answer.number("b"), answer.number("c")),
            (None, None, None)
        );
        let falling = b"STAT get:count 5\r\nSTAT get:le_1us 5\r\nSTAT get:le_inf 1\r\n";
        let latency = Latency::parse(&Answer::parse(falling));
        assert_eq!(latency.classes["get"].upto[BOUNDS - 1], 5);
        let endless = b"STAT 1:key a\r\nSTAT 1:rate inf\r\n";
        assert_eq!(hot_keys(&Answer::parse(endless)), []);
    }

    #[test]
    fn keys_are_decoded_and_shown_without_tricks() {
        let text = b"STAT 1:key user%3A42\r\nSTAT 1:rate 5.5\r\nSTAT 1:share 0.1\r\n\
            STAT 2:key a%20b%2\r\nSTAT 2:rate 1\r\n";
        let keys = hot_keys(&Answer::parse(text));
        assert_eq!(keys[0], HotKey { key: b"user:42".to_vec(), rate: 5.5 });
        assert_eq!(shown(&keys[0].key), "user:42");
        assert_eq!(shown(&keys[1].key), "a%20b%252");
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown("a\u{202e}b".as_bytes()), "a%E2%80%AEb", "no text runs backwards");
        assert_eq!(shown(b"\xff\n"), "%FF%0A");
    }
}
