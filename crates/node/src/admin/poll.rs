//! Asks every node of the ring for its state, again and again.
//!
//! A peer is asked over its ordinary port, on a connection like those of the keeper, with commands
//! that any client may send. The questions of one round are spread over its time, so that neither
//! this node nor its peers get them all at once. In rings of up to [`MAX_KEPT`] nodes the
//! connections stay open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::figures::plain;
use super::fleet::{Fleet, Moment, interval};
use super::said::{ANSWERS, MAX_TEXT, QUESTIONS, Said};
use crate::ring::{PeerClient, PeerError, RingNode};
use crate::worker::shared::Shared;

/// The number of connections that stay open between two rounds.
pub(super) const MAX_KEPT: usize = 128;

/// The pause after the first round: two rounds are needed to compute a rate.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest and the longest timeout for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_LATEST: Duration = Duration::from_secs(4);

/// The most bytes of all answers of a peer: more than a ring of 4,096 nodes needs.
const MAX_ANSWERS: usize = 4 << 20;

/// The name of a node without a ring on the page.
pub(super) const LONE: &str = "this node";

/// A node to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) address: String,
    /// True for this node.
    pub(super) own: bool,
}

/// Every node of the current ring in its order, then this one if the ring does not list it.
pub(super) fn places(shared: &Shared, fleet: &Fleet) -> Vec<Place> {
    let lone =
        |name: &str| Place { name: name.to_owned(), address: fleet.serves.clone(), own: true };
    let Some(ring) = &shared.ring else {
        return vec![lone(LONE)];
    };
    let situation = ring.situation();
    let me = situation.view.me;
    let nodes = situation.view.ring.nodes().iter().zip(0..);
    let mut places: Vec<Place> = nodes
        .map(|(node, index)| Place {
            name: node.name.clone(),
            address: node.to_string(),
            own: me == Some(index),
        })
        .collect();
    if me.is_none() {
        // A replaced process has the name of the one that replaced it.
        let name = match situation.name.as_str() {
            "-" => LONE.to_owned(),
            name if places.iter().any(|place| place.name == name) => format!("{name}, {LONE}"),
            name => name.to_owned(),
        };
        places.push(lone(&name));
    }
    places
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
            pause = interval(places(&shared, &fleet).len());
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
    let places = places(shared, fleet);
    let addresses: Vec<String> = places.iter().map(|place| place.address.clone()).collect();
    fleet.keep(&addresses);
    let keep = places.len() <= MAX_KEPT;
    let step = time.mul_f64(0.8) / u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
    let mut asking = JoinSet::new();
    let mut delay = Duration::ZERO;
    for place in places {
        if place.own {
            fleet.take(&place.address, now(), Ok(Said::own(shared)));
            continue;
        }
        let Some(ring) = shared.ring.clone() else {
            continue;
        };
        let talk = kept.remove(&place.address);
        let fleet = Arc::clone(fleet);
        asking.spawn(async move {
            tokio::time::sleep(delay).await;
            let (said, talk) = match ask(&ring, &place, talk).await {
                Ok((said, talk)) => (Ok(said), Some(talk)),
                Err(error) => (Err(plain(&error, MAX_TEXT)), None),
            };
            fleet.take(&place.address, now(), said);
            talk.filter(|_| keep).map(|talk| (place.address, talk))
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
    place: &Place,
    kept: Option<PeerClient>,
) -> Result<(Said, PeerClient), String> {
    let patience = ring.settings.peer_timeout.clamp(PATIENCE, PATIENCE_LATEST);
    let asked = async {
        if let Some(mut talk) = kept
            && let Ok(answers) = answers(&mut talk).await
        {
            return Ok((answers, talk));
        }
        let mut talk = ring.talk(&place.address).await?;
        let answers = answers(&mut talk).await?;
        Ok((answers, talk))
    };
    let asked = tokio::time::timeout(patience, asked).await;
    let asked = asked.unwrap_or(Err(PeerError::Timeout(patience)));
    let (answers, talk) = asked.map_err(|error| error.to_string())?;
    let said = Said::of(&answers);
    match &said.stand {
        None => Err("not a node of a ring".to_owned()),
        Some(stand) if stand.name != place.name && stand.name != "-" => {
            Err(format!("the node at this address has the name {}", stand.name))
        }
        Some(_) => Ok((said, talk)),
    }
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
