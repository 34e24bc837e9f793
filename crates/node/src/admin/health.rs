//! `/healthz` and `/readyz`: whether the process serves, and whether it is ready for its keys.
//!
//! They differ in what is to be done. A process that is not healthy hangs: nothing but starting it
//! anew helps. One that is not ready is on its way, or on its way out: it is to be left alone, and
//! clients are to go elsewhere for a while. That all connections are taken is neither.

use std::time::Duration;

use crate::ring::Situation;
use crate::shared::Shared;
use crate::worker::Workers;

/// How long a worker may take to come to a question. A healthy one takes microseconds; one that
/// shares a loaded machine may take some turns of its scheduler.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far the clock may be behind: the main thread, which accepts connections, ticks it four times
/// a second.
const MAX_BEHIND: u32 = 5;

/// What is wrong, one sentence each; empty where nothing is.
pub(super) type Faults = Vec<String>;

/// What keeps the process from serving.
pub(super) async fn health(shared: &Shared, workers: &Workers) -> Faults {
    let silent = workers.silent(PATIENCE).await;
    let mut faults: Faults = silent
        .into_iter()
        .map(|index| format!("worker {index} took no turn for {} seconds", PATIENCE.as_secs()))
        .collect();
    let behind = shared.clock.behind();
    if behind > MAX_BEHIND {
        faults
            .push(format!("the main thread, which accepts connections, is {behind} seconds late"));
    }
    faults
}

/// What keeps the node from being ready for its keys.
pub(super) fn unready(stopping: bool, situation: Option<&Situation>) -> Faults {
    let mut faults = Faults::new();
    if stopping {
        faults.push("the node stops".to_owned());
    }
    let Some(situation) = situation else {
        return faults;
    };
    if !situation.view.is_settled() {
        let version = situation.view.id().version;
        let awaited: Vec<&str> = situation.status.awaited.iter().map(|it| &**it).collect();
        faults.push(match &awaited[..] {
            [] => format!("the ring {version} is not settled yet"),
            some => format!("the ring {version} is not settled: waiting for {}", some.join(", ")),
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::guards::Guards;
    use crate::server;
    use crate::settings::{self, Startup};

    #[tokio::test]
    async fn a_worker_that_hangs_is_named() {
        let flags = ["ringbinderd", "-t", "2"].map(std::ffi::OsString::from);
        let Startup::Run { settings, .. } = settings::load(flags, []).unwrap() else {
            panic!("these flags ask to serve");
        };
        let shared = server::prepare(*settings, Guards::default(), None, 0);
        let workers = Workers::start(&shared).unwrap();
        assert_eq!(health(&shared, &workers).await, Faults::new());
        let hold = Arc::new(std::sync::Barrier::new(2));
        workers.occupy(1, Arc::clone(&hold));
        let faults = health(&shared, &workers).await;
        assert_eq!(faults, ["worker 1 took no turn for 2 seconds"]);
        hold.wait();
        assert_eq!(health(&shared, &workers).await, Faults::new());
        workers.join();
    }

    #[test]
    fn a_node_that_stops_or_waits_for_peers_is_not_ready() {
        assert_eq!(unready(false, None), Faults::new());
        assert_eq!(unready(true, None), ["the node stops"]);
    }
}
