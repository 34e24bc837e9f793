//! The nodes' reports about each other, gathered by the node that they concern.
//!
//! Every answer is merged on arrival and then dropped. A ring of 4,096 nodes has 16.7 million statements.
//! Each node keeps a bounded number of claims, and four bytes for each peer that does not reach it.

use ringbinder_protocol::Instance;
use ringbinder_protocol::stats::{RingReport, is_reported};
use ringbinder_ring::NodeIndex;

/// Most processes kept for one name.
const MAX_CLAIMS: usize = 4;

/// Most distinct reasons kept for one node.
const MAX_REASONS: usize = 8;

/// The peers' reports about one node.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Processes that they accept under its name.
    pub(super) accepted: Vec<Claim>,
    /// Other processes that claim its name.
    pub(super) rivals: Vec<Claim>,
    /// The peers that do not reach it, each with the index of its reason.
    away: Vec<(u16, u8)>,
    reasons: Vec<String>,
    /// The first peer asked that certainly reaches it.
    pub(super) reached_by: Option<NodeIndex>,
    pub(super) reached: usize,
    /// A peer that does not reach it and has declared peers failed.
    pub(super) given_up_by: Option<NodeIndex>,
}

/// A process that was reported under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) instance: Instance,
    /// The first node that reported it.
    pub(super) by: NodeIndex,
    /// The number of nodes that reported it.
    pub(super) count: usize,
}

/// Views of all nodes, in the order of the ring.
#[derive(Clone, Debug, Default)]
pub(super) struct Views(Vec<View>);

impl Views {
    /// Empty views for a ring with this number of nodes.
    pub(super) fn new(nodes: usize) -> Views {
        Views(vec![View::default(); nodes])
    }

    /// The peers' reports about a node.
    pub(super) fn of(&self, node: usize) -> &View {
        &self.0[node]
    }

    /// Adds the report of the node `by` about its peers, and removes them from it. `find` finds a node by its
    /// name.
    pub(super) fn add(
        &mut self,
        by: NodeIndex,
        report: &mut RingReport,
        find: impl Fn(&str) -> Option<NodeIndex>,
    ) {
        let has_given_up = report.given_up.is_some_and(|peers| peers > 0);
        for (name, peer) in std::mem::take(&mut report.peers) {
            let of = find(&name).filter(|&of| of != by);
            let Some(view) = of.and_then(|of| self.0.get_mut(of as usize)) else { continue };
            if let Some(instance) = peer.instance {
                claim(&mut view.accepted, instance, by);
            }
            if let Some(rival) = peer.rival {
                claim(&mut view.rivals, rival, by);
            }
            match peer.away {
                Some(true) => {
                    let reason = view.reason(is_reported(&peer.reason));
                    view.away.push((u16::try_from(by).unwrap_or(u16::MAX), reason));
                    if has_given_up && report.settled == Some(true) {
                        view.given_up_by = Some(view.given_up_by.map_or(by, |node| node.min(by)));
                    }
                }
                Some(false) if peer.reason.is_some() => {
                    view.reached_by = Some(view.reached_by.map_or(by, |node| node.min(by)));
                    view.reached += 1;
                }
                _ => {}
            }
        }
    }

    /// Sorts everything into the order of the ring, regardless of the order of the answers. Must run before
    /// the views are read.
    pub(super) fn sort(&mut self) {
        for view in &mut self.0 {
            view.away.sort_unstable();
            view.accepted.sort_unstable_by_key(|claim| claim.by);
            view.rivals.sort_unstable_by_key(|claim| claim.by);
        }
    }
}

impl View {
    /// The nodes that do not reach this one, in the order of the ring, and their reasons.
    pub(super) fn away(&self) -> impl ExactSizeIterator<Item = (usize, Option<&str>)> {
        self.away.iter().map(|&(by, reason)| {
            (usize::from(by), self.reasons.get(usize::from(reason)).map(String::as_str))
        })
    }

    /// The reason why a node does not reach this one. `None` if it does, or reports no reason.
    pub(super) fn reason_of(&self, by: usize) -> Option<&str> {
        let at = self.away.binary_search_by_key(&by, |&(by, _)| usize::from(by)).ok()?;
        self.reasons.get(usize::from(self.away[at].1)).map(String::as_str)
    }

    /// The index of a reason; [`MAX_REASONS`] if there is no reason or no room for it.
    fn reason(&mut self, reason: Option<&str>) -> u8 {
        let known = self.reasons.iter().position(|known| Some(known.as_str()) == reason);
        let at = known.unwrap_or_else(|| match reason {
            Some(reason) if self.reasons.len() < MAX_REASONS => {
                self.reasons.push(reason.to_owned());
                self.reasons.len() - 1
            }
            _ => MAX_REASONS,
        });
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}

fn claim(claims: &mut Vec<Claim>, instance: Instance, by: NodeIndex) {
    if let Some(claim) = claims.iter_mut().find(|claim| claim.instance == instance) {
        (claim.by, claim.count) = (claim.by.min(by), claim.count + 1);
    } else if claims.len() < MAX_CLAIMS {
        claims.push(Claim { instance, by, count: 1 });
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_protocol::stats::PeerReport;

    use super::*;

    fn find(name: &str) -> Option<NodeIndex> {
        name.parse().ok()
    }

    #[test]
    fn a_full_ring_of_hostile_words_stays_within_bounds() {
        const NODES: u32 = 512;
        let mut views = Views::new(NODES as usize);
        for by in 0..NODES {
            let peer = |of: u32| PeerReport {
                away: Some(true),
                reason: Some(format!("{by} {of}")),
                instance: Some(Instance(u64::from(by))),
                rival: Some(Instance(u64::from(by + of))),
                ..PeerReport::default()
            };
            let peers = (0..NODES).map(|of| (of.to_string(), peer(of))).collect();
            let mut report = RingReport { peers, ..RingReport::default() };
            views.add(by, &mut report, find);
            assert!(report.peers.is_empty());
        }
        views.sort();
        for node in 0..NODES as usize {
            let view = views.of(node);
            assert_eq!((view.accepted.len(), view.rivals.len()), (MAX_CLAIMS, MAX_CLAIMS));
            assert_eq!(view.reasons.len(), MAX_REASONS);
            assert_eq!(view.away().len(), NODES as usize - 1);
            assert!(view.away().all(|(by, _)| by != node));
        }
    }

    #[test]
    fn the_order_of_the_answers_does_not_matter() {
        let report = |reason: &str| {
            let (away, reason) = (Some(true), Some(reason.to_owned()));
            let peer =
                PeerReport { away, reason, instance: Some(Instance(9)), ..PeerReport::default() };
            RingReport { peers: [("1".to_owned(), peer)].into(), ..RingReport::default() }
        };
        let mut views = Views::new(4);
        views.add(3, &mut report("late"), find);
        views.add(0, &mut report("early"), find);
        views.sort();
        let away: Vec<_> = views.of(1).away().collect();
        assert_eq!(away, [(0, Some("early")), (3, Some("late"))]);
        assert_eq!(views.of(1).accepted, [Claim { instance: Instance(9), by: 0, count: 2 }]);
    }
}
