//! Keeps a copy of the current ring in the file of `--ring-cache`.
//!
//! One task writes one ring after another, on a thread for blocking work. So a slow disk does not
//! delay the ring manager, and an older ring never replaces a newer one. If several rings come
//! while it writes, it writes only the last of them. It tries again if a copy cannot be written.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_ring::source::Cache;
use ringbinder_ring::{Ring, RingId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::ring::RingNode;

/// The time after a failed write before the next attempt.
const RETRY: Duration = Duration::from_secs(10);

/// The time that a stopping node waits for the disk.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// A ring to keep, and the last ring of the source that was the current one.
#[derive(Clone, Debug)]
struct Copy {
    ring: Arc<Ring>,
    source_ring: Option<RingId>,
}

/// The channel to the writing task; there is none without `--ring-cache`.
#[derive(Debug, Default)]
pub(super) struct Copies {
    writer: Option<Writer>,
}

type Writer = (watch::Sender<Option<Copy>>, JoinHandle<()>);

impl Copies {
    /// Starts the task if `--ring-cache` is set.
    pub(super) fn start(cache: Option<&Cache>, node: &Arc<RingNode>) -> Copies {
        Copies { writer: cache.map(|cache| start(cache.clone(), Arc::clone(node), RETRY)) }
    }

    /// Requests a copy of the current ring, unless it was the last one requested.
    pub(super) fn keep(&self, ring: &Arc<Ring>, source_ring: Option<RingId>) {
        let Some((sender, _)) = &self.writer else { return };
        sender.send_if_modified(|copy| {
            let known = copy
                .as_ref()
                .is_some_and(|copy| copy.ring.id() == ring.id() && copy.source_ring == source_ring);
            if !known {
                *copy = Some(Copy { ring: Arc::clone(ring), source_ring });
            }
            !known
        });
    }

    /// Waits, for a limited time, until the last requested ring is kept.
    pub(super) async fn finish(self) {
        if let Some((sender, task)) = self.writer {
            drop(sender);
            if timeout(LAST_TIMEOUT, task).await.is_err() {
                warn!("the disk is slow: the copy of the ring (--ring-cache) may be outdated");
            }
        }
    }
}

fn start(cache: Cache, node: Arc<RingNode>, retry: Duration) -> Writer {
    let (sender, receiver) = watch::channel(None);
    (sender, tokio::spawn(write(cache, receiver, node, retry)))
}

/// Writes the requested rings until the channel closes.
async fn write(
    cache: Cache,
    mut copies: watch::Receiver<Option<Copy>>,
    node: Arc<RingNode>,
    retry: Duration,
) {
    let mut fault = None;
    loop {
        tokio::select! {
            changed = copies.changed() => if changed.is_err() {
                return;
            },
            () = sleep(retry), if fault.is_some() => {}
        }
        let Some(Copy { ring, source_ring }) = copies.borrow_and_update().clone() else { continue };
        let (place, version) = (cache.clone(), ring.id().version);
        let keep = move || place.keep(&ring, source_ring).map_err(|error| error.to_string());
        let kept = match tokio::task::spawn_blocking(keep).await {
            Ok(kept) => kept,
            Err(error) => Err(error.to_string()),
        };
        let (path, before) = (cache.path().display(), fault.take());
        fault = kept.as_ref().err().cloned();
        if let Some(fault) = fault.as_ref().filter(|&fault| before.as_ref() != Some(fault)) {
            warn!(
                "cannot write ring {version} to {path}: {fault}; a restart may go back to an older \
                 ring: check that the directory of --ring-cache exists and that this node may \
                 write there"
            );
        } else if before.is_some() && fault.is_none() {
            info!("wrote ring {version} to {path} again");
        }
        let status = &mut node.posted.write().status;
        status.cached = kept.ok().or(status.cached);
        status.cache_error = fault.clone().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_ring::Format;
    use ringbinder_ring::source::{Origin, Source, read_cache};

    use super::*;

    #[tokio::test]
    async fn the_last_ring_is_kept_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("ring.toml"), dir.path().join("copy"));
        let source = Source::new(Origin::File(path.clone()), Some(copy.clone()));
        let ring = |version: u64| {
            let text = format!("version = {version}\n[[node]]\nname = \"a\"\naddress = \"a:1\"\n");
            Arc::new(Ring::parse(&text, Format::Toml, "test").unwrap())
        };
        std::fs::write(&path, ring(1).to_toml()).unwrap();
        let node = super::super::tests::node_with(&path);
        let copies = Copies::start(source.cache(), &node);
        for version in 1..=30 {
            copies.keep(&ring(version), None);
            tokio::task::yield_now().await;
        }
        copies.finish().await;
        assert_eq!(read_cache(&copy).unwrap().id().version, 30);
        let status = node.posted.read().status.clone();
        assert_eq!((status.cached, status.cache_error.as_str()), (Some(ring(30).id()), ""));
    }

    #[tokio::test]
    async fn a_copy_that_cannot_be_written_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, place) = (dir.path().join("ring.toml"), dir.path().join("later"));
        let text = "version = 1\n[[node]]\nname = \"a\"\naddress = \"a:1\"\n";
        std::fs::write(&path, text).unwrap();
        let ring = Arc::new(Ring::parse(text, Format::Toml, "test").unwrap());
        let source = Source::new(Origin::File(path.clone()), Some(place.join("copy")));
        let node = super::super::tests::node_with(&path);
        let retry = Duration::from_millis(1);
        let writer = start(source.cache().unwrap().clone(), Arc::clone(&node), retry);
        let copies = Copies { writer: Some(writer) };
        copies.keep(&ring, None);
        let status = || node.posted.read().status.clone();
        while status().cache_error.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(status().cached, None);
        std::fs::create_dir(&place).unwrap();
        while !status().cache_error.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(status().cached, Some(ring.id()));
        copies.finish().await;
    }
}
