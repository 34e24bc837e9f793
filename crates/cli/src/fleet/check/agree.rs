//! Findings that do not break the ring yet: files with which nodes would start, settings that differ, and
//! values that the nodes' versions do not report.

use std::collections::BTreeMap;

use ringbinder_protocol::Stamp;
use ringbinder_protocol::stats::{RingReport, is_reported};
use ringbinder_ring::RingId;

use super::evidence::{Asked, Findings};
use super::finding::{Finding, Kind};

/// Most settings in one sentence.
const MAX_POLICIES: usize = 4;

/// Adds the findings.
pub(super) fn judge(asked: &Asked<'_>, findings: &mut Findings) {
    // If a node holds another ring, an earlier finding already covers its file and its errors.
    for node in (0..asked.nodes.len()).filter(|&node| asked.holds_it(node)) {
        let found = asked.report(node).and_then(|report| source(asked, node, report));
        if let Some((kind, text)) = found {
            findings.add(&[node], Finding::of(kind, asked.name(node), text));
        }
        if let Some(error) = asked.report(node).and_then(|report| is_reported(&report.cache_error))
        {
            let name = asked.name(node);
            let text = format!(
                "{name} cannot write its copy of the ring: {error}; correct it, or {name} may start with \
                 an older ring"
            );
            findings.add(&[node], Finding::of(Kind::CacheError, name, text));
        }
    }
    policies(asked, findings);
    not_reported(asked, findings);
}

/// The fault in the file, or the key in etcd, that a node reads.
fn source(asked: &Asked<'_>, node: usize, report: &RingReport) -> Option<(Kind, String)> {
    let (name, id) = (asked.name(node), asked.ring.id());
    if let Some(error) = is_reported(&report.last_error) {
        let text = format!(
            "{name} does not use what it was given last, and keeps ring {}: {error}; correct it, or the \
             node may not start again",
            id.version
        );
        return Some((Kind::FileRefused, text));
    }
    if let Some(drift) = is_reported(&report.drift) {
        return Some((Kind::Drift, format!("{name}: {drift}")));
    }
    let file = report.file.map(|Stamp { version, digest }| RingId { version, digest });
    let file = file.filter(|file| *file != id)?;
    let text = format!(
        "the file of {name} has ring {} ({:016x}), and ring {} ({:016x}) is in force; \
         give it the ring in force, or it may start with its own",
        file.version, file.digest, id.version, id.digest
    );
    Some((Kind::Drift, text))
}

/// Checks that all nodes treat requests for each other's keys the same way. Otherwise they are not one cache:
/// a value written through one node cannot be read through another.
fn policies(asked: &Asked<'_>, findings: &mut Findings) {
    let mut policies: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for node in 0..asked.nodes.len() {
        if let Some(policy) =
            asked.report(node).and_then(|report| is_reported(&report.foreign_keys))
        {
            policies.entry(policy).or_default().push(node);
        }
    }
    if policies.len() < 2 {
        return;
    }
    let each = policies.iter().take(MAX_POLICIES);
    let each = each.map(|(policy, nodes)| format!("{policy}: {}", asked.listed(nodes)));
    let each: Vec<String> = each.collect();
    let text = format!(
        "the nodes treat requests for keys of other nodes differently ({}): start all with one \
         --foreign-keys, or what is written through one is not read through another",
        each.join("; ")
    );
    add_general(findings, Kind::PoliciesDiffer, text, asked, &[]);
}

/// Finds nodes whose version does not report values that the other parts compare. That proves no fault, but
/// it rules out "ok".
fn not_reported(asked: &Asked<'_>, findings: &mut Findings) {
    let mut missing: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for node in 0..asked.nodes.len() {
        let lines = asked.report(node).map(missing_lines).unwrap_or_default();
        if !lines.is_empty() {
            missing.entry(lines).or_default().push(node);
        }
    }
    for (lines, nodes) in missing {
        let verb = if nodes.len() == 1 { "does" } else { "do" };
        let text = format!(
            "{} {verb} not report {} in this version: whether one process serves each key is not known; \
             upgrade",
            asked.listed(&nodes),
            lines.join(", ")
        );
        add_general(findings, Kind::NotReported, text, asked, &nodes);
    }
}

/// The lines required to verify that one process serves each key, as far as a report lacks them.
fn missing_lines(report: &RingReport) -> Vec<&'static str> {
    let needed = [
        ("ring_instance", report.instance.is_some()),
        ("ring_standing", report.reported_standing.is_some()),
        ("ring_drift", report.drift.is_some()),
    ];
    needed.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect()
}

/// Adds a finding about the ring as a whole.
fn add_general(
    findings: &mut Findings,
    kind: Kind,
    text: String,
    asked: &Asked<'_>,
    nodes: &[usize],
) {
    let finding = Finding { kind, node: None, about: Vec::new(), severity: kind.severity(), text };
    findings.add(nodes, finding.about(nodes.iter().map(|&node| asked.name(node))));
}

#[cfg(test)]
mod tests {
    use ringbinder_protocol::Instance;

    use super::*;

    #[test]
    fn what_is_missing_or_malformed_is_known_to_be() {
        let all = ["ring_instance", "ring_standing", "ring_drift"];
        assert_eq!(missing_lines(&RingReport::default()), all);
        let drift = Some(String::new());
        let instance = Some(Instance(7));
        let report = RingReport { drift, instance, ..RingReport::default() };
        assert_eq!(missing_lines(&report), ["ring_standing"]);
    }
}
