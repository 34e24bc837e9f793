//! `ringbinder check`.

mod ask;
mod verdict;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::{Fleet, FleetOptions};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::style::{BAD, BOLD, GOOD, WARN};
use crate::table::{Align, Table};
use ask::Told;
use verdict::{State, judge};

/// Whether all nodes of a ring hold it.
#[derive(Args, Debug)]
#[command(after_help = "\
Every node is asked which ring it holds, and that is compared with the ring file. The exit \
code is 0 where all nodes hold the ring of the file and wait for nobody, 1 where any does not; \
where none answers it is 69, or 76 or 77 if that is for TLS or the login. TIME is one question and its answer, the connection not counted.")]
pub(crate) struct Check {
    #[command(flatten)]
    fleet: FleetOptions,
}

/// One node, as JSON.
#[derive(Serialize)]
struct Checked {
    node: String,
    address: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    microseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Everything, as JSON.
#[derive(Serialize)]
struct Report {
    origin: String,
    version: u64,
    digest: String,
    agree: bool,
    nodes: Vec<Checked>,
}

impl Check {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.client.nodes();
        let told = join_all(nodes.iter().map(ask::ask)).await;
        let report = report(&fleet, &told);
        if out.is_json() {
            out.json(&report)?;
        } else {
            print(&report, out)?;
        }
        if report.is_away() {
            let failures = told.into_iter().filter_map(|told| told.ring.err()).collect();
            fleet.failed(failures, nodes.len())?;
        }
        Ok(if report.agree { Answer::Yes } else { Answer::No })
    }
}

impl Report {
    /// Whether no node answers at all.
    fn is_away(&self) -> bool {
        let is_away = |state| matches!(state, State::Away | State::NoTls | State::NoLogin);
        self.nodes.iter().all(|node| is_away(node.state))
    }
}

fn report(fleet: &Fleet, told: &[Told]) -> Report {
    let id = fleet.ring.id();
    let nodes = fleet.ring.nodes().iter().zip(told).map(|(node, told)| {
        let (state, advice) = judge(&node.name, id, &fleet.origin, told);
        let held = told.ring.as_ref().ok();
        Checked {
            node: node.name.clone(),
            address: node.to_string(),
            state,
            ring_version: held.map(|held| held.version),
            ring_digest: held.map(|held| format!("{:016x}", held.digest)),
            microseconds: told.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            program: told.program.clone(),
            advice,
        }
    });
    let nodes: Vec<Checked> = nodes.collect();
    Report {
        origin: fleet.origin.clone(),
        version: id.version,
        digest: format!("{:016x}", id.digest),
        agree: nodes.iter().all(|node| node.state == State::Ok),
        nodes,
    }
}

fn print(report: &Report, out: &mut Output) -> Result<(), CliError> {
    out.line(format_args!(
        "{BOLD}{}{BOLD:#}  version {}, digest {}",
        report.origin, report.version, report.digest
    ))?;
    out.line("")?;
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATE", Align::Left),
        ("RING", Align::Right),
        ("TIME", Align::Right),
        ("PROGRAM", Align::Left),
    ]);
    for node in &report.nodes {
        let style = match node.state {
            State::Ok => GOOD,
            State::Behind | State::Settling => WARN,
            _ => BAD,
        };
        let dash = || "-".to_owned();
        let ring = node.ring_version.map_or_else(dash, |version| version.to_string());
        let time = node.microseconds.map_or_else(dash, time);
        let program = node.program.clone().unwrap_or_else(dash);
        let state = format!("{style}{}{style:#}", node.state.name());
        table.row([&node.node, &node.address, &state, &ring, &time, &program]);
    }
    out.table(&table)?;
    if report.is_away() {
        // Told as a failure.
        return Ok(());
    }
    out.line("")?;
    for advice in report.nodes.iter().filter_map(|node| node.advice.as_deref()) {
        out.line(advice)?;
    }
    if report.agree {
        let nodes = report.nodes.len();
        match nodes {
            1 => out.line(format_args!("{GOOD}ok{GOOD:#}: the node holds this ring"))?,
            _ => out.line(format_args!("{GOOD}ok{GOOD:#}: all {nodes} nodes hold this ring"))?,
        }
    }
    Ok(())
}

/// Microseconds for people.
fn time(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds} us"),
        1000..1_000_000 => {
            format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
        }
        _ => format!("{}.{} s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}
