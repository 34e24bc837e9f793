//! The ring manager's state, for `stats ring`.

use std::cmp::Ordering;

use ringbinder_protocol::{Instance, Standing};
use ringbinder_ring::RingId;

use super::peer::Address;

/// The ring manager's state beyond the view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// The place from which this node reads its ring.
    pub(crate) source: String,
    /// The place from which the current ring came.
    pub(crate) taken_from: String,
    /// The number of rings activated since the start.
    pub(crate) changes: u64,
    /// The reason why the newest text of the source was rejected; empty if it was accepted.
    pub(crate) last_error: String,
    /// The newest valid ring read from the source.
    pub(crate) file: Option<RingId>,
    /// The last read of the source gave no valid ring. False if the source cannot be read (etcd is
    /// unreachable).
    pub(crate) file_fails: bool,
    /// The file that keeps a copy of the ring; empty without `--ring-cache`.
    pub(crate) cache: String,
    /// The ring that the copy holds.
    pub(crate) cached: Option<RingId>,
    /// The reason why there is no copy of the current ring; empty if there is one.
    pub(crate) cache_error: String,
    /// Peers that this node waits for before it serves some of its keys.
    pub(crate) awaited: Vec<Address>,
    /// The number of peers declared failed since the start.
    pub(crate) given_up: u64,
    /// The ring that each peer last reported.
    pub(crate) reported: Vec<(Address, Option<RingId>)>,
    /// This process's standing towards its place in the ring.
    pub(crate) standing: Standing,
    /// The reason why it does not serve, or another problem with its place; empty if there is none.
    pub(crate) standing_reason: String,
    /// The address that the ring gives this node, if the ring lists it.
    pub(crate) address: Option<Address>,
    /// Another process that claims this node's place.
    pub(crate) rival: Option<Instance>,
}

impl Status {
    /// Describes, in one sentence, how the source differs from the current ring and what to do
    /// about it. Empty if they agree, or if the content of the source is unknown.
    pub(crate) fn drift(&self, in_force: RingId) -> String {
        let (source, version) = (&self.source, in_force.version);
        let whence = match self.taken_from.is_empty() {
            true => String::new(),
            false => format!(" (from {})", self.taken_from),
        };
        if self.file_fails {
            return format!(
                "{source} has no valid ring, and the current ring is {version}{whence}: correct \
                 what ring_last_error says, or write ring {version} to it (`ring get` prints it)"
            );
        }
        let Some(file) = self.file else { return String::new() };
        match file.version.cmp(&version) {
            Ordering::Equal if file == in_force => String::new(),
            Ordering::Equal => format!(
                "{source} differs from the current ring but has the same version \
                 {version}{whence}: raise the version of the intended one"
            ),
            Ordering::Less => format!(
                "{source} has ring {}, but the current ring is {version}{whence}: write ring \
                 {version} to it (`ring get` prints it)",
                file.version
            ),
            Ordering::Greater => format!(
                "{source} has ring {}, but the current ring is still {version}{whence}: read it \
                 again with SIGHUP",
                file.version
            ),
        }
    }

    /// Records which ring a peer reports.
    pub(crate) fn has_said(&mut self, address: &Address, held: RingId) {
        if let Some((_, reported)) = self.reported.iter_mut().find(|(it, _)| it == address) {
            *reported = Some(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(version: u64, digest: u64) -> RingId {
        RingId { version, digest }
    }

    #[test]
    fn a_drift_names_both_rings_and_the_remedy() {
        let mut status = Status {
            source: "ring.toml".to_owned(),
            taken_from: "the node at 10.0.0.1:11211".to_owned(),
            ..Status::default()
        };
        assert_eq!(status.drift(id(2, 5)), "", "nothing was read");
        status.file = Some(id(2, 5));
        assert_eq!(status.drift(id(2, 5)), "");
        status.file = Some(id(1, 9));
        assert_eq!(
            status.drift(id(2, 5)),
            "ring.toml has ring 1, but the current ring is 2 (from the node at 10.0.0.1:11211): \
             write ring 2 to it (`ring get` prints it)"
        );
        status.file = Some(id(2, 9));
        let other = status.drift(id(2, 5));
        assert!(other.contains("has the same version 2"), "{other}");
        status.file = Some(id(3, 9));
        assert!(status.drift(id(2, 5)).contains("the current ring is still 2"));
        status.file_fails = true;
        for file in [None, Some(id(2, 5))] {
            status.file = file;
            let broken = status.drift(id(2, 5));
            assert!(broken.contains("has no valid ring"), "{broken}");
        }
    }
}
