//! The combined judgement on the answers of all nodes.
//!
//! One cause is one finding: consequences of another finding are left out. The parts run in this order, and
//! each sees the earlier findings about a node:
//!
//! 1. [`held`]: whether the node answers, and whether it holds the ring of the file.
//! 2. [`identity`]: whether the process at its address is the node that the ring lists.
//! 3. [`reach`]: whether the nodes reach each other.
//! 4. [`agree`]: whether anything will break that agreement later, or cannot be checked.

use super::evidence::{Asked, Findings};
use super::{agree, held, identity, reach};

/// Compares the answers with the ring and with each other.
pub(super) fn judge(asked: &Asked<'_>) -> Findings {
    let mut findings = Findings::default();
    held::judge(asked, &mut findings);
    identity::judge(asked, &mut findings);
    reach::judge(asked, &mut findings);
    agree::judge(asked, &mut findings);
    // Failures come first; otherwise the order of the ring stays.
    findings.list.sort_by_key(|finding| !finding.kind.is_failure());
    findings
}

#[cfg(test)]
mod tests {
    use ringbinder_protocol::stats::{PeerReport, RingReport};
    use ringbinder_protocol::{Instance, Standing};

    use super::super::ask::tests::ring;
    use super::super::evidence::Answers;
    use super::super::finding::Kind;
    use super::super::views::Views;
    use super::*;

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
            Answers { held: Ok(ring.id()), report: Some(Ok(report)) }
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
}
