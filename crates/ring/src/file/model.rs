//! The fields of a ring file, as written.

use std::fmt;

use config::{ConfigError, Value};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::error::RingFault;
use crate::message::one_line;
use crate::node::MAX_NODES;

/// The contents of a ring file, unchecked except for types and the number of nodes.
pub(crate) struct Contents {
    pub(crate) version: i128,
    pub(crate) hash: String,
    pub(crate) nodes: Vec<Entry>,
}

/// One node of a ring file, unchecked.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) weight: i128,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: Whole,
    #[serde(default = "ketama")]
    hash: Text,
    #[serde(default)]
    node: RawNodes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: Text,
    address: Text,
    #[serde(default = "one")]
    weight: Whole,
}

fn ketama() -> Text {
    Text("ketama".into())
}

fn one() -> Whole {
    Whole(1)
}

impl Contents {
    pub(super) fn from_value(value: Value) -> Result<Contents, RingFault> {
        let raw: RawFile = value.try_deserialize().map_err(fault)?;
        let nodes = match raw.node {
            RawNodes::Listed(nodes) => nodes,
            RawNodes::TooMany(found) => return Err(RingFault::TooManyNodes { found }),
        };
        let nodes = nodes.into_iter().map(|raw| Entry {
            name: raw.name.0,
            address: raw.address.0,
            weight: raw.weight.0,
        });
        Ok(Contents { version: raw.version.0, hash: raw.hash.0, nodes: nodes.collect() })
    }
}

/// A whole number. By itself `config` would accept a string, a fraction or a boolean too.
struct Whole(i128);

/// A string. By itself `config` would accept a number too.
struct Text(String);

/// The list of nodes, which is not read at all if it is too long.
enum RawNodes {
    Listed(Vec<RawNode>),
    TooMany(usize),
}

impl Default for RawNodes {
    fn default() -> RawNodes {
        RawNodes::Listed(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        struct WholeVisitor;

        impl Visitor<'_> for WholeVisitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at most 64 bits")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number.into()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number.into()))
            }
        }

        deserializer.deserialize_any(WholeVisitor)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for RawNodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawNodes, D::Error> {
        struct NodesVisitor;

        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = RawNodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nodes ([[node]] in TOML)")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawNodes, A::Error> {
                // `config` knows the length of its lists.
                let len = list.size_hint().unwrap_or(0);
                if len > MAX_NODES {
                    return Ok(RawNodes::TooMany(len));
                }
                let mut nodes = Vec::with_capacity(len);
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(RawNodes::Listed(nodes))
            }
        }

        deserializer.deserialize_any(NodesVisitor)
    }
}

/// Rewrites an error of `config` in our words. Its paths count nodes from 0, people count from 1.
fn fault(error: ConfigError) -> RingFault {
    match error {
        ConfigError::NotFound(path) => RingFault::Missing { key: for_people(&path) },
        ConfigError::At { error, key: Some(path), .. } => {
            RingFault::Shape(format!("{}: {}", for_people(&path), one_line(&error.to_string())))
        }
        other => RingFault::Shape(one_line(&other.to_string())),
    }
}

/// Rewrites `node[1]weight`, a path of `config`, as `weight of node 2`.
fn for_people(path: &str) -> String {
    let Some((index, rest)) = path.strip_prefix("node[").and_then(|rest| rest.split_once(']'))
    else {
        return path.to_owned();
    };
    let place = index.parse::<usize>().map_or(0, |index| index + 1);
    match rest.trim_start_matches('.') {
        "" => format!("node {place}"),
        field => format!("{field} of node {place}"),
    }
}
