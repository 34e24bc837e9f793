//! What a ring file promises, checked on any text in each of its formats.
//!
//! - Reading it never panics. What is refused is refused in one short line.
//! - A ring that was read is whole: its nodes are found by name and address, every point has an
//!   owner, and beside itself it moves nothing.
//! - Its canonical text reads as the same ring, with the same id, and is its own canonical text.
//!
//! The first byte of an input chooses what the others are: a text, or decisions that make a text
//! which is nearly a ring, since no luck makes one out of nothing.

use std::fmt::Write as _;

use ringbinder_ring::{Format, MAX_NODES, Point, Ring, compare};

use crate::choices::Choices;

/// Longest message about a text of ours, its origin aside.
const MAX_MESSAGE: usize = 2000;

/// Values that belong into a ring, and such as nearly do.
const VERSIONS: [&str; 6] = ["1", "7", "9223372036854775807", "9223372036854775808", "0", "\"1\""];
const NAMES: [&str; 6] = ["a", "b", "cache-a.rack_1", "", "a b", "ä"];
const HOSTS: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "cache-a",
    "Cache-A.",
    "[::1]",
    "[0:0::1]",
    "[::ffff:10.0.0.1]",
    "010.0.0.1",
    "a..b",
    "a|b",
    "::1",
    "",
];
const PORTS: [&str; 6] = ["11211", "11212", "1", "0", "65536", "+1"];
const WEIGHTS: [&str; 6] = ["1", "2", "65535", "65536", "0", "-1"];

/// How many rings were read and how many texts refused, to see that both happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Texts that are a ring, counted once for each format that reads them.
    pub rings: u64,
    /// Texts that are none.
    pub refused: u64,
}

/// Checks all promises for these bytes.
///
/// # Panics
/// Where one is broken.
pub fn check(data: &[u8]) -> Tally {
    let mut tally = Tally::default();
    for (text, format) in texts(data) {
        match Ring::parse(&text, format, "it") {
            Ok(ring) => {
                check_ring(&ring);
                tally.rings += 1;
            }
            Err(error) => {
                let message = error.to_string();
                assert!(!message.contains(char::is_control), "{message:?}");
                assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
                tally.refused += 1;
            }
        }
    }
    tally
}

/// What an input is tried as.
pub fn texts(data: &[u8]) -> Vec<(String, Format)> {
    let mut choices = Choices::new(data);
    match choices.below(4) {
        0 | 1 => {
            let text = String::from_utf8_lossy(choices.rest());
            let formats = [Format::Toml, Format::Yaml, Format::Json];
            formats.map(|format| (text.clone().into_owned(), format)).into()
        }
        _ => vec![nearly(&mut choices)],
    }
}

fn check_ring(ring: &Ring) {
    let nodes = ring.nodes();
    assert!((1..=MAX_NODES).contains(&nodes.len()));
    for (node, index) in nodes.iter().zip(0..) {
        assert_eq!(ring.index_of_name(&node.name), Some(index));
        assert_eq!(ring.index_of_address(&node.host, node.port), Some(index));
    }
    for point in [Point(0), Point(1 << 31), Point(u32::MAX), ringbinder_ring::point(b"key")] {
        assert!((ring.owner_at(point) as usize) < nodes.len());
    }
    assert_eq!(compare(ring, ring).moved().points(), 0);
    assert!(ring.warnings().len() < nodes.len(), "nobody owns anything");

    let text = ring.to_toml();
    let again = Ring::parse(&text, Format::Toml, "its canonical text")
        .unwrap_or_else(|error| panic!("{error}:\n{text}"));
    assert_eq!(again.id(), ring.id(), "{text}");
    assert_eq!(&again, ring, "{text}");
    assert_eq!(again.to_toml(), text);
}

/// A text that is a ring but for an unusual value, a piece left out or said twice, or a stray byte.
fn nearly(choices: &mut Choices<'_>) -> (String, Format) {
    let format = choices.pick(&[Format::Toml, Format::Yaml, Format::Json]);
    let mut nodes = Vec::new();
    for number in 0..choices.below(6) {
        nodes.push(fields(number, choices));
    }
    let version = unusual(choices, &VERSIONS);
    let hash = if choices.once_in(8) { "modulo" } else { "ketama" };
    let mut text = match format {
        Format::Toml => toml(version, hash, &nodes),
        Format::Yaml => yaml(version, hash, &nodes),
        Format::Json => json(version, hash, &nodes),
    };
    if choices.once_in(6) {
        let at = choices.below(text.len() + 1);
        let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.insert_str(at, &String::from_utf8_lossy(choices.bytes(8)));
    }
    (text, format)
}

/// The fields of one node, each with its value as all three formats write it.
fn fields(number: usize, choices: &mut Choices<'_>) -> Vec<(&'static str, String)> {
    let name = match choices.once_in(4) {
        true => choices.pick(&NAMES).to_owned(),
        false => format!("n{number}"),
    };
    let (host, port) = match choices.once_in(3) {
        true => (choices.pick(&HOSTS).to_owned(), choices.pick(&PORTS)),
        false => (format!("10.1.0.{number}"), "11211"),
    };
    let mut fields =
        vec![("name", format!("\"{name}\"")), ("address", format!("\"{host}:{port}\""))];
    if choices.once_in(2) {
        fields.push(("weight", unusual(choices, &WEIGHTS).to_owned()));
    }
    if choices.once_in(16) {
        fields.remove(choices.below(fields.len()));
    }
    if choices.once_in(16) {
        fields.push((choices.pick(&["wieght", "name"]), "\"a\"".to_owned()));
    }
    fields
}

/// The first of these mostly.
fn unusual<'a>(choices: &mut Choices<'_>, values: &[&'a str]) -> &'a str {
    if choices.once_in(3) { choices.pick(values) } else { values[0] }
}

fn toml(version: &str, hash: &str, nodes: &[Vec<(&str, String)>]) -> String {
    let mut text = format!("version = {version}\nhash = \"{hash}\"\n");
    for node in nodes {
        text += "[[node]]\n";
        for (field, value) in node {
            let _ = writeln!(text, "{field} = {value}");
        }
    }
    text
}

fn yaml(version: &str, hash: &str, nodes: &[Vec<(&str, String)>]) -> String {
    let mut text = format!("version: {version}\nhash: {hash}\nnode:\n");
    for node in nodes {
        let mut start = "-";
        for (field, value) in node {
            let _ = writeln!(text, "{start} {field}: {value}");
            start = " ";
        }
    }
    text
}

fn json(version: &str, hash: &str, nodes: &[Vec<(&str, String)>]) -> String {
    let nodes = nodes.iter().map(|node| {
        let fields = node.iter().map(|(field, value)| format!("\"{field}\": {value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    });
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    format!("{{\"version\": {version}, \"hash\": \"{hash}\", \"node\": [{nodes}]}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rings_and_refused_in_every_format() {
        let mut tallies = [Tally::default(); 3];
        for seed in 0..2000u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_be_bytes()[0]
            };
            // 3 makes a text out of decisions, 0 takes it as it is.
            let data: Vec<u8> = std::iter::once(3).chain((0..200).map(|_| next())).collect();
            let (text, format) = texts(&data).remove(0);
            let tally = check(&data);
            let of_format = &mut tallies[format as usize];
            of_format.rings += tally.rings;
            of_format.refused += tally.refused;
            let as_it_is = check(&[&[0], text.as_bytes()].concat());
            assert!(as_it_is.rings >= tally.rings, "{text}");
            check(&[&[0], &data[..]].concat());
        }
        for tally in tallies {
            assert!(tally.rings > 50 && tally.refused > 50, "{tallies:?}");
        }
    }
}
