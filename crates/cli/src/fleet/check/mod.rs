//! `ringbinder check`.
//!
//! Asks every node about itself and all others (`ask`), and compares the answers with the ring file and with
//! each other (`verdict`). It reports "ok" only if there is no finding at all: every key is then served by
//! exactly one process, and all nodes agree. The command only reads.

mod agree;
mod ask;
mod evidence;
mod finding;
mod held;
mod identity;
mod print;
mod reach;
mod verdict;
mod views;

use clap::Args;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use serde::{Serialize, Serializer};

use super::{Fleet, FleetOptions};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use ask::{FirstAnswers, LONG_ANSWERS};
use evidence::{Answers, Asked, Findings};
use finding::{Finding, Kind, Severity};
use verdict::judge;
use views::Views;

/// Whether every key is served by exactly one process, and all nodes agree.
#[derive(Args, Debug)]
#[command(after_help = "\
Every node is asked about itself and about all others: the ring it holds, which process it is, whom it \
reaches, what its own file says. The exit code is 0 if no failure was found, 1 if there is one, and 78 \
if one of the failures is that a process is not the node which the ring names at its address, or that \
two processes claim one name. If no node answers it is 69, or 76 or 77 if that is for TLS or the login. \
Warnings leave it at 0, unless there is --strict. \"ok\" is printed only if there is neither. TIME is one \
question and its answer, the connection not counted.")]
pub(crate) struct Check {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Exit with 1 if there are warnings, too
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
        let first_answers = join_all(nodes.iter().map(ask::ask)).await;
        let (asked, programs) = ask_more(&fleet, &first_answers).await;
        let report = report(&asked, &first_answers, programs);
        if out.is_json() {
            out.json(&report)?;
        } else {
            print::print(&report, out)?;
        }
        if report.is_away() {
            let failures = first_answers.into_iter().filter_map(|first| first.ring.err()).collect();
            fleet.failed(failures, nodes.len())?;
        }
        Ok(report.answer(self.strict))
    }
}

/// Asks the nodes that answered about themselves and the others. Also returns the versions of their programs.
async fn ask_more<'a>(
    fleet: &'a Fleet,
    first_answers: &[FirstAnswers],
) -> (Asked<'a>, Vec<Option<String>>) {
    let nodes = fleet.client.nodes();
    let mut views = Views::new(nodes.len());
    let mut programs = vec![None; nodes.len()];
    let answers =
        first_answers.iter().map(|first| Answers { held: first.ring.clone(), report: None });
    let mut answers: Vec<Answers> = answers.collect();
    let there = nodes.iter().zip(0..).zip(first_answers).filter(|(_, first)| first.is_there());
    let ring = &fleet.ring;
    let mut reports = stream::iter(there)
        .map(|((node, index), _)| async move { (index, ask::report(node, ring).await) })
        .buffer_unordered(LONG_ANSWERS);
    while let Some((index, mut report)) = reports.next().await {
        if let Ok(report) = &mut report.ring {
            views.add(index, report, |name| ring.index_of_name(name));
        }
        programs[index as usize] = report.program;
        // A node without a ring has nothing to report about it.
        answers[index as usize].report =
            first_answers[index as usize].ring.is_ok().then_some(report.ring);
    }
    views.sort();
    (Asked { ring, origin: &fleet.origin, nodes: answers, views }, programs)
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

fn report(
    asked: &Asked<'_>,
    first_answers: &[FirstAnswers],
    programs: Vec<Option<String>>,
) -> Report {
    let id = asked.ring.id();
    let findings = judge(asked);
    let nodes = first_answers.iter().zip(programs).enumerate().map(|(node, (first, program))| {
        let state = findings.state(node);
        let held = first.ring.as_ref().ok();
        let instance = asked.report(node).and_then(|report| report.instance);
        Checked {
            node: asked.name(node).to_owned(),
            address: asked.address(node),
            state,
            ring_version: held.map(|held| held.version),
            ring_digest: held.map(|held| format!("{:016x}", held.digest)),
            microseconds: first
                .took
                .map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            program,
            instance: instance.map(|instance| instance.to_string()),
            advice: advice(&findings, asked.name(node), state),
        }
    });
    let nodes: Vec<Checked> = nodes.collect();
    Report {
        origin: asked.origin.to_owned(),
        version: id.version,
        digest: format!("{:016x}", id.digest),
        agree: findings.list.iter().all(|finding| finding.severity != Severity::Failure),
        ok: findings.list.is_empty(),
        nodes,
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
