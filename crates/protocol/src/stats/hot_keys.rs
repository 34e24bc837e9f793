//! The answer to `stats hotkeys`, and the hot keys of a whole ring.

use std::collections::HashMap;

use super::Lines;

/// Most keys that a node reports.
pub const MAX_HOT_KEYS: usize = 50;

/// The hot keys of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HotKeys {
    /// Length of the measured interval in seconds; 0 if it is not reported.
    pub window: u64,
    /// Hottest first, at most [`MAX_HOT_KEYS`].
    pub keys: Vec<HotKey>,
}

/// One key, and how often it is requested.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its bytes, which are not safe to show; see [`key_text`].
    pub key: Box<[u8]>,
    /// Estimated requests per second, 0 or more.
    pub rate: f64,
    /// Its share of all requests of the node in the same interval, from 0 to 1.
    pub share: Option<f64>,
}

/// A hot key of a ring.
#[derive(Clone, Debug, PartialEq)]
pub struct RingHotKey {
    /// Its bytes, which are not safe to show; see [`key_text`].
    pub key: Box<[u8]>,
    /// Requests per second at all nodes together.
    pub rate: f64,
    /// Its share of all requests of the nodes in the same interval, from 0 to 1. `None` if a node
    /// does not report shares.
    pub share: Option<f64>,
    /// The nodes that serve it, by the caller's numbers.
    pub nodes: Vec<usize>,
}

impl RingHotKey {
    /// The key in percent-encoding, as nodes send it.
    pub fn encoded(&self) -> String {
        let mut encoded = Vec::new();
        crate::answer::uri_encode(&mut encoded, &self.key);
        String::from_utf8_lossy(&encoded).into_owned()
    }
}

impl HotKeys {
    /// Reads the answer: `1:key name`, `1:rate 5.1`, `1:share 0.01`. Keys without a valid rate are
    /// left out.
    pub fn read(lines: &Lines) -> HotKeys {
        let mut hot = HotKeys::default();
        let mut keys = [[None::<&str>; 3]; MAX_HOT_KEYS];
        for (name, value) in lines.iter().rev() {
            if name == "window_seconds" {
                hot.window = value.parse().unwrap_or(0);
            }
            let Some((number, field)) = name.split_once(':') else { continue };
            let number = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let field = ["key", "rate", "share"].iter().position(|&known| known == field);
            if let Some((number, field)) = number.zip(field)
                && let Some(key) = keys.get_mut(number)
            {
                key[field] = Some(value);
            }
        }
        let number = |text: Option<&str>| text?.parse::<f64>().ok().filter(|n| n.is_finite());
        hot.keys.extend(keys.into_iter().filter_map(|[key, rate, share]| {
            let share = number(share).map(|share| share.clamp(0.0, 1.0));
            Some(HotKey { key: decode(key?), rate: number(rate)?.max(0.0), share })
        }));
        hot.keys.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.key.cmp(&b.key)));
        hot
    }

    /// All requests per second of the node, computed from its hottest key.
    fn total(&self) -> Option<f64> {
        let Some(hottest) = self.keys.first() else { return Some(0.0) };
        hottest.share.filter(|share| *share > 0.0).map(|share| hottest.rate / share)
    }
}

/// The keys of all nodes together, hottest first. The caller numbers the nodes. A request counts at
/// the node that carried it out, so the rates of several nodes can be added.
pub fn merge<'a>(nodes: impl Iterator<Item = (usize, &'a HotKeys)>) -> Vec<RingHotKey> {
    let mut total = Some(0.0);
    let mut keys: HashMap<&[u8], RingHotKey> = HashMap::new();
    for (node, hot) in nodes {
        total = total.zip(hot.total()).map(|(sum, of_node)| sum + of_node);
        for HotKey { key, rate, .. } in &hot.keys {
            let entry = keys.entry(key).or_insert_with(|| RingHotKey {
                key: key.clone(),
                rate: 0.0,
                share: None,
                nodes: Vec::new(),
            });
            entry.rate += rate;
            if entry.nodes.last() != Some(&node) {
                entry.nodes.push(node);
            }
        }
    }
    let mut keys: Vec<RingHotKey> = keys.into_values().collect();
    for hot in &mut keys {
        hot.share = total.filter(|total| *total > 0.0).map(|total| (hot.rate / total).min(1.0));
    }
    keys.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.key.cmp(&b.key)));
    keys
}

/// Decodes a percent-encoded key. Invalid encodings stay as they are.
fn decode(text: &str) -> Box<[u8]> {
    let bytes = text.as_bytes();
    let mut key = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        match digits.and_then(crate::from_hex) {
            Some([decoded]) => {
                key.push(decoded);
                at += 3;
            }
            None => {
                key.push(byte);
                at += 1;
            }
        }
    }
    key.into()
}

/// A key as printable ASCII, from which its bytes can be read again: `%` and all other bytes are
/// `%XX`.
pub fn key_text(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for &byte in key {
        match byte {
            b'!'..=b'~' if byte != b'%' => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    fn hot(keys: &[(&str, f64, f64)]) -> HotKeys {
        let keys = (1..).zip(keys).map(|(number, (key, rate, share))| {
            format!("{number}:key {key}\n{number}:rate {rate}\n{number}:share {share}\n")
        });
        HotKeys::read(&pairs(&format!("window_seconds 45\n{}", keys.collect::<String>())))
    }

    #[test]
    fn a_ring_has_the_sums_of_its_nodes() {
        let a = hot(&[("x", 100.0, 0.5), ("%79", 50.0, 0.25)]);
        let b = hot(&[("y", 100.0, 0.1)]);
        assert_eq!(a.window, 45);
        let keys = merge([(0, &a), (2, &b)].into_iter());
        let rates: Vec<_> = keys.iter().map(|hot| (key_text(&hot.key), hot.rate)).collect();
        assert_eq!(rates, [("y".to_owned(), 150.0), ("x".to_owned(), 100.0)]);
        assert_eq!(keys[0].nodes, [0, 2]);
        // 200 requests per second at one node, 1,000 at the other.
        assert!((keys[0].share.unwrap() - 150.0 / 1200.0).abs() < 1e-9);
        assert_eq!(
            merge([(0, &hot(&[("a%20%3A", 1.0, 1.0)]))].into_iter())[0].encoded(),
            "a%20%3A"
        );
        // A node without hot keys has no requests worth counting; one without shares is unknown.
        let none = HotKeys::default();
        assert_eq!(merge([(0, &a), (1, &none)].into_iter())[0].share, Some(0.5));
        let silent = hot(&[("x", 100.0, 0.0)]);
        assert_eq!(merge([(0, &a), (1, &silent)].into_iter())[0].share, None);
        assert!(merge(std::iter::empty()).is_empty());
    }

    #[test]
    fn malformed_lines_are_left_out() {
        let hot = HotKeys::read(&pairs(
            "window_seconds x\n1:key a\n1:rate NaN\n2:key b\n2:rate -5\n2:share 9\n3:rate 5\n\
             99999999999999999999:key c\n51:key d\n51:rate 1\n0:key e\n0:rate 1\n: x\n4:key f\n\
             4:rate inf\n",
        ));
        let b = HotKey { key: (*b"b").into(), rate: 0.0, share: Some(1.0) };
        assert_eq!(hot, HotKeys { window: 0, keys: vec![b] });
        assert_eq!(HotKeys::read(&[]), HotKeys::default());
    }

    #[test]
    fn keys_are_decoded_and_nothing_in_them_can_control_a_terminal() {
        for (sent, shown) in [
            ("user%3A42", "user:42"),
            ("a%20b%25", "a%20b%25"),
            ("%1B[31m%0a%7F", "%1B[31m%0A%7F"),
            ("\u{1b}\u{202e}", "%1B%E2%80%AE"),
            ("%C3%BC", "%C3%BC"),
            // An encoding that is invalid is part of the key.
            ("100%", "100%25"),
            ("%zz%2", "%25zz%252"),
            ("%\u{e9}1", "%25%C3%A91"),
        ] {
            assert_eq!(key_text(&decode(sent)), shown);
        }
        let all: Vec<u8> = (0..=0xff).collect();
        let text = key_text(&all);
        assert!(text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
        assert_eq!(&decode(&text)[..], all);
    }
}
