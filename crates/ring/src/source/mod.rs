//! The source of a ring, for a node or a tool: a file or a key in etcd, read and watched for
//! changes.
//!
//! A [`Source`] is read once at start ([`Source::first`]) and watched from then on
//! ([`Source::watch`]). It never compares rings: its user decides whether a ring with a lower
//! version may replace one with a higher version.
//!
//! For both kinds of origin:
//! - An invalid ring never reaches the user, and no failure takes a ring away: the failure is
//!   reported once, and the ring that was sent before stays good.
//! - Events (inotify, a watch in etcd) only speed things up. The source always reads the ring
//!   again, and does so from time to time without any event.
//! - At most [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES) are read.
//!
//! | file | purpose |
//! |---|---|
//! | `origin` | the name of a source, as people write it |
//! | `file`, `etcd` | a ring in a file; a ring in etcd |
//! | `choice`, `cache` | the ring that a start takes; the copy of the newest ring |
//! | `text`, `report`, `error` | from bytes to a ring; what a watcher is sent; what can go wrong |

mod cache;
mod choice;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod origin;
mod report;
mod text;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Ring, RingId};
use choice::{Choice, Remark, choose};
use report::{Reported, Reporter};

pub use cache::{Cache, read_cache, write_cache};
pub use error::SourceError;
#[cfg(feature = "etcd")]
pub use etcd::Login;
pub use origin::{Origin, OriginError};
pub use text::read as read_text;

/// News from a watched source.
#[derive(Debug)]
pub enum Update {
    /// A ring that differs from the one sent before.
    Ring(Ring),
    /// The source still gives the ring that was sent before, which is this one. Sent when a
    /// reported failure is over, and in answer to a reload.
    Unchanged(RingId),
}

/// The provenance of the ring from [`Source::first`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// From the origin.
    Origin,
    /// The copy in the cache file, since the origin has no ring.
    Cache {
        /// The cache file.
        path: PathBuf,
        /// The reason why the origin has none.
        why: SourceError,
    },
    /// The copy in the cache file, since the ring file holds an older ring.
    Newer {
        /// The cache file.
        path: PathBuf,
        /// The ring in the ring file.
        file: RingId,
    },
}

/// A source of a ring: reads it once, and watches it.
#[derive(Debug)]
pub struct Source {
    origin: Origin,
    cache: Option<Cache>,
    reported: Mutex<Reported>,
    #[cfg(feature = "etcd")]
    login: Option<Login>,
}

impl Source {
    /// A source that reads from `origin`.
    ///
    /// `cache` is the file with the copy of the newest ring that was current. Rings from etcd are
    /// copied there when they arrive. With a ring file, the source only reads the copy: its user
    /// writes it, with [`Source::cache`], since a ring may also come from elsewhere.
    ///
    /// The login for etcd is read from the environment, under the names that etcdctl uses:
    /// `ETCDCTL_USER=user:password`, or `ETCDCTL_USER` and `ETCDCTL_PASSWORD`.
    pub fn new(origin: Origin, cache: Option<PathBuf>) -> Source {
        let origin = match origin {
            // An absolute path stays right when the process changes its directory.
            Origin::File(path) => Origin::File(std::path::absolute(&path).unwrap_or(path)),
            etcd @ Origin::Etcd { .. } => etcd,
        };
        Source {
            cache: cache.map(|path| Cache::new(path, &origin)),
            origin,
            reported: Mutex::default(),
            #[cfg(feature = "etcd")]
            login: Login::from_env(),
        }
    }

    /// The same source, with this login instead of that of the environment.
    #[cfg(feature = "etcd")]
    #[must_use]
    pub fn with_login(mut self, login: Option<Login>) -> Source {
        self.login = login;
        self
    }

    /// The origin of the ring.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The location of copies of the ring, if any.
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Reads the ring, once. Takes a few seconds at most.
    ///
    /// A ring from etcd is copied to the cache file. If etcd cannot be asked (see
    /// [`SourceError::is_away`]), the ring is read from that copy. Of a ring file and its copy the
    /// newer ring is used, and the copy if the file holds no valid ring. A copy that another fleet
    /// left behind is not used. The fault of an unused copy is logged. Needs a tokio runtime with
    /// time and I/O.
    ///
    /// # Errors
    /// If the origin has no ring, and there is no copy to start from. In etcd a missing key, an
    /// empty value and an invalid ring are errors even if there is a copy: etcd answered, and an
    /// operator must correct the value.
    pub async fn first(&self) -> Result<(Ring, Provenance), SourceError> {
        let read = self.read().await;
        let result = match (&self.origin, &self.cache, read) {
            (Origin::File(_), Some(cache), read) => self.newest(cache.clone(), read).await,
            (_, Some(cache), Err(why)) if why.is_away() => cached(cache.clone(), why).await,
            (_, _, read) => read.map(|ring| (ring, Provenance::Origin)),
        };
        let reported = match &result {
            Ok((_, Provenance::Newer { file, .. })) => {
                Reported { ring: Some(*file), failure: None }
            }
            Ok((ring, Provenance::Origin)) => Reported { ring: Some(ring.id()), failure: None },
            Ok((ring, Provenance::Cache { why, .. })) => {
                Reported { ring: Some(ring.id()), failure: Some(why.clone()) }
            }
            Err(why) => Reported { ring: None, failure: Some(why.clone()) },
        };
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = reported;
        result
    }

    /// The newer of the ring file's result and the copy.
    async fn newest(
        &self,
        cache: Cache,
        read: Result<Ring, SourceError>,
    ) -> Result<(Ring, Provenance), SourceError> {
        let path = cache.path().to_owned();
        let choice = text::on_blocking_thread(move || {
            choose(read, cache.read(), |kept| cache.is_of_this_source(kept))
        });
        match choice.await {
            Choice::File(ring, remark) => {
                if let Some(remark) = remark {
                    self.say(&ring, &path, remark);
                }
                Ok((ring, Provenance::Origin))
            }
            Choice::Newer { copy, file } => Ok((copy, Provenance::Newer { path, file })),
            Choice::Instead { copy, why } => Ok((copy, Provenance::Cache { path, why })),
            Choice::Nothing { why, copy } => {
                Err(SourceError::Stranded { away: Box::new(why), copy: Box::new(copy) })
            }
            Choice::OtherSource { why, source } => {
                let copy = SourceError::OtherSource { path, source_name: source };
                Err(SourceError::Stranded { away: Box::new(why), copy: Box::new(copy) })
            }
        }
    }

    /// Logs why the copy at `path` is not used.
    fn say(&self, ring: &Ring, path: &Path, remark: Remark) {
        let (file, copy, version) = (&self.origin, path.display(), ring.id().version);
        match remark {
            Remark::Foreign(kept) => warn!(
                "{copy} keeps ring {} of other nodes than ring {version} of {file}, as if it were \
                 another fleet's: ring {version} is taken, and kept there from now on. If ring {} is \
                 the newer one, write it to {file}",
                kept.version, kept.version
            ),
            Remark::SameVersion(_) => warn!(
                "{copy} keeps another ring with version {version} than {file}: that of {file} is \
                 taken. If it is not the one that is meant, write the right one there and raise its \
                 version"
            ),
            Remark::Useless(why) => {
                warn!("the copy of the ring is of no use and will be replaced: {why}");
            }
        }
    }

    /// Sends every change until `stop`, or until the receiver is dropped.
    ///
    /// Sends a ring if it differs from the last one sent or returned by [`Source::first`], and a
    /// failure if it differs from the last one. If changes come faster than the receiver takes
    /// them, only the last state is sent. Needs a tokio runtime with time and I/O; a current-thread
    /// one suffices, since rings are built on a thread for blocking work.
    ///
    /// `reload` ([`Notify::notify_one`]) triggers a read at once and an answer in any case: the
    /// ring, [`Update::Unchanged`], or the failure even if it is the same as before.
    pub async fn watch(
        self,
        updates: Sender<Result<Update, SourceError>>,
        reload: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let reported = self.reported.into_inner().unwrap_or_else(PoisonError::into_inner);
        let reporter = Reporter::new(reported, updates.clone());
        let work = async {
            match self.origin {
                Origin::File(path) => file::watch(&path, reporter, &reload).await,
                #[cfg(feature = "etcd")]
                Origin::Etcd { endpoints, key } => {
                    let etcd = etcd::Etcd::new(endpoints, key, self.login);
                    etcd.watch(self.cache.as_ref(), reporter, &reload).await;
                }
                #[cfg(not(feature = "etcd"))]
                Origin::Etcd { .. } => not_built(reporter, &reload).await,
            }
        };
        tokio::select! {
            () = work => {}
            () = updates.closed() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn read(&self) -> Result<Ring, SourceError> {
        match &self.origin {
            Origin::File(path) => file::read(path).await,
            #[cfg(feature = "etcd")]
            Origin::Etcd { endpoints, key } => {
                let etcd = etcd::Etcd::new(endpoints.clone(), key.clone(), self.login.clone());
                let ring = etcd.read().await?;
                Ok(cache::keep(self.cache.clone(), ring, Cache::replace).await)
            }
            #[cfg(not(feature = "etcd"))]
            Origin::Etcd { .. } => Err(SourceError::NotBuilt),
        }
    }
}

/// The ring of the cache file, used because the source failed with `why`.
async fn cached(cache: Cache, why: SourceError) -> Result<(Ring, Provenance), SourceError> {
    let path = cache.path().to_owned();
    match text::on_blocking_thread(move || read_cache(cache.path())).await {
        Ok(ring) => Ok((ring, Provenance::Cache { path, why })),
        Err(copy) => Err(SourceError::Stranded { away: Box::new(why), copy: Box::new(copy) }),
    }
}

#[cfg(not(feature = "etcd"))]
async fn not_built(mut reporter: Reporter, reload: &Notify) {
    let mut asked = false;
    loop {
        reporter.report(Err(SourceError::NotBuilt), asked).await;
        reload.notified().await;
        asked = true;
    }
}
