//! The questions to one node.
//!
//! All nodes are asked at once which ring they hold. Answers to `stats` may be long, so at most
//! [`LONG_ANSWERS`] of them are read at a time, and each is reduced to a [`RingReport`] before the next
//! question. That has at most one report for each node of the ring file, and its texts are escaped and bounded.

use std::time::{Duration, Instant};

use ringbinder_client::{Error, NodeHandle};
use ringbinder_protocol::stats::{General, Lines, RingReport};
use ringbinder_ring::{Ring, RingId};

use crate::escape::words;

/// Most answers to `stats` that are read at a time. The client limits each to 16 MiB.
pub(super) const LONG_ANSWERS: usize = 16;

/// The first answers of a node.
pub(super) struct FirstAnswers {
    /// The ring it holds.
    pub(super) ring: Result<RingId, Error>,
    /// Time from one question to its answer.
    pub(super) took: Option<Duration>,
}

/// Asks a node for its ring. The first question opens the connection; if it fails, the others are not asked.
pub(super) async fn ask(node: &NodeHandle) -> FirstAnswers {
    let mut answers = FirstAnswers { ring: node.ring_id().await, took: None };
    if answers.is_there() {
        let start = Instant::now();
        if node.version().await.is_ok() {
            answers.took = Some(start.elapsed());
        }
    }
    answers
}

impl FirstAnswers {
    /// Whether the node answers questions.
    pub(super) fn is_there(&self) -> bool {
        !matches!(
            self.ring,
            Err(Error::Away { .. } | Error::Nonsense { .. } | Error::Unauthenticated { .. })
        )
    }
}

/// The longer answers of a node.
pub(super) struct Report {
    /// The version of its program, escaped.
    pub(super) program: Option<String>,
    /// Its report about itself and its peers.
    pub(super) ring: Result<RingReport, Error>,
}

/// Asks a node about itself and its peers. `ring` is the ring of the file.
pub(super) async fn report(node: &NodeHandle, ring: &Ring) -> Report {
    let program = match node.stats("").await {
        Ok(stats) => General::read(&stats, words).program().map(str::to_owned),
        Err(_) => None,
    };
    Report { program, ring: node.stats("ring").await.map(|stats| read(&stats, ring)) }
}

/// Reads an answer to `stats ring`. Leaves out peers that the ring of the file does not list, or lists at
/// another address.
fn read(lines: &Lines, ring: &Ring) -> RingReport {
    RingReport::read(lines, words, |name, peer| {
        let node = ring.index_of_name(name).and_then(|index| ring.nodes().get(index as usize));
        node.is_some_and(|node| peer.address.as_ref().is_none_or(|at| *at == node.to_string()))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use ringbinder_ring::Node;

    use super::*;

    pub(in crate::fleet::check) fn ring(nodes: usize) -> Ring {
        let node = |index| Node::new(&format!("n{index}"), &format!("10.0.0.1:{}", index + 1), 1);
        let nodes: Vec<Node> = (0..nodes).map(|index| node(index).unwrap()).collect();
        Ring::of_nodes(7, &nodes, "test").unwrap()
    }

    fn parse(text: &str) -> RingReport {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let lines: Vec<_> =
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        read(&lines, &ring(3))
    }

    #[test]
    fn peers_that_the_file_does_not_have_there_are_left_out() {
        let report = parse(
            "peer:n0:state away\npeer:n0:address 10.0.0.1:1\npeer:n1:state away\n\
             peer:n1:address 10.9.9.9:2\npeer:x:state away\npeer:n2\npeer:::a b\n",
        );
        assert_eq!(report.peers.keys().collect::<Vec<_>>(), ["n0"]);
    }

    #[test]
    fn texts_are_escaped_and_bounded() {
        let long = "x".repeat(100_000);
        let report = parse(&format!("ring_drift a\u{9b}b\nring_last_error {long}\n"));
        assert_eq!(report.drift.as_deref(), Some("a\\u{9b}b"));
        assert!(report.last_error.unwrap().len() < 1000);
    }

    proptest! {
        #[test]
        fn no_answer_takes_more_than_a_line_for_each_node(
            lines in proptest::collection::vec(("(peer:n[0-9]:|ring_)?\\PC{0,20}", "\\PC{0,20}"), 0..50),
        ) {
            prop_assert!(read(&lines, &ring(3)).peers.len() <= 3);
        }
    }
}
