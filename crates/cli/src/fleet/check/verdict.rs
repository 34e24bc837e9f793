//! The combined judgement on the answers of all nodes.
//!
//! One cause is one finding: consequences of another finding are left out. The parts run in this order, and
//! each sees the earlier findings about a node:
//!
//! 1. [`held`]: whether the node answers, and whether it holds the ring of the file.
//! 2. [`identity`]: whether the process at its address is the node that the ring lists.
//! 3. [`reach`]: whether the nodes reach each other.
//! 4. [`agree`]: whether anything will break that agreement later, or cannot be checked.

use std::collections::BTreeMap;

use ringbinder_protocol::Stamp;
use ringbinder_protocol::stats::{RingReport, is_reported};
use ringbinder_ring::RingId;

use crate::fleet::check::finding::{Asked, Finding, Findings, Kind};
use crate::fleet::check::{identity, reach};

/// Compares the answers with the ring and with each other.
pub(super) fn judge(asked: &Asked<'_>) -> Findings {
    let mut findings = Findings::default();
    reach::held(asked, &mut findings);
    identity::judge(asked, &mut findings);
    reach::reached(asked, &mut findings);
    agree(asked, &mut findings);
    // Failures come first; otherwise the order of the ring stays.
    findings.list.sort_by_key(|finding| !finding.kind.is_failure());
    findings
}

/// Most settings in one sentence.
const MAX_POLICIES: usize = 4;

/// Adds the findings.
fn agree(asked: &Asked<'_>, findings: &mut Findings) {
    // If a node holds another ring, an earlier finding already covers its file and its errors.
    for node in (0..asked.nodes.len()).filter(|&node| asked.holds_it(node)) {
        let Some(report) = asked.report(node) else { continue };
        if let Some((kind, text)) = source(asked, node, report) {
            findings.add(&[node], Finding::of(kind, asked.name(node), text));
        }
        if let Some(error) = is_reported(&report.cache_error) {
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
            "{name} rejected its newest ring and keeps ring {}: {error}; correct it, or the node \
             may not start again",
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
        "the file of {name} has ring {} ({:016x}), and the current ring is {} ({:016x}); give it \
         the current ring, or it may start with its own",
        file.version, file.digest, id.version, id.digest
    );
    Some((Kind::Drift, text))
}

/// Checks that all nodes treat requests for each other's keys the same way. Otherwise they are not one cache:
/// a value written through one node cannot be read through another.
fn policies(asked: &Asked<'_>, findings: &mut Findings) {
    let mut policies: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for node in 0..asked.nodes.len() {
        let policy = asked.report(node).and_then(|report| is_reported(&report.foreign_keys));
        if let Some(policy) = policy {
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
            "{} {verb} not report {} in this version: it is unknown whether one process serves \
             each key; upgrade",
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
    use ringbinder_protocol::stats::PeerReport;
    use ringbinder_protocol::{Instance, Standing};

    use super::*;
    use crate::fleet::check::finding::{Answers, Kind};
    use crate::fleet::check::tests::ring;
    use crate::fleet::check::views::Views;

    /// There is one finding for each node, regardless of the number of statements, and each statement is read
    /// only once.
    #[test]
    fn a_large_ring_that_is_wholly_apart_is_one_finding_for_each_node() {
        const NODES: u32 = 1024;
        let ring = ring(NODES as usize);
        let mut views = Views::new(NODES as usize);
        let answers = |by: u32| {
            let peer = PeerReport {
                away: Some(true),
                reason: Some("no route".to_owned()),
                ..PeerReport::default()
            };
            let mut report = RingReport {
                node: Some(format!("n{by}")),
                instance: Some(Instance(u64::from(by))),
                reported_standing: Some(Standing::Confirmed),
                drift: Some(String::new()),
                peers: (0..NODES).map(|of| (format!("n{of}"), peer.clone())).collect(),
                ..RingReport::default()
            };
            views.add(by, &mut report, |name| ring.index_of_name(name));
            Answers { held: Ok(ring.id()), took: None, program: None, report: Some(Ok(report)) }
        };
        let nodes = (0..NODES).map(answers).collect();
        views.sort();
        let findings = judge(&Asked { ring: &ring, origin: "it", nodes, views });
        assert_eq!(findings.list.len(), NODES as usize);
        assert!(findings.list.iter().all(|finding| finding.kind == Kind::ReachesNobody));
        assert_eq!(
            findings.list[0].text,
            "n0 reaches no other node (no route): check its network, its firewall and its TLS settings"
        );
    }

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
