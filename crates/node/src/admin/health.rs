//! `/healthz` and `/readyz`: whether the process serves, and whether it is ready for its keys.
//!
//! They call for different reactions. An unhealthy process hangs, and only a restart helps. A
//! process that is not ready is starting or stopping: it must be left alone, and clients must use
//! other nodes for a while. A process whose connections are all taken is both healthy and ready.

use std::time::Duration;

use ringbinder_protocol::Standing;

use crate::ring::Situation;
use crate::worker::Workers;
use crate::worker::shared::Shared;

/// The time in which a worker must answer. A healthy one takes microseconds; on a loaded machine it
/// may wait for some turns of the scheduler.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The lag allowed for the clock: the main thread, which accepts connections, ticks it four times a
/// second.
const MAX_BEHIND: u32 = 5;

/// The problems found, one sentence each; empty if there are none.
pub(super) type Faults = Vec<String>;

/// The problems that keep the process from serving.
pub(super) async fn health(shared: &Shared, workers: &Workers) -> Faults {
    let silent = workers.silent(TIMEOUT).await;
    let mut faults: Faults = silent
        .into_iter()
        .map(|index| format!("worker {index} has not responded for {} seconds", TIMEOUT.as_secs()))
        .collect();
    let behind = shared.clock.behind();
    if behind > MAX_BEHIND {
        faults.push(format!(
            "the main thread, which accepts connections, has been blocked for {behind} seconds"
        ));
    }
    faults
}

/// The problems that keep the node from being ready for its keys.
pub(super) fn unready(stopping: bool, situation: Option<&Situation>) -> Faults {
    let mut faults = Faults::new();
    if stopping {
        faults.push("the node is stopping".to_owned());
    }
    let Some(situation) = situation else { return faults };
    let (standing, reason) = (situation.status.standing, &situation.status.standing_reason);
    let has_place = match standing {
        Standing::Confirmed => true,
        Standing::Unconfirmed | Standing::Replaced => false,
        // A node that the ring does not list forwards for its clients. If the ring gives its
        // address another name, no node serves the keys of that name.
        Standing::Absent => !situation.is_renamed,
    };
    if !has_place {
        let why = if reason.is_empty() { "no details" } else { reason };
        faults.push(format!("this node is {standing}: {why}"));
    }
    if !situation.view.is_settled() {
        let version = situation.view.id().version;
        let awaited: Vec<&str> = situation.status.awaited.iter().map(|it| &**it).collect();
        faults.push(match &awaited[..] {
            [] => format!("ring {version} is not settled yet"),
            some => format!("ring {version} is not settled: waiting for {}", some.join(", ")),
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::security::guards::Guards;
    use crate::server;
    use crate::settings::of_flags;

    #[tokio::test]
    async fn a_worker_that_hangs_is_named() {
        let shared = server::prepare(of_flags(&["-t", "2"]), Guards::default(), None, 0);
        let workers = Workers::start(&shared).unwrap();
        assert_eq!(health(&shared, &workers).await, Faults::new());
        let hold = Arc::new(std::sync::Barrier::new(2));
        workers.occupy(1, Arc::clone(&hold));
        let faults = health(&shared, &workers).await;
        assert_eq!(faults, ["worker 1 has not responded for 2 seconds"]);
        hold.wait();
        assert_eq!(health(&shared, &workers).await, Faults::new());
        workers.join();
    }

    /// The situation of a node with a ring of its own, right after its start.
    fn situation() -> Situation {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring.toml");
        let ring = "version = 1\n[[node]]\nname = \"a\"\naddress = \"10.0.0.1:11211\"\n";
        std::fs::write(&path, ring).unwrap();
        let settings = of_flags(&["--node", "a", "--ring", path.to_str().unwrap()]);
        let guards = Guards::default();
        let dialer = crate::ring::Dialer::new(&guards, crate::settings::PeerTls::Off, Vec::new());
        let ring = crate::ring::start(settings.ring.as_ref().unwrap(), dialer).unwrap().node;
        ring.situation()
    }

    #[test]
    fn a_node_that_has_no_place_of_its_own_is_not_ready_and_says_why() {
        let mut situation = situation();
        let first = |situation: &Situation| unready(false, Some(situation)).into_iter().next();
        situation.status.standing = Standing::Replaced;
        situation.status.standing_reason = "10.0.0.1:11211 answers as another process".to_owned();
        let sentence = "this node is replaced: 10.0.0.1:11211 answers as another process";
        assert_eq!(first(&situation).as_deref(), Some(sentence));
        situation.status.standing = Standing::Unconfirmed;
        situation.status.standing_reason.clear();
        let sentence = "this node is unconfirmed: no details";
        assert_eq!(first(&situation).as_deref(), Some(sentence));
        for (standing, is_renamed, is_reported) in [
            (Standing::Confirmed, false, false),
            (Standing::Absent, false, false),
            (Standing::Absent, true, true),
        ] {
            (situation.status.standing, situation.is_renamed) = (standing, is_renamed);
            let faults = unready(false, Some(&situation));
            let reported = faults.iter().any(|fault| fault.contains("this node is"));
            assert_eq!(reported, is_reported, "{standing}: {faults:?}");
        }
    }

    #[test]
    fn a_node_that_stops_or_waits_for_peers_is_not_ready() {
        assert_eq!(unready(false, None), Faults::new());
        assert_eq!(unready(true, None), ["the node is stopping"]);
    }
}
