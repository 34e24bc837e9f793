//! Whether the process at each address is the node that the ring lists there, and whether another process
//! claims to be that node.
//!
//! The instance number, drawn at its start, identifies a process. This module adds at most one finding for
//! each node, the first of these that applies: a process answers at the addresses of two nodes; it reports
//! another name; another process has replaced it; the ring does not list it; two processes claim the name; it
//! has no proof of its place.

use std::collections::BTreeMap;

use ringbinder_protocol::stats::{RingReport, is_reported};
use ringbinder_protocol::{Instance, Standing};

use super::finding::{Finding, Kind};
use super::views::Claim;
use crate::fleet::check::finding::{Asked, Findings};

/// Most claims in one sentence.
const MAX_CLAIMS: usize = 3;

/// Adds the findings.
pub(super) fn judge(asked: &Asked<'_>, findings: &mut Findings) {
    same_process(asked, findings);
    for node in 0..asked.nodes.len() {
        if findings.has(node, |kind| kind == Kind::SameProcess) {
            continue;
        }
        // In another ring, a node may legitimately have another name or none.
        let report = asked.report(node).filter(|_| asked.holds_it(node));
        let name = asked.name(node);
        let found = report
            .and_then(|report| mistaken(asked, node, report))
            .or_else(|| Some((Kind::Disputed, disputed(asked, node)?)))
            .or_else(|| Some((Kind::Unconfirmed, unconfirmed(asked, node, report?)?)));
        if let Some((kind, text)) = found {
            findings.add(&[node], Finding::of(kind, name, text));
        }
    }
}

/// Instances that answered at several addresses.
fn same_process(asked: &Asked<'_>, findings: &mut Findings) {
    let mut places: BTreeMap<Instance, Vec<usize>> = BTreeMap::new();
    for node in 0..asked.nodes.len() {
        if let Some(instance) = asked.report(node).and_then(|report| report.instance) {
            places.entry(instance).or_default().push(node);
        }
    }
    let mut places: Vec<_> = places.into_iter().filter(|(_, nodes)| nodes.len() > 1).collect();
    places.sort_by_key(|(_, nodes)| nodes[0]);
    for (instance, nodes) in places {
        let (first, others) = (nodes[0], &nodes[1..]);
        let name = asked.report(first).and_then(|report| is_reported(&report.node)).unwrap_or("-");
        let text = format!(
            "one process (instance {instance}) answers for {}: {} and {} lead to it, and it calls \
             itself {name}; correct the addresses, or take all but one of them out of the ring",
            asked.listed(&nodes),
            asked.address(first),
            asked.address(others[0]),
        );
        let finding = Finding::of(Kind::SameProcess, asked.name(first), text);
        let about = others.iter().map(|&node| asked.name(node));
        findings.add(&nodes, finding.about(about));
    }
}

/// A process that, by its own report, is not the node of the ring.
fn mistaken(asked: &Asked<'_>, node: usize, report: &RingReport) -> Option<(Kind, String)> {
    let (name, address) = (asked.name(node), asked.address(node));
    let reason = reason(report);
    let version = asked.ring.id().version;
    let standing = report.reported_standing;
    let absent = standing == Some(Standing::Absent) || report.member == Some(false);
    if let Some(own) = is_reported(&report.node).filter(|own| *own != name) {
        let text = match asked.ring.index_of_name(own) {
            Some(other) => format!(
                "{address}, the address of {name}, leads to a process that goes by the name {own}: if \
                 it is {own} at {}, correct the address of {name}; if it is meant to be {name}, \
                 restart it with --node {name}{reason}",
                asked.address(other as usize)
            ),
            None => format!(
                "the process at {address} goes by the name {own}, which is not in the ring, and the \
                 ring calls that address {name}: restart it with --node {name}, or write {own} into \
                 the ring{reason}"
            ),
        };
        return Some((Kind::NameMismatch, text));
    }
    if standing == Some(Standing::Replaced) {
        let text = format!(
            "the process at {address} stopped serving the keys of {name}, because another process \
             answers there for other nodes{}{reason}: stop one of the two, and look where {address} \
             leads from each host",
            accepted(asked, node)
        );
        return Some((Kind::Replaced, text));
    }
    let text = format!(
        "{name} does not find itself in ring {version} and serves none of its keys: it does not listen \
         on {address}; restart it with --node {name}, or correct its address in the ring{reason}"
    );
    absent.then_some((Kind::NotAMember, text))
}

/// Finds more than one process with one name.
fn disputed(asked: &Asked<'_>, node: usize) -> Option<String> {
    let view = asked.views.of(node);
    let report = asked.report(node);
    let own = report.and_then(|report| report.instance);
    let met = report.and_then(|report| report.rival).filter(|rival| Some(*rival) != own);
    let others =
        |claims: &[Claim]| claims.iter().filter(|claim| Some(claim.instance) != own).count();
    let is_rival = met.is_some() || others(&view.rivals) > 0;
    let disagree = match own {
        Some(_) => others(&view.accepted) > 0,
        None => view.accepted.len() > 1,
    };
    if !disagree && !is_rival {
        return None;
    }
    let mut claims = Vec::new();
    claims.extend(own.map(|own| format!("instance {own} answers at {}", asked.address(node))));
    claims.extend(met.map(|met| format!("it met instance {met} itself")));
    let tell = |claim: &Claim, verb: &str, verbs: &str| {
        let by = asked.name(claim.by as usize);
        match claim.count - 1 {
            0 => format!("{by} {verb} instance {}", claim.instance),
            1 => format!("{by} and 1 more node {verbs} instance {}", claim.instance),
            more => format!("{by} and {more} more nodes {verbs} instance {}", claim.instance),
        }
    };
    let accepted = view.accepted.iter().take(MAX_CLAIMS);
    claims.extend(accepted.map(|claim| tell(claim, "accepts", "accept")));
    claims.extend(view.rivals.iter().take(MAX_CLAIMS).map(|claim| tell(claim, "met", "met")));
    Some(format!(
        "more than one process claims to be {}: {}; stop all but one (if it was just restarted, check \
         again in a moment)",
        asked.name(node),
        claims.join(", ")
    ))
}

fn unconfirmed(asked: &Asked<'_>, node: usize, report: &RingReport) -> Option<String> {
    (report.reported_standing == Some(Standing::Unconfirmed)).then(|| {
        format!(
            "{} has no proof that {} leads to it, and serves none of its keys{}: see that it or one of \
             the others reaches that address",
            asked.name(node),
            asked.address(node),
            reason(report)
        )
    })
}

/// The process that peers accept as a node, as a clause for a sentence.
fn accepted(asked: &Asked<'_>, node: usize) -> String {
    let own = asked.report(node).and_then(|report| report.instance);
    let mut claims = asked.views.of(node).accepted.iter();
    let other = claims.find(|claim| Some(claim.instance) != own);
    let Some(claim) = other else { return String::new() };
    format!(" ({} accepts instance {})", asked.name(claim.by as usize), claim.instance)
}

/// The reason that a process reports, as a clause for a sentence.
fn reason(report: &RingReport) -> String {
    let reason = is_reported(&report.standing_reason);
    reason.map(|reason| format!(" (it says: {reason})")).unwrap_or_default()
}
