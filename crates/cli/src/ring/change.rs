//! Changes to a ring as the command line writes them, and the ring that results.

use std::str::FromStr;

use ringbinder_ring::{MAX_VERSION, Node, Ring};

use crate::error::CliError;
use crate::fleet::error::listed;

/// One change of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Appends a node to the list.
    Add(Node),
    /// Removes a node.
    Remove {
        /// Its name.
        name: String,
    },
    /// Sets the weight of a node.
    Weight(NewWeight),
}

/// `NAME=HOST:PORT` or `NAME=HOST:PORT*WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewNode(pub(crate) Node);

impl FromStr for NewNode {
    type Err = String;

    fn from_str(text: &str) -> Result<NewNode, String> {
        let (name, rest) =
            text.split_once('=').ok_or("write NAME=HOST:PORT, with *WEIGHT after it if not 1")?;
        let (address, weight) = match rest.rsplit_once('*') {
            Some((address, weight)) => (address, number(weight)?),
            None => (rest, 1),
        };
        Node::new(name, address, weight).map(NewNode).map_err(|fault| fault.to_string())
    }
}

/// `NAME=WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewWeight {
    /// The node.
    pub(crate) name: String,
    /// Its new weight.
    pub(crate) weight: u32,
}

impl NewWeight {
    /// Checks the bounds of a weight.
    pub(crate) fn new(name: &str, weight: i128) -> Result<NewWeight, String> {
        // Only the name and the weight are checked; any address will do.
        let node = Node::new(name, "host:1", weight).map_err(|fault| fault.to_string())?;
        Ok(NewWeight { name: node.name, weight: node.weight })
    }
}

impl FromStr for NewWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<NewWeight, String> {
        let (name, weight) = text.split_once('=').ok_or("write NAME=WEIGHT")?;
        NewWeight::new(name, number(weight)?)
    }
}

/// Parses an integer of any size; the caller checks its bounds.
pub(crate) fn number(text: &str) -> Result<i128, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// Applies `changes` to `old` in order and returns the ring with the next version. `origin` names the ring in
/// messages.
///
/// # Errors
/// If a change does not fit the ring, or the result is invalid.
pub(crate) fn apply(old: &Ring, changes: &[Change], origin: &str) -> Result<Ring, CliError> {
    let misfit = |reason: String| CliError::Change { origin: origin.to_owned(), reason };
    let version = Some(old.id().version).filter(|&version| version < MAX_VERSION);
    let version = version
        .ok_or_else(|| misfit(format!("its version is already {MAX_VERSION}, the largest")))?;
    let mut nodes = old.nodes().to_vec();
    for change in changes {
        step(&mut nodes, change).map_err(misfit)?;
    }
    if nodes.is_empty() {
        return Err(misfit("no node would be left; a ring needs at least one".to_owned()));
    }
    Ring::of_nodes(version + 1, &nodes, &format!("the ring that {origin} would become"))
        .map_err(|error| misfit(error.fault().to_string()))
}

fn step(nodes: &mut Vec<Node>, change: &Change) -> Result<(), String> {
    match change {
        Change::Add(node) => {
            if let Some(there) = nodes.iter().find(|there| there.name == node.name) {
                return Err(format!(
                    "node {} already exists, at {there}; choose another name, or remove it first",
                    node.name
                ));
            }
            if let Some(there) = nodes.iter().find(|there| same_address(there, node)) {
                return Err(format!(
                    "node {} already has the address {node}; a ring lists an address once",
                    there.name
                ));
            }
            nodes.push(node.clone());
        }
        Change::Remove { name } => {
            let place = place_of(nodes, name)?;
            nodes.remove(place);
        }
        Change::Weight(NewWeight { name, weight }) => {
            let place = place_of(nodes, name)?;
            nodes[place].weight = *weight;
        }
    }
    Ok(())
}

/// Whether both nodes are the same server, however it is spelled. One ring cannot list both.
fn same_address(one: &Node, other: &Node) -> bool {
    Ring::of_nodes(1, std::slice::from_ref(one), "a node")
        .is_ok_and(|ring| ring.index_of_address(&other.host, other.port).is_some())
}

fn place_of(nodes: &[Node], name: &str) -> Result<usize, String> {
    nodes.iter().position(|node| node.name == name).ok_or_else(|| {
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        format!("there is no node {name:?}; there are {}", listed(&names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringbinder_ring::Format;

    fn node(text: &str) -> Result<Node, String> {
        text.parse::<NewNode>().map(|node| node.0)
    }

    #[test]
    fn nodes_are_written_as_name_address_and_weight() {
        assert_eq!(node("a=10.0.0.1:11211"), Ok(Node::new("a", "10.0.0.1:11211", 1).unwrap()));
        assert_eq!(node("a=[::1]:1*7"), Ok(Node::new("a", "[::1]:1", 7).unwrap()));
        for (text, complaint) in [
            ("10.0.0.1:11211", "NAME=HOST:PORT"),
            ("=h:1", "the name \"\""),
            ("a=h", "has no port"),
            ("a=h:1*", "\"\" is not a whole number"),
            ("a=h:1*0", "from 1 to 65535"),
            ("a=h:1*1.5", "is not a whole number"),
            ("a=::1:1", "brackets"),
        ] {
            let error = node(text).unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
        assert_eq!("a=3".parse(), NewWeight::new("a", 3));
        assert!("a=65536".parse::<NewWeight>().unwrap_err().contains("65535"));
    }

    fn ring(text: &str) -> Ring {
        let nodes = text.split_whitespace().map(|text| {
            let node = node(text).unwrap();
            format!(
                "[[node]]\nname = \"{}\"\naddress = \"{node}\"\nweight = {}\n",
                node.name, node.weight
            )
        });
        let text: String = nodes.collect();
        Ring::parse(&format!("version = 4\n{text}"), Format::Toml, "it").unwrap()
    }

    #[test]
    fn changes_are_made_in_their_order_and_raise_the_version_once() {
        let remove = Change::Remove { name: "a".into() };
        let add = Change::Add(node("a=h:9").unwrap());
        let weight = Change::Weight(NewWeight::new("b", 3).unwrap());
        let new = apply(&ring("a=h:1 b=h:2"), &[remove, weight, add], "it").unwrap();
        assert_eq!(new.id().version, 5);
        assert_eq!(new.nodes(), ring("b=h:2*3 a=h:9").nodes());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let add = |text| Change::Add(node(text).unwrap());
        let remove = |name: &str| Change::Remove { name: name.into() };
        for (change, complaint) in [
            (add("a=h:3"), "node a already exists, at h:1"),
            (add("c=H.:1"), "node a already has the address H.:1"),
            (remove("x"), "there is no node \"x\"; there are a, b"),
        ] {
            let error = apply(&ring("a=h:1 b=h:2"), &[change], "ring.toml").unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
        let error = apply(&ring("a=h:1"), &[remove("a")], "ring.toml").unwrap_err();
        assert!(error.to_string().contains("no node would be left"), "{error}");
    }
}
