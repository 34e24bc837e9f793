//! What the nodes say of each other, gathered for each node that they speak of.
//!
//! Every answer is added as it comes and is not kept. A ring of 4,096 nodes has 16.7 million
//! statements: for each a bounded number of claims, and of those who do not reach a node four bytes
//! each.

use ringbinder_ring::NodeIndex;

use super::said::Said;

/// How many different processes are kept for one name.
const MAX_CLAIMS: usize = 4;

/// How many different reasons are kept for one node.
const MAX_REASONS: usize = 8;

/// What peers say of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Processes that they accept under its name.
    pub(super) accepted: Vec<Claim>,
    /// Other processes that they know to claim it.
    pub(super) rivals: Vec<Claim>,
    /// Who does not reach it, and which reason that is.
    away: Vec<(u16, u8)>,
    reasons: Vec<String>,
    /// Who reaches it for certain: the first that was asked, and how many.
    pub(super) reached_by: Option<NodeIndex>,
    pub(super) reached: usize,
    /// One that does not reach it and has declared peers failed.
    pub(super) given_up_by: Option<NodeIndex>,
}

/// A process that is said to have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) instance: u64,
    /// The first that said so.
    pub(super) by: NodeIndex,
    /// How many said so.
    pub(super) count: usize,
}

/// Of all nodes, in the order of the ring.
#[derive(Clone, Debug, Default)]
pub(super) struct Views(Vec<View>);

impl Views {
    /// Of a ring with so many nodes, before any of them has said something.
    pub(super) fn new(nodes: usize) -> Views {
        Views(vec![View::default(); nodes])
    }

    /// What peers say of a node.
    pub(super) fn of(&self, node: usize) -> &View {
        &self.0[node]
    }

    /// Adds what the node `by` says of others, and takes it out of `said`.
    pub(super) fn add(&mut self, by: NodeIndex, said: &mut Said) {
        for (of, peer) in std::mem::take(&mut said.peers) {
            let Some(view) = self.0.get_mut(of as usize).filter(|_| of != by) else { continue };
            if let Some(instance) = peer.instance {
                claim(&mut view.accepted, instance, by);
            }
            if let Some(rival) = peer.rival {
                claim(&mut view.rivals, rival, by);
            }
            match peer.away {
                Some(true) => {
                    let reason = view.reason(peer.reason);
                    view.away.push((u16::try_from(by).unwrap_or(u16::MAX), reason));
                    if said.given_up > 0 && said.settled == Some(true) {
                        view.given_up_by = Some(view.given_up_by.map_or(by, |node| node.min(by)));
                    }
                }
                Some(false) if peer.asks => {
                    view.reached_by = Some(view.reached_by.map_or(by, |node| node.min(by)));
                    view.reached += 1;
                }
                _ => {}
            }
        }
    }

    /// Puts all into the order of the ring, whatever order they answered in. Comes before any look at
    /// them.
    pub(super) fn sort(&mut self) {
        for view in &mut self.0 {
            view.away.sort_unstable();
            view.accepted.sort_unstable_by_key(|claim| claim.by);
            view.rivals.sort_unstable_by_key(|claim| claim.by);
        }
    }
}

impl View {
    /// Those who do not reach the node, in the order of the ring, and why.
    pub(super) fn away(&self) -> impl ExactSizeIterator<Item = (usize, Option<&str>)> {
        self.away.iter().map(|&(by, reason)| {
            (usize::from(by), self.reasons.get(usize::from(reason)).map(String::as_str))
        })
    }

    /// Why a node does not reach this one; none if it does, or gives no reason.
    pub(super) fn reason_of(&self, by: usize) -> Option<&str> {
        let at = self.away.binary_search_by_key(&by, |&(by, _)| usize::from(by)).ok()?;
        self.reasons.get(usize::from(self.away[at].1)).map(String::as_str)
    }

    /// The number of a reason; [`MAX_REASONS`] for one too many, or none.
    fn reason(&mut self, reason: Option<String>) -> u8 {
        let known = self.reasons.iter().position(|known| Some(known) == reason.as_ref());
        let at = known.unwrap_or_else(|| match reason {
            Some(reason) if self.reasons.len() < MAX_REASONS => {
                self.reasons.push(reason);
                self.reasons.len() - 1
            }
            _ => MAX_REASONS,
        });
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}

fn claim(claims: &mut Vec<Claim>, instance: u64, by: NodeIndex) {
    if let Some(claim) = claims.iter_mut().find(|claim| claim.instance == instance) {
        (claim.by, claim.count) = (claim.by.min(by), claim.count + 1);
    } else if claims.len() < MAX_CLAIMS {
        claims.push(Claim { instance, by, count: 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::super::said::PeerSaid;
    use super::*;

    #[test]
    fn a_full_ring_of_hostile_words_stays_within_bounds() {
        const NODES: u32 = 512;
        let mut views = Views::new(NODES as usize);
        for by in 0..NODES {
            let peer = |of: u32| PeerSaid {
                away: Some(true),
                reason: Some(format!("{by} {of}")),
                instance: Some(u64::from(by)),
                rival: Some(u64::from(by + of)),
                ..PeerSaid::default()
            };
            let peers = (0..NODES).map(|of| (of, peer(of))).collect();
            let mut said = Said { peers, ..Said::default() };
            views.add(by, &mut said);
            assert!(said.peers.is_empty());
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
        let said = |reason: &str| {
            let (away, reason) = (Some(true), Some(reason.to_owned()));
            let peer = PeerSaid { away, reason, instance: Some(9), ..PeerSaid::default() };
            Said { peers: [(1, peer)].into(), ..Said::default() }
        };
        let mut views = Views::new(4);
        views.add(3, &mut said("late"));
        views.add(0, &mut said("early"));
        views.sort();
        let away: Vec<_> = views.of(1).away().collect();
        assert_eq!(away, [(0, Some("early")), (3, Some("late"))]);
        assert_eq!(views.of(1).accepted, [Claim { instance: 9, by: 0, count: 2 }]);
    }
}
