//! Asks every node of the ring for its state, again and again.
//!
//! A peer is asked over its ordinary port, on a connection like those of the ring manager, with commands
//! that any client may send. The questions of one round are spread over its time, so that neither
//! this node nor its peers get them all at once. In rings of up to [`MAX_KEPT`] nodes the
//! connections stay open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringbinder_protocol::stats::{NodeReport, is_reported, lines};
use ringbinder_ring::printable::words;
use ringbinder_ring::{Node, NodeIndex};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Moment, interval};
use super::own;
use crate::ring::{PeerClient, PeerError, RingNode};
use crate::worker::shared::Shared;

/// The commands sent to a node, in this order.
const QUESTIONS: &[u8] = b"stats\r\nstats ring\r\nstats latency\r\nstats hotkeys\r\n";

/// The number of answers to them.
const ANSWERS: usize = 4;

/// The number of connections that stay open between two rounds.
pub(super) const MAX_KEPT: usize = 128;

/// The pause after the first round: two rounds are needed to compute a rate.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest and the longest timeout for an answer.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);

/// The most bytes of all answers of a peer: more than a ring of 4,096 nodes needs.
const MAX_ANSWERS: usize = 4 << 20;

/// The name of a node without a ring on the page.
pub(super) const LONE: &str = "this node";

/// A node to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) address: String,
    /// True for this node.
    pub(super) own: bool,
}

/// Every node of the current ring in its order, then this one if the ring does not list it.
pub(super) fn targets(shared: &Shared, fleet: &Fleet) -> Vec<Target> {
    let lone =
        |name: &str| Target { name: name.to_owned(), address: fleet.serves.clone(), own: true };
    let Some(ring) = &shared.ring else { return vec![lone(LONE)] };
    let situation = ring.situation();
    let me = situation.view.me;
    let nodes = situation.view.ring.nodes().iter().zip(0..);
    let target = |(node, index): (&Node, NodeIndex)| {
        let (name, address) = (node.name.clone(), node.to_string());
        Target { name, address, own: me == Some(index) }
    };
    let mut targets: Vec<Target> = nodes.map(target).collect();
    if me.is_none() {
        // A replaced process has the name of the one that replaced it.
        let name = match situation.name.as_str() {
            "-" => LONE.to_owned(),
            name if targets.iter().any(|target| target.name == name) => format!("{name}, {LONE}"),
            name => name.to_owned(),
        };
        targets.push(lone(&name));
    }
    targets
}

/// The present moment.
pub(super) fn now() -> Moment {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), steady: Instant::now() }
}

/// Runs rounds of questions until `stop`.
pub(super) async fn run(shared: Arc<Shared>, fleet: Arc<Fleet>, stop: CancellationToken) {
    let rounds = async {
        let mut kept = HashMap::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            kept = round(&shared, &fleet, kept, pause).await;
            tokio::time::sleep_until(begun + pause).await;
            pause = interval(targets(&shared, &fleet).len());
        }
    };
    tokio::select! {
        () = rounds => {}
        () = stop.cancelled() => {}
    }
}

/// Asks each node once, spread over most of `time`; returns the connections that stay open.
async fn round(
    shared: &Arc<Shared>,
    fleet: &Arc<Fleet>,
    mut kept: HashMap<String, PeerClient>,
    time: Duration,
) -> HashMap<String, PeerClient> {
    let targets = targets(shared, fleet);
    let addresses: Vec<String> = targets.iter().map(|target| target.address.clone()).collect();
    fleet.keep(&addresses);
    let keep = targets.len() <= MAX_KEPT;
    let step = time.mul_f64(0.8) / u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
    let mut asking = JoinSet::new();
    let mut delay = Duration::ZERO;
    for target in targets {
        if target.own {
            fleet.take(&target.address, now(), Ok(own::report(shared)));
            continue;
        }
        let Some(ring) = shared.ring.clone() else { continue };
        let talk = kept.remove(&target.address);
        let fleet = Arc::clone(fleet);
        asking.spawn(async move {
            tokio::time::sleep(delay).await;
            let (report, talk) = match ask(&ring, &target, talk).await {
                Ok((report, talk)) => (Ok(report), Some(talk)),
                Err(error) => (Err(words(&error)), None),
            };
            fleet.take(&target.address, now(), report);
            talk.filter(|_| keep).map(|talk| (target.address, talk))
        });
        delay += step;
    }
    let mut open = HashMap::new();
    while let Some(asked) = asking.join_next().await {
        open.extend(asked.ok().flatten());
    }
    open
}

/// Asks a peer, over an existing connection if there is one that still works.
async fn ask(
    ring: &RingNode,
    target: &Target,
    kept: Option<PeerClient>,
) -> Result<(NodeReport, PeerClient), String> {
    let limit = ring.settings.peer_timeout.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
    let asked = async {
        if let Some(mut talk) = kept
            && let Ok(answers) = answers(&mut talk).await
        {
            return Ok((answers, talk));
        }
        let mut talk = ring.talk(&target.address).await?;
        let answers = answers(&mut talk).await?;
        Ok((answers, talk))
    };
    let asked = tokio::time::timeout(limit, asked).await;
    let asked = asked.unwrap_or(Err(PeerError::Timeout(limit)));
    let (answers, talk) = asked.map_err(|error| error.to_string())?;
    let report = read(&answers);
    let Some(ring) = &report.ring else { return Err("not a node of a ring".to_owned()) };
    match is_reported(&ring.node) {
        Some(name) if name != target.name => {
            Err(format!("the node at this address has the name {name}"))
        }
        _ => Ok((report, talk)),
    }
}

/// Reads the answers to [`QUESTIONS`].
fn read(answers: &[Vec<u8>; ANSWERS]) -> NodeReport {
    let [general, ring, latency, hot_keys] = answers.each_ref().map(|text| lines(text));
    NodeReport::read(&general, Some(&ring), Some(&latency), Some(&hot_keys), words)
}

async fn answers(talk: &mut PeerClient) -> Result<[Vec<u8>; ANSWERS], PeerError> {
    talk.say(QUESTIONS).await?;
    let mut room = MAX_ANSWERS;
    let mut answers: [Vec<u8>; ANSWERS] = Default::default();
    for answer in &mut answers {
        *answer = talk.stats(&mut room).await?;
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_peer_are_made_safe() {
        let ring = b"STAT ring_version 2\r\nSTAT ring_digest 000000000000001f\r\n\
            STAT ring_standing replaced\r\nSTAT ring_standing_reason \xc2\x9b31mnot me\r\n";
        let report = read(&[b"ERROR\r\n".to_vec(), ring.to_vec(), Vec::new(), Vec::new()]);
        let reason = report.ring.unwrap().standing_reason.unwrap();
        assert_eq!(reason, "\\u{9b}31mnot me", "nothing in it can control a terminal");
    }
}
