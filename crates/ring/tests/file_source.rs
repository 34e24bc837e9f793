//! A ring file, read and watched as by a node.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringbinder_ring::source::{Origin, Provenance, Source, SourceError, Update};
use ringbinder_ring::{RingFault, RingId};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time limit of any step before a test fails. A working watch never comes near it.
const PATIENCE: Duration = Duration::from_secs(30);

fn text(version: u64, nodes: u16) -> String {
    let mut text = format!("version = {version}\n");
    for node in 1..=nodes {
        text += &format!(
            "\n[[node]]\nname = \"cache-{node}\"\naddress = \"cache-{node}:11211\"\nweight = 2\n"
        );
    }
    text
}

/// A watched file in a directory of its own.
struct Watched {
    directory: TempDir,
    updates: Receiver<Result<Update, SourceError>>,
    reload: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watched {
    /// Watches `ring.toml`, which `prepare` has made in the directory, after reading it once.
    async fn new(prepare: impl FnOnce(&Path)) -> Watched {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let path = directory.path().join("ring.toml");
        let source = Source::new(Origin::File(path), None);
        source.first().await.unwrap();
        let (sender, updates) = channel(1);
        let (reload, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(source.watch(sender, Arc::clone(&reload), stop.clone()));
        Watched { directory, updates, reload, stop, task }
    }

    /// Watches a ring with this text.
    async fn with(text: String) -> Watched {
        Watched::new(|directory| fs::write(directory.join("ring.toml"), text).unwrap()).await
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ring.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    async fn next(&mut self) -> Result<Update, SourceError> {
        let update = timeout(PATIENCE, self.updates.recv()).await;
        update.expect("an update in time").expect("the watch goes on")
    }

    async fn ring(&mut self) -> (RingId, usize) {
        match self.next().await {
            Ok(Update::Ring(ring)) => (ring.id(), ring.nodes().len()),
            other => panic!("no ring: {other:?}"),
        }
    }

    async fn version(&mut self) -> u64 {
        self.ring().await.0.version
    }

    async fn failure(&mut self) -> SourceError {
        self.next().await.expect_err("a failure")
    }

    /// Triggers a read now; the answer shows that there was nothing else to send before.
    async fn unchanged(&mut self) {
        self.reload.notify_one();
        let update = self.next().await;
        assert!(matches!(update, Ok(Update::Unchanged(_))), "{update:?}");
    }
}

#[tokio::test]
async fn a_file_is_read_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring.toml");
    fs::write(&path, text(7, 3)).unwrap();
    let source = Source::new(Origin::File(path.clone()), None);
    let (ring, provenance) = source.first().await.unwrap();
    assert_eq!((ring.id().version, ring.nodes().len()), (7, 3));
    assert_eq!(provenance, Provenance::Origin);
}

#[tokio::test]
async fn what_is_wrong_at_start_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring.toml");
    let source = Source::new(Origin::File(path.clone()), None);
    let failure = async || source.first().await.expect_err("no ring").to_string();

    assert!(failure().await.contains("cannot find the ring file"), "{}", failure().await);
    fs::write(&path, "\n").unwrap();
    assert!(failure().await.contains("is empty"), "{}", failure().await);
    fs::write(&path, b"version = 1 # \xff").unwrap();
    assert!(failure().await.contains("not UTF-8"), "{}", failure().await);
    fs::write(&path, vec![b'#'; ringbinder_ring::MAX_FILE_BYTES + 1]).unwrap();
    assert!(failure().await.contains("larger than"), "{}", failure().await);
    fs::write(&path, "version = 0\n").unwrap();
    assert!(failure().await.contains("version"), "{}", failure().await);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(failure().await.contains("not a regular file"), "{}", failure().await);
    let everything = failure().await;
    assert!(everything.contains(path.to_str().unwrap()), "{everything}");
}

/// A ring file and a copy in a directory, read once.
struct Kept {
    directory: TempDir,
}

impl Kept {
    /// `None` leaves a file out.
    fn new(file: Option<&str>, copy: Option<&str>) -> Kept {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("ring.toml", file), ("copy", copy)] {
            text.into_iter().for_each(|text| fs::write(directory.path().join(name), text).unwrap());
        }
        Kept { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn source(&self) -> Source {
        Source::new(Origin::File(self.path("ring.toml")), Some(self.path("copy")))
    }
}

#[tokio::test]
async fn of_a_ring_file_and_its_copy_the_newer_is_taken_at_start() {
    for (file, copy, expected) in [(1, 2, 2), (2, 1, 2), (2, 2, 2)] {
        let kept = Kept::new(Some(&text(file, 2)), Some(&text(copy, 3)));
        let copy_before = fs::read_to_string(kept.path("copy")).unwrap();
        let (ring, provenance) = kept.source().first().await.unwrap();
        assert_eq!(ring.id().version, expected);
        match (file, provenance) {
            (1, Provenance::Newer { path, file }) => {
                assert_eq!((path, file.version), (kept.path("copy"), 1));
                assert_eq!(ring.nodes().len(), 3);
            }
            (2, Provenance::Origin) => assert_eq!(ring.nodes().len(), 2),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string(kept.path("copy")).unwrap(), copy_before, "only read");
    }
    let kept = Kept::new(Some(&text(1, 1)), None);
    assert_eq!(kept.source().first().await.unwrap().1, Provenance::Origin);
    assert!(!kept.path("copy").exists());
    let kept = Kept::new(Some(&text(1, 1)), Some("version = 2\n[[no"));
    assert_eq!(kept.source().first().await.unwrap().0.id().version, 1);
}

#[tokio::test]
async fn a_copy_stands_in_for_a_ring_file_that_is_broken_or_missing() {
    for file in [None, Some(""), Some("version = 0\n"), Some(&text(3, 2)[..60])] {
        let kept = Kept::new(file, Some(&text(2, 2)));
        let source = kept.source();
        let (ring, provenance) = source.first().await.unwrap();
        assert_eq!(ring.id().version, 2);
        let Provenance::Cache { why, .. } = provenance else { panic!("{provenance:?}") };
        assert!(why.to_string().contains("ring.toml") && !why.is_away(), "{why}");

        // The failure reported at the start is not reported again; its end is.
        let (sender, mut updates) = channel(1);
        let task = tokio::spawn(source.watch(sender, Arc::default(), CancellationToken::new()));
        fs::write(kept.path("ring.toml"), text(2, 2)).unwrap();
        let update = timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
        assert!(matches!(update, Ok(Update::Unchanged(id)) if id == ring.id()), "{update:?}");
        task.abort();
    }
    let kept = Kept::new(None, None);
    let failure = kept.source().first().await.unwrap_err();
    assert!(!failure.is_away(), "{failure:?}");
    let failure = failure.to_string();
    assert!(failure.contains("cannot find the ring file"), "{failure}");
    assert!(failure.contains("there is no copy of the ring"), "{failure}");
}

#[tokio::test]
async fn a_copy_that_another_source_left_stands_in_for_nothing() {
    let kept = Kept::new(None, None);
    let other = Source::new(Origin::File(kept.path("other.toml")), Some(kept.path("copy")));
    fs::write(kept.path("other.toml"), text(2, 2)).unwrap();
    let (ring, _) = other.first().await.unwrap();
    other.cache().unwrap().keep(&ring, Some(ring.id())).unwrap();

    let failure = kept.source().first().await.unwrap_err().to_string();
    assert!(failure.contains("cannot find the ring file"), "{failure}");
    assert!(failure.contains("was kept for") && failure.contains("other.toml"), "{failure}");
    // Its own source keeps it, whatever happens to the file.
    fs::remove_file(kept.path("other.toml")).unwrap();
    assert_eq!(other.first().await.unwrap().0, ring);
}

#[tokio::test]
async fn a_file_that_is_older_than_its_copy_is_watched_as_it_is() {
    let kept = Kept::new(Some(&text(1, 2)), Some(&text(2, 2)));
    let source = kept.source();
    source.first().await.unwrap();
    let (sender, mut updates) = channel(1);
    let reload = Arc::new(Notify::new());
    let task = tokio::spawn(source.watch(sender, Arc::clone(&reload), CancellationToken::new()));
    let mut next = async || timeout(PATIENCE, updates.recv()).await.unwrap().unwrap().unwrap();
    reload.notify_one();
    let update = next().await;
    assert!(matches!(update, Update::Unchanged(id) if id.version == 1), "{update:?}");
    fs::write(kept.path("ring.toml"), text(2, 2)).unwrap();
    let update = next().await;
    assert!(matches!(&update, Update::Ring(ring) if ring.id().version == 2), "{update:?}");
    task.abort();
}

#[tokio::test]
async fn rewriting_and_renaming_over_are_noticed() {
    let mut watched = Watched::with(text(1, 1)).await;
    watched.write(&text(2, 2));
    assert_eq!(watched.version().await, 2);
    let beside = watched.directory.path().join(".ring.toml.swp");
    fs::write(&beside, text(3, 3)).unwrap();
    fs::rename(&beside, watched.path()).unwrap();
    assert_eq!(watched.version().await, 3);
    // As some editors do: first move the old file away.
    fs::rename(watched.path(), watched.directory.path().join("ring.toml~")).unwrap();
    watched.write(&text(4, 3));
    loop {
        match watched.next().await {
            // The file was gone for a moment, perhaps long enough to be reported.
            Err(SourceError::Missing(_)) => {}
            Ok(Update::Ring(ring)) => break assert_eq!(ring.id().version, 4),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_change_between_the_first_reading_and_the_watch_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring.toml");
    fs::write(&path, text(1, 1)).unwrap();
    let source = Source::new(Origin::File(path.clone()), None);
    source.first().await.unwrap();
    fs::write(&path, text(2, 1)).unwrap();
    let (sender, mut updates) = channel(1);
    let watch = source.watch(sender, Arc::default(), CancellationToken::new());
    let task = tokio::spawn(watch);
    let update = timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
    assert!(matches!(&update, Ok(Update::Ring(ring)) if ring.id().version == 2), "{update:?}");
    drop(updates);
    timeout(PATIENCE, task).await.expect("it ends when nobody listens").unwrap();
}

#[tokio::test]
async fn the_links_of_a_config_map_are_followed() {
    let publish = |directory: &Path, version: u64| {
        let name = format!("..2026_01_01_{version}");
        fs::create_dir(directory.join(&name)).unwrap();
        fs::write(directory.join(&name).join("ring.toml"), text(version, 2)).unwrap();
        symlink(&name, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    let mut watched = Watched::new(|directory| {
        publish(directory, 1);
        symlink("..data/ring.toml", directory.join("ring.toml")).unwrap();
    })
    .await;
    for version in 2..5 {
        publish(watched.directory.path(), version);
        fs::remove_dir_all(watched.directory.path().join(format!("..2026_01_01_{}", version - 1)))
            .unwrap();
        assert_eq!(watched.version().await, version);
    }
}

#[tokio::test]
async fn a_change_that_causes_no_event_is_noticed() {
    // The watched directory holds a link; the changes are in another directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("ring.toml");
    fs::write(&target, text(1, 1)).unwrap();
    let mut watched =
        Watched::new(|directory| symlink(&target, directory.join("ring.toml")).unwrap()).await;
    fs::write(&target, text(2, 1)).unwrap();
    assert_eq!(watched.version().await, 2);
    fs::remove_file(&target).unwrap();
    assert!(matches!(watched.failure().await, SourceError::Missing(_)));
    fs::write(&target, text(3, 1)).unwrap();
    assert_eq!(watched.version().await, 3);
}

#[tokio::test]
async fn a_half_written_file_is_never_a_ring() {
    let mut watched = Watched::with(text(1, 1)).await;
    // Cut between any two nodes, this is a ring of fewer nodes.
    let whole = text(2, 40);
    let mut file = File::create(watched.path()).unwrap();
    for piece in whole.as_bytes().chunks(100) {
        file.write_all(piece).unwrap();
        // Let the watch read the file.
        tokio::task::yield_now().await;
    }
    drop(file);
    assert_eq!(watched.ring().await.1, 40, "neither a failure nor a part");

    // Cut permanently, in the middle of a value.
    watched.write(&text(3, 2)[..60]);
    assert!(matches!(watched.failure().await, SourceError::Invalid(_)));
    watched.write(&text(3, 2));
    assert_eq!(watched.ring().await.1, 2);
}

#[tokio::test]
async fn a_bad_file_is_reported_once_and_takes_no_ring_away() {
    let mut watched = Watched::with(text(1, 1)).await;
    watched.write("version = 2\nhash = \"crc\"\n");
    let failure = watched.failure().await;
    let SourceError::Invalid(error) = &failure else { panic!("{failure:?}") };
    assert!(matches!(error.fault(), RingFault::Hash { .. }), "{error}");
    assert!(failure.to_string().contains("ring.toml"), "{failure}");

    // The same failure again is not news, but a caller that asks gets an answer.
    watched.write("version = 2\nhash = \"crc\"\n");
    watched.reload.notify_one();
    assert_eq!(watched.failure().await, failure);
    // The previous ring again: the failure is over.
    watched.write(&text(1, 1));
    assert!(matches!(watched.next().await, Ok(Update::Unchanged(_))));
    watched.write("");
    assert!(matches!(watched.failure().await, SourceError::Empty(_)));
    watched.write(&text(2, 1));
    assert_eq!(watched.version().await, 2);
}

#[tokio::test]
async fn a_file_that_is_deleted_and_created_again_is_followed() {
    let mut watched = Watched::with(text(1, 1)).await;
    fs::remove_file(watched.path()).unwrap();
    let failure = watched.failure().await;
    assert!(matches!(failure, SourceError::Missing(_)), "{failure:?}");
    watched.write(&text(2, 1));
    assert_eq!(watched.version().await, 2);
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (home, away) = (directory.path().join("home"), directory.path().join("away"));
    fs::create_dir(&home).unwrap();
    fs::write(home.join("ring.toml"), text(1, 1)).unwrap();
    let source = Source::new(Origin::File(home.join("ring.toml")), None);
    source.first().await.unwrap();
    let (sender, mut updates) = channel(1);
    let stop = CancellationToken::new();
    let task = tokio::spawn(source.watch(sender, Arc::default(), stop.clone()));

    fs::rename(&home, &away).unwrap();
    fs::create_dir(&home).unwrap();
    fs::write(home.join("ring.toml"), text(2, 1)).unwrap();
    let version = loop {
        match timeout(PATIENCE, updates.recv()).await.unwrap().unwrap() {
            Err(SourceError::Missing(_)) => {}
            Ok(Update::Ring(ring)) => break ring.id().version,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(version, 2);
    stop.cancel();
    timeout(PATIENCE, task).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn the_same_ring_again_is_no_news() {
    let mut watched = Watched::with(text(1, 2)).await;
    watched.write(&text(1, 2));
    watched.unchanged().await;
    // In another spelling, it is still the same ring.
    watched.write(&format!("# the ring\n{}", text(1, 2)));
    watched.unchanged().await;
    watched.write(&text(1, 3));
    assert_eq!(watched.ring().await.1, 3, "the same version, and another ring");
}

#[tokio::test]
async fn a_reload_reads_at_once_and_is_answered() {
    let mut watched = Watched::with(text(1, 1)).await;
    watched.unchanged().await;
    watched.write(&text(2, 1));
    watched.reload.notify_one();
    assert_eq!(watched.version().await, 2);
}

#[tokio::test]
async fn it_stops_when_told_even_if_nobody_takes_its_news() {
    let watched = Watched::with(text(1, 1)).await;
    // One update fits the channel, the next one waits for room.
    for _ in 0..2 {
        watched.reload.notify_one();
        let taken = async {
            while watched.updates.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, taken).await.expect("an answer");
    }
    watched.stop.cancel();
    timeout(PATIENCE, watched.task).await.expect("it stops").unwrap();
}

#[cfg(not(feature = "etcd"))]
#[tokio::test]
async fn etcd_in_a_program_without_it_says_so() {
    let source = Source::new("etcd://127.0.0.1:2379/ring".parse().unwrap(), None);
    let failure = source.first().await.unwrap_err();
    assert_eq!(failure, SourceError::NotBuilt);
    assert!(failure.to_string().contains("--features etcd"), "{failure}");
    let (sender, mut updates) = channel(1);
    let (reload, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let task = tokio::spawn(source.watch(sender, Arc::clone(&reload), stop.clone()));
    reload.notify_one();
    let answer = timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
    assert_eq!(answer.unwrap_err(), SourceError::NotBuilt);
    stop.cancel();
    timeout(PATIENCE, task).await.expect("it stops").unwrap();
}
