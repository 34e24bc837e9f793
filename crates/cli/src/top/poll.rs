//! Asking nodes, all at once and each at its own pace: one that does not answer delays nobody.

use std::time::{Duration, Instant};

use ringbinder_client::{Absence, Error, NodeHandle};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::model::Absent;
use super::sample::Sample;
use crate::escape::words;
use crate::fleet::advice::advice;

/// What a node said.
#[derive(Debug)]
pub(super) struct Heard {
    /// Of which ring: the number of rings before it.
    pub(super) generation: u64,
    /// Which node of it.
    pub(super) node: usize,
    pub(super) at: Instant,
    pub(super) told: Result<Sample, Absent>,
}

/// Those who ask the nodes of one ring. They end when this is dropped.
pub(super) struct Pollers(Vec<JoinHandle<()>>);

impl Drop for Pollers {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Pollers {
    /// Begins to ask.
    pub(super) fn start(
        nodes: Vec<NodeHandle>,
        generation: u64,
        deadline: Duration,
        pace: &watch::Receiver<Duration>,
        heard: &mpsc::Sender<Heard>,
    ) -> Pollers {
        let tasks = nodes.into_iter().enumerate().map(|(node, handle)| {
            let (mut pace, heard) = (pace.clone(), heard.clone());
            tokio::spawn(async move {
                loop {
                    let next = tokio::time::Instant::now() + *pace.borrow_and_update();
                    let told = ask(&handle, deadline).await.map_err(|error| absent(&error));
                    let told = Heard { generation, node, at: Instant::now(), told };
                    if heard.send(told).await.is_err() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep_until(next) => {}
                        changed = pace.changed() => if changed.is_err() { return },
                    }
                }
            })
        });
        Pollers(tasks.collect())
    }
}

/// Asks a node for everything, within the deadline.
pub(super) async fn ask(node: &NodeHandle, deadline: Duration) -> Result<Sample, Error> {
    let all = async {
        // In one go: a node far away takes as long as one question does.
        tokio::join!(
            node.stats(""),
            node.stats("ring"),
            node.stats("hotkeys"),
            node.stats("latency")
        )
    };
    match tokio::time::timeout(deadline, all).await {
        Ok((general, ring, heat, latency)) => {
            Ok(Sample::parse(&general?, &ring.ok(), &heat.ok(), &latency.ok()))
        }
        Err(_) => {
            let title = format!("{} ({})", node.node().name, node.node());
            Err(Error::Away { node: title.into(), why: Absence::Silent(deadline) })
        }
    }
}

/// What is shown of a node without a sample, after its name.
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
