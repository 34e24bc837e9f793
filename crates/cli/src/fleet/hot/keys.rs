//! Hot keys of one node and of the whole ring.
//!
//! The answers of nodes are not trusted. Keys are shown from their percent-encoded form, of which only
//! printable ASCII is decoded, so no key can control a terminal.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Most keys read from one node.
const MAX_KEYS: usize = 50;

/// One node's report about its hot keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeHeat {
    /// Length of the measured interval, in seconds.
    pub(crate) window: u64,
    keys: Vec<Told>,
}

#[derive(Clone, Debug, PartialEq)]
struct Told {
    key: String,
    rate: f64,
    share: f64,
}

/// A hot key of the ring.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HotKey {
    /// The key, percent-encoded as nodes send it.
    pub(crate) key: String,
    /// Requests per second at all nodes together.
    pub(crate) rate: f64,
    /// Share of all requests that the nodes serve, from 0 to 1.
    pub(crate) share: f64,
    /// The nodes that serve it, by the caller's numbers.
    pub(crate) nodes: Vec<usize>,
}

impl NodeHeat {
    /// Parses the answer to `stats hotkeys`. Invalid lines are left out.
    pub(crate) fn parse(stats: &[(String, String)]) -> NodeHeat {
        let mut heat = NodeHeat::default();
        let mut keys: HashMap<usize, [Option<&str>; 3]> = HashMap::new();
        for (name, value) in stats {
            if name == "window_seconds" {
                heat.window = value.parse().unwrap_or(0);
            }
            let Some((number, what)) = name.split_once(':') else { continue };
            let at = ["key", "rate", "share"].iter().position(|&known| known == what);
            let number = number.parse::<usize>().ok().filter(|number| *number <= MAX_KEYS);
            if let (Some(number), Some(at)) = (number, at) {
                keys.entry(number).or_default()[at] = Some(value);
            }
        }
        for [key, rate, share] in keys.into_values() {
            let number = |text: Option<&str>| text?.parse::<f64>().ok().filter(|n| n.is_finite());
            if let (Some(key), Some(rate)) = (key, number(rate)) {
                let share = number(share).unwrap_or(0.0).clamp(0.0, 1.0);
                heat.keys.push(Told { key: key.to_owned(), rate: rate.max(0.0), share });
            }
        }
        heat.keys.sort_by(|a, b| hotter(a.rate, b.rate).then_with(|| a.key.cmp(&b.key)));
        heat
    }

    /// Requests per second that the node serves in total, computed from its hottest key.
    fn total(&self) -> Option<f64> {
        let hottest = self.keys.iter().find(|told| told.share > 0.0)?;
        Some(hottest.rate / hottest.share)
    }
}

/// The keys of all nodes together, the hottest first. The caller numbers the nodes.
pub(crate) fn merge<'a>(nodes: impl Iterator<Item = (usize, &'a NodeHeat)>) -> Vec<HotKey> {
    let mut total = 0.0;
    let mut keys: HashMap<&str, HotKey> = HashMap::new();
    for (node, heat) in nodes {
        total += heat.total().unwrap_or(0.0);
        for Told { key, rate, .. } in &heat.keys {
            let entry = keys.entry(key).or_insert_with(|| HotKey {
                key: key.clone(),
                rate: 0.0,
                share: 0.0,
                nodes: Vec::new(),
            });
            entry.rate += rate;
            entry.nodes.push(node);
        }
    }
    let mut keys: Vec<HotKey> = keys.into_values().collect();
    for hot in &mut keys {
        hot.share = if total > 0.0 { (hot.rate / total).min(1.0) } else { 0.0 };
    }
    keys.sort_by(|a, b| hotter(a.rate, b.rate).then_with(|| a.key.cmp(&b.key)));
    keys
}

fn hotter(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// A key for people: printable ASCII unchanged, everything else as `%XX`.
pub(crate) fn shown(encoded: &str) -> String {
    let mut text = String::with_capacity(encoded.len());
    let bytes = encoded.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let coded = (byte == b'%')
            .then(|| encoded.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if coded.is_some() { 3 } else { 1 };
        match coded.unwrap_or(byte) {
            b'%' if coded.is_none() => text.push('%'),
            plain @ b'!'..=b'~' if plain != b'%' => text.push(char::from(plain)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heat(keys: &[(&str, f64, f64)]) -> NodeHeat {
        let mut stats = vec![("window_seconds".to_owned(), "45".to_owned())];
        for (number, (key, rate, share)) in (1..).zip(keys) {
            stats.push((format!("{number}:key"), (*key).to_owned()));
            stats.push((format!("{number}:rate"), rate.to_string()));
            stats.push((format!("{number}:share"), share.to_string()));
        }
        NodeHeat::parse(&stats)
    }

    #[test]
    fn a_ring_has_the_sums_of_its_nodes() {
        let a = heat(&[("x", 100.0, 0.5), ("y", 50.0, 0.25)]);
        let b = heat(&[("y", 100.0, 0.1)]);
        assert_eq!(a.window, 45);
        let keys = merge([(0, &a), (2, &b)].into_iter());
        let told: Vec<_> = keys.iter().map(|hot| (hot.key.as_str(), hot.rate)).collect();
        assert_eq!(told, [("y", 150.0), ("x", 100.0)]);
        assert_eq!(keys[0].nodes, [0, 2]);
        // 200 requests per second at one node, 1,000 at the other.
        assert!((keys[0].share - 150.0 / 1200.0).abs() < 1e-9);
        assert!(merge(std::iter::empty()).is_empty());
    }

    #[test]
    fn nonsense_is_left_out() {
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let stats = [
            line("window_seconds", "x"),
            line("1:key", "a"),
            line("1:rate", "NaN"),
            line("2:key", "b"),
            line("2:rate", "-5"),
            line("2:share", "9"),
            line("3:rate", "5"),
            line("99999999999999999999:key", "c"),
            line("51:key", "d"),
            line("51:rate", "1"),
            line(":", ""),
        ];
        let heat = NodeHeat::parse(&stats);
        assert_eq!(heat.window, 0);
        assert_eq!(heat.keys, [Told { key: "b".into(), rate: 0.0, share: 1.0 }]);
        assert_eq!(NodeHeat::parse(&[]), NodeHeat::default());
    }

    #[test]
    fn nothing_in_a_key_can_steer_a_terminal() {
        assert_eq!(shown("user%3A42"), "user:42");
        assert_eq!(shown("a%20b%25"), "a%20b%25");
        assert_eq!(shown("%1B[31m%0a%7F"), "%1B[31m%0A%7F");
        assert_eq!(shown("\u{1b}\u{202e}"), "%1B%E2%80%AE");
        assert_eq!(shown("%C3%BC"), "%C3%BC");
        assert_eq!(shown("100%"), "100%");
        assert_eq!(shown("%zz%2"), "%zz%2");
        assert_eq!(shown("%\u{e9}1"), "%%C3%A91");
        let all: String = (0..=0xffu8).map(|byte| format!("%{byte:02X}")).collect();
        assert!(shown(&all).bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
    }
}
