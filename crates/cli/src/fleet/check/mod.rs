//! `ringbinder check`.
//!
//! Asks every node about itself and all others, and compares the answers with the ring file and with each
//! other (`verdict`). It reports "ok" only if there is no finding at all: every key is then served by
//! exactly one process, and all nodes agree. The command only reads.
//!
//! All nodes are asked at once which ring they hold. Answers to `stats` may be long, so at most
//! [`LONG_ANSWERS`] of them are read at a time, and each is reduced to a [`RingReport`] before the next question.
//! This bound holds for the largest possible ring too.
//!
//! | file | purpose |
//! |---|---|
//! | `finding` | the problems found, and the answers in which they are found |
//! | `verdict` | the combined judgement on all answers |
//! | `reach`, `identity` | whether nodes answer and reach each other; whether the right process answers |
//! | `views` | what the other nodes report about each node |
//! | `print` | the report as text |

mod finding;
mod identity;
mod print;
mod reach;
mod verdict;
mod views;

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use ringbinder_client::{Error, NodeHandle};
use ringbinder_protocol::stats::{General, Lines, RingReport};
use ringbinder_ring::{NodeIndex, Ring};
use serde::{Serialize, Serializer};

use crate::error::CliError;
use crate::escape::words;
use crate::exit::Answer;
use crate::fleet::{Fleet, FleetOptions};
use crate::output::Output;

use finding::{Answers, Asked, Finding, Findings, Kind, Severity};
use verdict::judge;
use views::Views;

/// Most answers to `stats` that are read at a time. The client limits each to 16 MiB.
const LONG_ANSWERS: usize = 16;

/// Whether every key is served by exactly one process, and all nodes agree.
#[derive(Args, Debug)]
#[command(after_help = "\
Every node is asked about itself and its peers: the ring it holds, which process it is, which \
peers it reaches, and its own ring file. The exit code is 0 if there is no failure, 1 if there is \
one, and 78 if a failure is that a process is not the node that the ring lists at its address, or \
that two processes claim one name. If no node answers it is 69, or 76 or 77 if TLS or the login \
is the reason. Warnings leave it at 0 unless --strict is given. \"ok\" is printed only if there \
is neither failure nor warning. TIME is one question and its answer, without the connection.")]
pub(crate) struct Check {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Exit with 1 if there are warnings
    #[arg(long)]
    strict: bool,
}

/// One node, as JSON.
#[derive(Serialize)]
struct Checked {
    node: String,
    address: String,
    /// The gravest failure about it; none if there is none.
    #[serde(serialize_with = "or_ok")]
    state: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    microseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// The process that answers at the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// What to do; nothing if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Everything, as JSON.
#[derive(Serialize)]
struct Report {
    origin: String,
    version: u64,
    digest: String,
    /// Whether there is no failure.
    agree: bool,
    /// Whether there is no warning either.
    ok: bool,
    nodes: Vec<Checked>,
    findings: Vec<Finding>,
}

fn or_ok<S: Serializer>(state: &Option<Kind>, serializer: S) -> Result<S::Ok, S::Error> {
    match state {
        Some(kind) => kind.serialize(serializer),
        None => serializer.serialize_str("ok"),
    }
}

impl Check {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.client.nodes();
        let asked = ask_all(&fleet, &nodes).await;
        let report = report(&asked);
        if out.is_json() {
            out.json(&report)?;
        } else {
            print::print(&report, out)?;
        }
        if report.is_away() {
            let failures = asked.nodes.into_iter().filter_map(|answers| answers.held.err());
            fleet.failed(failures.collect(), nodes.len())?;
        }
        Ok(report.answer(self.strict))
    }
}

/// Asks all nodes, and those that answer about themselves and the others too.
async fn ask_all<'a>(fleet: &'a Fleet, nodes: &[NodeHandle]) -> Asked<'a> {
    let ring = &fleet.ring;
    let mut answers = join_all(nodes.iter().map(ask)).await;
    let mut views = Views::new(nodes.len());
    let there = (0..).zip(nodes).zip(&answers).filter(|(_, answers)| answers.is_there());
    let there: Vec<(NodeIndex, &NodeHandle)> = there.map(|(node, _)| node).collect();
    let mut reports = stream::iter(there)
        .map(|(index, node)| async move { (index, ask_more(node, ring).await) })
        .buffer_unordered(LONG_ANSWERS);
    while let Some((index, (program, mut report))) = reports.next().await {
        if let Ok(report) = &mut report {
            views.add(index, report, |name| ring.index_of_name(name));
        }
        let answers = &mut answers[index as usize];
        answers.program = program;
        // A node without a ring has nothing to report about it.
        answers.report = answers.held.is_ok().then_some(report);
    }
    drop(reports);
    views.sort();
    Asked { ring, origin: &fleet.origin, nodes: answers, views }
}

/// Asks a node for its ring. The first question opens the connection; if it fails, the others are not asked.
async fn ask(node: &NodeHandle) -> Answers {
    let held = node.ring_id().await;
    let mut answers = Answers { held, took: None, program: None, report: None };
    if answers.is_there() {
        let start = Instant::now();
        answers.took = node.version().await.is_ok().then(|| start.elapsed());
    }
    answers
}

/// Asks a node for the version of its program, escaped, and about itself and its peers. `ring` is the ring of
/// the file.
async fn ask_more(node: &NodeHandle, ring: &Ring) -> (Option<String>, Result<RingReport, Error>) {
    let general = node.stats("").await.ok();
    let program =
        general.and_then(|lines| General::read(&lines, words).program().map(str::to_owned));
    (program, node.stats("ring").await.map(|lines| read(&lines, ring)))
}

/// Reads an answer to `stats ring`. Leaves out peers that the ring of the file does not list, or lists at
/// another address.
fn read(lines: &Lines, ring: &Ring) -> RingReport {
    RingReport::read(lines, words, |name, peer| {
        let node = ring.index_of_name(name).and_then(|index| ring.nodes().get(index as usize));
        node.is_some_and(|node| peer.address.as_ref().is_none_or(|at| *at == node.to_string()))
    })
}

impl Report {
    /// Whether no node answers at all.
    fn is_away(&self) -> bool {
        self.nodes.iter().all(|node| node.state.is_some_and(Kind::is_absence))
    }

    fn answer(&self, is_strict: bool) -> Answer {
        if self.findings.iter().any(|finding| finding.kind.is_identity()) {
            Answer::WrongProcess
        } else if !self.agree || is_strict && !self.ok {
            Answer::No
        } else {
            Answer::Yes
        }
    }
}

fn report(asked: &Asked<'_>) -> Report {
    let id = asked.ring.id();
    let findings = judge(asked);
    let nodes = asked.nodes.iter().enumerate().map(|(node, answers)| {
        let state = findings.state(node);
        let held = answers.held.as_ref().ok();
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let instance = asked.report(node).and_then(|report| report.instance);
        Checked {
            node: asked.name(node).to_owned(),
            address: asked.address(node),
            state,
            ring_version: held.map(|held| held.version),
            ring_digest: held.map(|held| format!("{:016x}", held.digest)),
            microseconds: answers.took.map(micros),
            program: answers.program.clone(),
            instance: instance.map(|instance| instance.to_string()),
            advice: advice(&findings, asked.name(node), state),
        }
    });
    Report {
        origin: asked.origin.to_owned(),
        version: id.version,
        digest: format!("{:016x}", id.digest),
        agree: findings.list.iter().all(|finding| finding.severity != Severity::Failure),
        ok: findings.list.is_empty(),
        nodes: nodes.collect(),
        findings: findings.list,
    }
}

/// The text of the finding that determines a node's state.
fn advice(findings: &Findings, name: &str, state: Option<Kind>) -> Option<String> {
    let state = state?;
    let is_it = |finding: &&Finding| {
        finding.kind == state
            && (finding.node.as_deref() == Some(name) || finding.about.iter().any(|it| it == name))
    };
    findings.list.iter().find(is_it).map(|finding| finding.text.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringbinder_ring::Node;

    use super::*;

    pub(super) fn ring(nodes: usize) -> Ring {
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
