//! The report for people: a table, the findings, and a conclusion. All text from nodes was escaped when it
//! was read.

use super::Report;
use super::finding::{Kind, Severity};
use crate::error::CliError;
use crate::fleet::numbers::counted;
use crate::output::Output;
use crate::style::{BAD, BOLD, GOOD, WARN};
use crate::table::Table;

/// Most findings printed. With `--json`, all of them are.
const PRINTED: usize = 50;

/// Prints the report.
pub(super) fn print(report: &Report, out: &mut Output) -> Result<(), CliError> {
    out.line(format_args!(
        "{BOLD}{}{BOLD:#}  version {}, digest {}",
        report.origin, report.version, report.digest
    ))?;
    out.line("")?;
    let mut table = Table::new(&["NODE", "ADDRESS", "STATE", ">RING", ">TIME", "PROGRAM"]);
    for node in &report.nodes {
        let style = match node.state {
            None => GOOD,
            Some(Kind::Behind | Kind::Settling | Kind::Unconfirmed) => WARN,
            Some(_) => BAD,
        };
        let dash = || "-".to_owned();
        let ring = node.ring_version.map_or_else(dash, |version| version.to_string());
        let time = node.microseconds.map_or_else(dash, time);
        let program = node.program.clone().unwrap_or_else(dash);
        let state = node.state.map_or_else(|| "ok".to_owned(), Kind::name);
        let state = format!("{style}{state}{style:#}");
        table.row([&node.node, &node.address, &state, &ring, &time, &program]);
    }
    out.table(&table)?;
    if report.is_away() {
        // The failure is reported as an error.
        return Ok(());
    }
    out.line("")?;
    for finding in report.findings.iter().take(PRINTED) {
        let (style, word) = match finding.severity {
            Severity::Failure => (BAD, "failure"),
            Severity::Warning => (WARN, "warning"),
        };
        out.line(format_args!("{style}{word}:{style:#} {}", finding.text))?;
    }
    if report.findings.len() > PRINTED {
        let more = report.findings.len() - PRINTED;
        out.line(format_args!("and {more} more; --json prints all"))?;
    }
    conclude(report, out)
}

/// Prints the last line, the conclusion.
fn conclude(report: &Report, out: &mut Output) -> Result<(), CliError> {
    let version = report.version;
    if report.ok {
        let holders = match report.nodes.len() {
            1 => "the node holds".to_owned(),
            nodes => format!("all {nodes} nodes hold"),
        };
        return out.line(format_args!(
            "{GOOD}ok{GOOD:#}: every key is served by exactly one process; {holders} ring {version}"
        ));
    }
    let failed = report.findings.iter().filter(|it| it.severity == Severity::Failure).count();
    let warnings = counted(report.findings.len() - failed, "warning");
    match failed {
        0 => out.line(format_args!("no failure, {warnings}")),
        failed => out.line(format_args!("{}, {warnings}", counted(failed, "failure"))),
    }
}

/// A time in microseconds, for people.
fn time(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds} us"),
        1000..1_000_000 => format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100),
        _ => format!("{}.{} s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}
