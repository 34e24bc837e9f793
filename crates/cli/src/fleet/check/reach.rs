//! Whether each node answers, holds the ring of the file, and is reached by the other nodes.
//!
//! If this program does not reach a node, [`held`] reports it. Each pair of the other nodes has two
//! directions. A finding names the node that is not reached, since one fault usually separates one node from
//! several. A node that reaches no other node has a finding of its own.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ringbinder_client::{Absence, Error};
use ringbinder_protocol::stats::is_reported;

use crate::escape::words;
use crate::fleet::check::finding::{Asked, Finding, Findings, Kind};
use crate::fleet::error::advice;

/// Adds the findings.
pub(super) fn held(asked: &Asked<'_>, findings: &mut Findings) {
    // Waiting nodes, grouped by the node for which they wait: one absent node is one finding.
    let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for node in 0..asked.nodes.len() {
        let fault = absent(asked, node).or_else(|| outdated(asked, node));
        if let Some((kind, text)) = fault {
            findings.add(&[node], Finding::of(kind, asked.name(node), text));
            continue;
        }
        if let Some(report) = asked.report(node).filter(|report| report.is_waiting()) {
            waiting.entry(is_reported(&report.awaited).unwrap_or("")).or_default().push(node);
        }
    }
    let mut waiting: Vec<_> = waiting.into_iter().collect();
    waiting.sort_by_key(|(_, nodes)| nodes[0]);
    for (awaited, nodes) in waiting {
        let (verb, its, it) = match nodes.len() {
            1 => ("waits", "its", "it serves"),
            _ => ("wait", "their", "they serve"),
        };
        let names = asked.listed(&nodes);
        let text = match awaited {
            "" => format!("{names} {verb} for {its} ring to settle: check again in a moment"),
            _ => format!(
                "{names} {verb} for {awaited} before {it} all {its} keys: check again in a moment"
            ),
        };
        let finding = Finding::of(Kind::Settling, asked.name(nodes[0]), text);
        let others = nodes[1..].iter().map(|&node| asked.name(node));
        findings.add(&nodes, finding.about(others));
    }
}

/// The reason why a node gives no answer, or not all answers.
fn absent(asked: &Asked<'_>, node: usize) -> Option<(Kind, String)> {
    let answers = &asked.nodes[node];
    let no_report = answers.report.as_ref().and_then(|report| report.as_ref().err());
    let error = answers.held.as_ref().err().or(no_report)?;
    Some(match error {
        Error::Away { why: Absence::Tls(_), .. } => (Kind::NoTls, with_advice(error)),
        Error::Unauthenticated { .. } => (Kind::NoLogin, with_advice(error)),
        Error::Away { .. } => (Kind::Away, away(asked, node, error)),
        Error::Nonsense { .. } => {
            (Kind::Nonsense, format!("{}: see what listens there", described(error)))
        }
        _ if answers.held.is_ok() => {
            let text = format!(
                "{} reports which ring it holds, and refuses `stats ring`: {}",
                asked.name(node),
                described(error)
            );
            (Kind::NoStats, text)
        }
        _ => (Kind::NoRing, described(error)),
    })
}

/// The known facts about a node that does not answer this program.
fn away(asked: &Asked<'_>, node: usize, error: &Error) -> String {
    let view = asked.views.of(node);
    let (name, given_up) = (asked.name(node), given_up(asked, node));
    match view.reached_by {
        Some(by) => {
            let by = asked.name(by as usize);
            let others = match view.reached - 1 {
                0 => by.to_owned(),
                1 => format!("{by} and 1 more node"),
                others => format!("{by} and {others} more nodes"),
            };
            // Peers consider a node that has just exited up until their next handshake with it.
            format!(
                "{name} does not answer here, but {others} reached it just now ({}): check the network \
                 and the firewall between this host and it; if it has just ended, start it, or take it \
                 out of the ring{given_up}",
                described(error)
            )
        }
        None => format!("{}: start it, or take it out of the ring{given_up}", described(error)),
    }
}

/// The nodes that serve keys without waiting for a node, as a clause for a sentence.
pub(super) fn given_up(asked: &Asked<'_>, node: usize) -> String {
    let Some(by) = asked.views.of(node).given_up_by else { return String::new() };
    let count = asked.report(by as usize).and_then(|report| report.given_up).unwrap_or(0);
    let by = asked.name(by as usize);
    format!("; {by} has declared peers failed since its start (ring_given_up {count})")
}

/// The difference between the ring of a node and the ring of the file.
fn outdated(asked: &Asked<'_>, node: usize) -> Option<(Kind, String)> {
    let (held, id) = (asked.nodes[node].held.as_ref().ok()?, asked.ring.id());
    let (name, origin, version) = (asked.name(node), asked.origin, held.version);
    let error = asked.report(node).and_then(|report| is_reported(&report.last_error));
    let why = error.map(|why| format!(" (it says: {why})")).unwrap_or_default();
    match version.cmp(&id.version) {
        Ordering::Less => Some((
            Kind::Behind,
            format!("{name} holds version {version} of {}: give it the file{why}", id.version),
        )),
        Ordering::Greater => Some((
            Kind::Ahead,
            format!(
                "{name} holds version {version}, and {origin} is older: use the newer ring, which \
                 `ring get` returns there"
            ),
        )),
        Ordering::Equal if held.digest != id.digest => Some((
            Kind::Differs,
            format!(
                "{name} holds another ring with version {version}: raise the version in the \
                 intended file, and give it to a node{why}"
            ),
        )),
        Ordering::Equal => None,
    }
}

fn with_advice(error: &Error) -> String {
    match advice(error) {
        Some(advice) => format!("{}: {advice}", described(error)),
        None => described(error),
    }
}

/// The text of an error, escaped because it may quote the node.
fn described(error: &Error) -> String {
    words(&error.to_string())
}

/// Most reasons in one sentence.
const MAX_REASONS: usize = 3;

/// Adds the findings.
pub(super) fn reached(asked: &Asked<'_>, findings: &mut Findings) {
    // Peers report a process with the wrong identity as unreachable, for that reason.
    let nodes = 0..asked.nodes.len();
    let counts = nodes.clone().filter(|&node| {
        asked.report(node).is_some() && !findings.has(node, |kind| kind.is_identity())
    });
    let counts: Vec<usize> = counts.collect();
    let mut missed = vec![0; asked.nodes.len()];
    for &node in &counts {
        for (by, _) in asked.views.of(node).away() {
            missed[by] += usize::from(by < asked.nodes.len());
        }
    }
    // In a ring of two, the cases coincide: a node that reaches no other, and a node that the other does not
    // reach.
    let is_alone = |node: usize| {
        let others = counts.len() - usize::from(counts.binary_search(&node).is_ok());
        others > 1 && missed[node] == others
    };
    for node in nodes.filter(|&node| is_alone(node)) {
        let reasons = counts.iter().map(|&other| (node, asked.views.of(other).reason_of(node)));
        let text = format!(
            "{} reaches no other node{}: check its network, its firewall and its TLS settings",
            asked.name(node),
            why(asked, reasons)
        );
        findings.add(&[node], Finding::of(Kind::ReachesNobody, asked.name(node), text));
    }
    for &node in &counts {
        let away = asked.views.of(node).away().filter(|(by, _)| !is_alone(*by));
        let away: Vec<(usize, Option<&str>)> = away.collect();
        if away.is_empty() {
            continue;
        }
        let by: Vec<usize> = away.iter().map(|(by, _)| *by).collect();
        let text = format!(
            "{} cannot reach {}, which answers here{}: check the network and the firewall in this \
             direction, and the TLS settings of both{}",
            asked.listed(&by),
            asked.name(node),
            why(asked, away.into_iter()),
            given_up(asked, node)
        );
        let finding = Finding::of(Kind::Unreachable, asked.name(node), text);
        findings.add(&[node], finding.about(by.iter().map(|&by| asked.name(by))));
    }
}

/// The distinct reasons that nodes report, as a clause for a sentence.
fn why<'a>(asked: &Asked<'_>, away: impl Iterator<Item = (usize, Option<&'a str>)>) -> String {
    let mut reasons: Vec<(usize, &str)> = Vec::new();
    for (by, reason) in away {
        if let Some(reason) = reason.filter(|new| reasons.iter().all(|(_, known)| known != new)) {
            reasons.push((by, reason));
        }
        if reasons.len() == MAX_REASONS {
            break;
        }
    }
    match reasons.as_slice() {
        [] => String::new(),
        [(_, only)] => format!(" ({only})"),
        some => {
            let some =
                some.iter().map(|(by, reason)| format!("{} says: {reason}", asked.name(*by)));
            format!(" ({})", some.collect::<Vec<_>>().join("; "))
        }
    }
}
