//! The answer to `stats ring`.

use std::collections::BTreeMap;

use super::{Lines, Words};
use crate::{Instance, Stamp, Standing};

/// A node's report about its ring, its place in the ring, and its peers.
///
/// A field is `None` if the node does not report it. A text is empty if the node reports that there
/// is none (`-`); [`is_reported`] tells the two from a real text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingReport {
    /// The current ring.
    pub id: Option<Stamp>,
    /// The node's name.
    pub node: Option<String>,
    /// Whether the ring lists this node.
    pub member: Option<bool>,
    /// The state of its claim to its place in the ring; see [`RingReport::standing`].
    pub reported_standing: Option<Standing>,
    /// The reason for a standing other than `confirmed`.
    pub standing_reason: Option<String>,
    /// The number that its process drew at its start.
    pub instance: Option<Instance>,
    /// Another process that claims its place.
    pub rival: Option<Instance>,
    /// Whether it serves all keys that it owns.
    pub settled: Option<bool>,
    /// Addresses of the nodes for which it waits.
    pub awaited: Option<String>,
    /// The number of peers that it declared failed since its start.
    pub given_up: Option<u64>,
    /// The reason why its source's newest ring is not the current one.
    pub last_error: Option<String>,
    /// The difference between its source's ring and the current one.
    pub drift: Option<String>,
    /// The reason why it cannot write its copy of the ring.
    pub cache_error: Option<String>,
    /// The ring in its source.
    pub file: Option<Stamp>,
    /// The policy for keys of other nodes.
    pub foreign_keys: Option<String>,
    /// Keys of gets that it forwarded.
    pub foreign_gets: Option<u64>,
    /// Other requests that it forwarded.
    pub foreign_requests: Option<u64>,
    /// Requests for keys of other nodes that it refused.
    pub foreign_refused: Option<u64>,
    /// Peers by name.
    pub peers: BTreeMap<String, PeerReport>,
}

/// A node's report about one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerReport {
    /// The peer's address.
    pub address: Option<String>,
    /// Whether the peer is unreachable.
    pub away: Option<bool>,
    /// The reason why it is unreachable. A node that reports reasons probes its peers all the time,
    /// so its `up` is proof. An older node reports `up` until a forwarded request fails.
    pub reason: Option<String>,
    /// The process that the node accepts under the peer's name.
    pub instance: Option<Instance>,
    /// Another process that claims the name.
    pub rival: Option<Instance>,
}

impl PeerReport {
    /// Whether the peer is unreachable, or two processes claim its name.
    pub fn has_problem(&self) -> bool {
        self.away == Some(true) || self.rival.is_some()
    }

    fn line(&mut self, field: &str, value: &str, words: Words) {
        match field {
            "address" => self.address = text(value, words),
            "state" => {
                self.away = match value {
                    "away" => Some(true),
                    "up" => Some(false),
                    _ => None,
                }
            }
            "reason" => self.reason = text(value, words),
            "instance" => self.instance = Instance::parse(value.as_bytes()),
            "rival" => self.rival = Instance::parse(value.as_bytes()),
            _ => {}
        }
    }
}

impl RingReport {
    /// Reads the answer, with the peers that `keep` selects by name and report.
    pub fn read(
        lines: &Lines,
        words: Words,
        keep: impl Fn(&str, &PeerReport) -> bool,
    ) -> RingReport {
        let mut ring = RingReport::default();
        let mut peers: BTreeMap<&str, PeerReport> = BTreeMap::new();
        let [mut version, mut digest, mut file_version, mut file_digest] = [None; 4];
        for (name, value) in lines.iter().rev() {
            let peer = name.strip_prefix("peer:").and_then(|rest| rest.rsplit_once(':'));
            if let Some((peer, field)) = peer {
                peers.entry(peer).or_default().line(field, value, words);
                continue;
            }
            match name.as_str() {
                "ring_version" => version = value.parse().ok(),
                "ring_digest" => digest = hexadecimal(value),
                "ring_node" => ring.node = text(value, words),
                "ring_member" => ring.member = yes_or_no(value),
                "ring_standing" => ring.reported_standing = Standing::parse(value.as_bytes()),
                "ring_standing_reason" => ring.standing_reason = text(value, words),
                "ring_instance" => ring.instance = Instance::parse(value.as_bytes()),
                "ring_rival" => ring.rival = Instance::parse(value.as_bytes()),
                "ring_settled" => ring.settled = yes_or_no(value),
                "ring_awaited" => ring.awaited = text(value, words),
                "ring_given_up" => ring.given_up = value.parse().ok(),
                "ring_last_error" => ring.last_error = text(value, words),
                "ring_drift" => ring.drift = text(value, words),
                "ring_cache_error" => ring.cache_error = text(value, words),
                "ring_file_version" => file_version = value.parse().ok(),
                "ring_file_digest" => file_digest = hexadecimal(value),
                "foreign_keys" => ring.foreign_keys = text(value, words),
                "foreign_gets" => ring.foreign_gets = value.parse().ok(),
                "foreign_requests" => ring.foreign_requests = value.parse().ok(),
                "foreign_refused" => ring.foreign_refused = value.parse().ok(),
                _ => {}
            }
        }
        let stamp = |(version, digest)| Stamp { version, digest };
        ring.id = version.zip(digest).map(stamp);
        ring.file = file_version.zip(file_digest).map(stamp);
        peers.retain(|name, peer| keep(name, peer));
        ring.peers = peers.into_iter().map(|(name, peer)| (words(name), peer)).collect();
        ring
    }

    /// The state of the node's claim to its place in the ring. A node of an older version reports
    /// only whether the ring lists it. `None` if it reports neither.
    pub fn standing(&self) -> Option<Standing> {
        let member = |member| if member { Standing::Confirmed } else { Standing::Absent };
        self.reported_standing.or(self.member.map(member))
    }

    /// Requests for keys of other nodes that the node forwarded.
    pub fn forwarded(&self) -> u64 {
        let gets = self.foreign_gets.unwrap_or(0);
        gets.saturating_add(self.foreign_requests.unwrap_or(0))
    }

    /// All requests for keys of other nodes: forwarded or refused.
    pub fn foreign(&self) -> u64 {
        self.forwarded().saturating_add(self.foreign_refused.unwrap_or(0))
    }

    /// Whether the node reports that it waits for others before it serves all of its keys.
    pub fn is_waiting(&self) -> bool {
        self.settled == Some(false)
    }

    /// The nodes whose name or address two processes claim, as this node sees it, including the
    /// node itself.
    pub fn disputed(&self) -> impl Iterator<Item = &str> {
        let own = self.node.as_deref().filter(|_| self.rival.is_some());
        let peers = self.peers.iter().filter(|(_, peer)| peer.rival.is_some());
        own.into_iter().chain(peers.map(|(name, _)| name.as_str()))
    }

    /// The peers that do not answer this node, and the reasons; a reason is empty if it is unknown.
    pub fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        let away = self.peers.iter().filter(|(_, peer)| peer.away == Some(true));
        away.map(|(name, peer)| (name.as_str(), peer.reason.as_deref().unwrap_or_default()))
    }
}

/// A text that the node reports; `None` if the line is missing or says that there is none.
pub fn is_reported(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn text(value: &str, words: Words) -> Option<String> {
    Some(if value == "-" { String::new() } else { words(value) })
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// A digest: 16 hexadecimal digits, as of an instance.
fn hexadecimal(value: &str) -> Option<u64> {
    Instance::parse(value.as_bytes()).map(|Instance(number)| number)
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    fn read(text: &str) -> RingReport {
        RingReport::read(&pairs(text), |text| text.replace('\u{9b}', "?"), |_, _| true)
    }

    #[test]
    fn a_node_reports_its_place_and_its_view_of_others() {
        let ring = read(
            "ring_version 7\nring_digest 00000000000000ff\nring_node a\nring_member yes\n\
             ring_standing replaced\nring_standing_reason \u{9b}31mnot me\nring_settled no\n\
             ring_drift the file has ring 1\nring_last_error -\nring_rival 000000000000002f\n\
             ring_file_version 6\nring_file_digest 0000000000000001\nring_given_up 3\n",
        );
        assert_eq!(ring.id, Some(Stamp { version: 7, digest: 0xff }));
        assert_eq!(ring.file, Some(Stamp { version: 6, digest: 1 }));
        assert_eq!((ring.standing(), ring.is_waiting()), (Some(Standing::Replaced), true));
        assert_eq!(ring.standing_reason.as_deref(), Some("?31mnot me"), "texts are made safe");
        assert_eq!(is_reported(&ring.drift), Some("the file has ring 1"));
        assert_eq!((is_reported(&ring.last_error), ring.last_error.as_deref()), (None, Some("")));
        assert_eq!((ring.cache_error, ring.given_up), (None, Some(3)));
        let ring = read(
            "ring_node a\nring_rival 000000000000002f\npeer:b:rival 000000000000001f\n\
             peer:c:state away\npeer:c:reason it is late\npeer:a:1:state away\npeer:a:1:reason -\n",
        );
        assert_eq!(ring.disputed().collect::<Vec<_>>(), ["a", "b"]);
        let unreached: Vec<_> = ring.unreached().collect();
        assert_eq!(unreached, [("a:1", ""), ("c", "it is late")], "names may have colons");
    }

    #[test]
    fn an_older_node_stands_as_its_membership_says() {
        assert_eq!(read("ring_member no\n").standing(), Some(Standing::Absent));
        assert_eq!(read("ring_member yes\n").standing(), Some(Standing::Confirmed));
        assert_eq!(
            read("ring_member yes\nring_standing fine\n").standing(),
            Some(Standing::Confirmed)
        );
        assert_eq!(read("").standing(), None);
        assert!(!read("").is_waiting(), "only a node that says so waits");
    }

    #[test]
    fn malformed_values_are_not_reported() {
        let ring = read(
            "ring_version x\nring_digest 1f\nring_member maybe\nring_settled 1\nring_rival 1f\n\
             ring_instance -\npeer:a:state asleep\npeer:a:rival 1\npeer::state away\nforeign_gets -1\n",
        );
        let peers = BTreeMap::from([
            ("a".to_owned(), PeerReport::default()),
            (String::new(), PeerReport { away: Some(true), ..PeerReport::default() }),
        ]);
        assert_eq!(ring, RingReport { peers, ..RingReport::default() });
        assert_eq!(ring.forwarded(), 0);
    }
}
