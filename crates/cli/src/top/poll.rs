//! Polls all nodes in parallel, each at its own pace. A node that does not answer delays no other.

use std::time::{Duration, Instant};

use ringbinder_client::{Absence, Error, NodeHandle};
use ringbinder_protocol::stats::NodeReport;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::model::Absent;
use crate::escape::words;
use crate::fleet::error::advice;

/// An answer of a node.
#[derive(Debug)]
pub(super) struct Heard {
    /// Its ring, as the number of rings before it.
    pub(super) generation: u64,
    /// Its index in that ring.
    pub(super) node: usize,
    pub(super) at: Instant,
    pub(super) report: Result<NodeReport, Absent>,
}

/// Starts to poll the nodes of one ring. The tasks end when the set is dropped.
pub(super) fn start(
    nodes: Vec<NodeHandle>,
    generation: u64,
    deadline: Duration,
    pace: &watch::Receiver<Duration>,
    heard: &mpsc::Sender<Heard>,
) -> JoinSet<()> {
    let tasks = nodes.into_iter().enumerate().map(|(node, handle)| {
        let (mut pace, heard) = (pace.clone(), heard.clone());
        async move {
            loop {
                let next = tokio::time::Instant::now() + *pace.borrow_and_update();
                let report = ask(&handle, deadline).await.map_err(|error| absent(&error));
                let answer = Heard { generation, node, at: Instant::now(), report };
                if heard.send(answer).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    changed = pace.changed() => if changed.is_err() { return },
                }
            }
        }
    });
    tasks.collect()
}

/// Asks a node all questions within the deadline.
pub(super) async fn ask(node: &NodeHandle, deadline: Duration) -> Result<NodeReport, Error> {
    let all = async {
        // Sent together, so that a distant node costs one round trip.
        tokio::join!(
            node.stats(""),
            node.stats("ring"),
            node.stats("hotkeys"),
            node.stats("latency")
        )
    };
    match tokio::time::timeout(deadline, all).await {
        Ok((general, ring, hot_keys, latency)) => {
            let [ring, hot_keys, latency] = [ring.ok(), hot_keys.ok(), latency.ok()];
            let [ring, latency, hot_keys] = [&ring, &latency, &hot_keys].map(|it| it.as_deref());
            Ok(NodeReport::read(&general?, ring, latency, hot_keys, words))
        }
        Err(_) => {
            let title = format!("{} ({})", node.node().name, node.node());
            Err(Error::Away { node: title.into(), why: Absence::Silent(deadline) })
        }
    }
}

/// The reason to show, after its name, for a node without a report.
pub(super) fn absent(error: &Error) -> Absent {
    let resting = matches!(error, Error::Away { why: Absence::Resting, .. });
    let mut why = match error {
        Error::Away { why, .. } => format!("is away: {why}"),
        Error::Nonsense { .. } => "answers what no memcached server says".to_owned(),
        Error::Refused { says, .. } | Error::Failed { says, .. } => format!("refuses: {says}"),
        Error::Unauthenticated { user: Some(user), .. } => {
            format!("refuses the login of {user:?}")
        }
        Error::Unauthenticated { user: None, .. } => "asks for a login".to_owned(),
        other => other.to_string(),
    };
    if let Some(advice) = advice(error) {
        why = format!("{why}: {advice}");
    }
    Absent { why: words(&why), resting }
}
