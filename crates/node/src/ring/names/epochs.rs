//! The part of the auto-discovery version that follows the addresses of host names. Clients see the
//! ring's version plus the epoch.
//!
//! Clients accept a list only with a version above the one they hold, from whichever node they ask.
//! So:
//!
//! - **A node never gives two lists under one version.** If its list changes and the ring's version did
//!   not rise, its epoch rises.
//! - **Nodes adopt the highest epoch they hear of**, after they have looked up their own names again, so
//!   that their list includes the change that the other node saw.
//!
//! Once no list changes any more, all nodes give the highest epoch. No node has given another list
//! under it, because that node would have raised its epoch further. An epoch begins from the clock
//! at the start of a process, so that it rises even if all nodes of a ring restart at once.

use tokio::time::Instant;

/// An epoch's unit in the clock, in seconds.
const UNIT: u64 = 10;

/// 2025-01-01T00:00:00Z, the origin of the clock.
const ORIGIN: u64 = 1_735_689_600;

/// The highest epoch. Clients read the sum as a number below 2^31.
pub(super) const MAX: u64 = 1 << 30;

/// The epoch of this node, and the highest that it heard of.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    given: u64,
    heard: u64,
    check: Check,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Check {
    /// The node gives the highest epoch it knows.
    #[default]
    Settled,
    /// A peer gives a higher one; this node looks up its names first.
    Looking { since: Instant },
}

impl Epochs {
    /// Begins the epoch when the ring first contains a host name, at `clock` seconds of Unix time.
    pub(super) fn begin(&mut self, clock: u64) {
        let begin = clock.saturating_sub(ORIGIN) / UNIT;
        self.given = self.given.max(begin.min(MAX));
        self.settle();
    }

    /// Records that the list changed under the same version of the ring.
    pub(super) fn changed(&mut self) {
        self.given = (self.given + 1).max(self.heard).min(MAX);
        self.settle();
    }

    /// Records the epoch of a peer. Returns true if this node must look up its names.
    pub(super) fn heard(&mut self, epoch: u64, now: Instant) -> bool {
        let epoch = epoch.min(MAX);
        let news = epoch > self.given.max(self.heard);
        if news {
            self.heard = epoch;
            self.check = Check::Looking { since: now };
        }
        news
    }

    /// The time since which this node must look up its names.
    pub(super) fn looking(&self) -> Option<Instant> {
        match self.check {
            Check::Settled => None,
            Check::Looking { since } => Some(since),
        }
    }

    /// Records that it has done so: the present list is given with the epoch heard.
    pub(super) fn looked(&mut self) {
        self.given = self.given.max(self.heard);
        self.settle();
    }

    fn settle(&mut self) {
        if self.given >= self.heard {
            self.check = Check::Settled;
        }
    }

    /// The epoch that this node gives.
    pub(super) fn current(&self) -> u64 {
        self.given
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn an_epoch_begins_by_the_clock_and_stays_below_what_clients_read() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.current(), 0, "a ring without host names has none");
        epochs.begin(0);
        assert_eq!(epochs.current(), 0);
        epochs.begin(ORIGIN + 100 * UNIT);
        assert_eq!(epochs.current(), 100);
        epochs.begin(ORIGIN);
        assert_eq!(epochs.current(), 100, "it never goes back");
        epochs.begin(u64::MAX);
        assert_eq!(epochs.current(), MAX);
        epochs.changed();
        assert!(!epochs.heard(u64::MAX, Instant::now()));
        assert_eq!(epochs.current(), MAX);
    }

    #[test]
    fn what_a_peer_saw_is_given_after_a_look() {
        let now = Instant::now();
        let mut epochs = Epochs::default();
        assert!(epochs.heard(7, now));
        assert_eq!((epochs.current(), epochs.looking()), (0, Some(now)));
        assert!(!epochs.heard(7, now) && !epochs.heard(3, now));
        epochs.looked();
        assert_eq!((epochs.current(), epochs.looking()), (7, None));
        epochs.changed();
        assert_eq!(epochs.current(), 8, "it gave the other list under 7");
        assert!(epochs.heard(9, now));
        epochs.changed();
        assert_eq!((epochs.current(), epochs.looking()), (9, None), "the same change, most likely");
    }

    /// A node, and the list it gives.
    #[derive(Debug, Default)]
    struct Node {
        epochs: Epochs,
        list: u32,
    }

    impl Node {
        fn sees(&mut self, list: u32) {
            if self.list != list {
                self.list = list;
                self.epochs.changed();
            }
            self.epochs.looked();
        }
    }

    /// Nodes learn of changes and of each other in any order and restart now and then, and clients
    /// ask any of them. In the end all nodes give one version and list, and every client that asks
    /// once more holds that list, whatever it held before.
    #[test]
    fn every_client_ends_with_the_newest_list() {
        let now = Instant::now();
        for seed in 0..3_000 {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut nodes: Vec<Node> = (0..4).map(|_| Node::default()).collect();
            let mut clients = [(0, 0); 5];
            let mut newest = 0;
            let mut clock = ORIGIN;
            for _ in 0..chance.random_range(1..60) {
                clock += chance.random_range(0..3) * UNIT;
                let at = chance.random_range(0..nodes.len());
                match chance.random_range(0..8) {
                    0 => newest = chance.random_range(0..4),
                    // A resolver in between may still give an older list.
                    1 => nodes[at].sees(chance.random_range(0..4)),
                    2 => nodes[at].sees(newest),
                    3 => {
                        let epoch = nodes[chance.random_range(0..4)].epochs.current();
                        nodes[at].epochs.heard(epoch, now);
                    }
                    4 => nodes[at].epochs.looked(),
                    // The clock has passed every epoch: there were fewer changes than units of the
                    // clock.
                    5 if nodes.iter().all(|it| it.epochs.current() < (clock - ORIGIN) / UNIT) => {
                        nodes[at] = Node { list: newest, ..Node::default() };
                        nodes[at].epochs.begin(clock);
                    }
                    _ => ask(&mut clients[chance.random_range(0..5)], &nodes[at]),
                }
            }
            // Changes end; each node sees the newest list, and all hear of each other.
            for _ in 0..nodes.len() + 1 {
                for at in 0..nodes.len() {
                    nodes[at].sees(newest);
                    let highest = nodes.iter().map(|it| it.epochs.current()).max().unwrap();
                    nodes[at].epochs.heard(highest, now);
                    nodes[at].sees(newest);
                }
            }
            for node in &nodes {
                let given = (node.epochs.current(), node.list);
                assert_eq!(given, (nodes[0].epochs.current(), newest), "seed {seed}");
            }
            for client in &mut clients {
                ask(client, &nodes[0]);
                assert_eq!(client.1, newest, "seed {seed}: {nodes:?}");
            }
        }
    }

    /// Asks as AWS's clients do.
    fn ask(client: &mut (u64, u32), node: &Node) {
        if node.epochs.current() > client.0 {
            *client = (node.epochs.current(), node.list);
        }
    }
}
