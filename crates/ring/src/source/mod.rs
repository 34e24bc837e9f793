//! Where a node or a tool gets its ring from, and hears of changes: a file, or a key in etcd.
//!
//! A [`Source`] is read once at start ([`Source::first`]) and watched from then on
//! ([`Source::watch`]). It never judges rings against each other: whether a ring with a lower
//! version may replace a higher one is for its user to say.
//!
//! What holds for both kinds of origin:
//! - Nothing that is no ring reaches the user as a ring, and no failure takes a ring away: it is
//!   reported, once, and the ring that was sent before stays good.
//! - Events (inotify, a watch in etcd) only make it quick. What is true is always read anew, and is
//!   looked at from time to time without any event.
//! - At most [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES) are read.

mod cache;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod origin;
mod report;
mod text;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::Ring;
use report::{Reporter, Told};

pub use cache::{read_cache, write_cache};
pub use error::SourceError;
#[cfg(feature = "etcd")]
pub use etcd::Login;
pub use origin::{Origin, OriginError};
pub use text::read as read_text;

/// News from a source that is watched.
#[derive(Debug)]
pub enum Update {
    /// Another ring than the one sent before.
    Ring(Ring),
    /// The source gives the ring that was sent before. Sent where somebody waits for it: when a
    /// failure that was reported is over, and in answer to a reload.
    Unchanged,
}

/// Where the ring of [`Source::first`] came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// From the origin.
    Origin,
    /// From the copy kept in the cache file, since the origin is away.
    Cache {
        /// The cache file.
        path: PathBuf,
        /// Why the origin gave none.
        why: SourceError,
    },
}

/// Where a ring comes from.
#[derive(Debug)]
pub struct Source {
    origin: Origin,
    cache: Option<PathBuf>,
    told: Mutex<Told>,
    #[cfg(feature = "etcd")]
    login: Option<Login>,
}

impl Source {
    /// A source that reads from `origin`.
    ///
    /// `cache` is the file that holds a copy of the last good ring from etcd, for a start while
    /// etcd is away; a ring file needs none, and leaves it alone.
    ///
    /// Who etcd is to take this program for is read from the environment, under the names that
    /// etcdctl uses: `ETCDCTL_USER=user:password`, or `ETCDCTL_USER` and `ETCDCTL_PASSWORD`.
    pub fn new(origin: Origin, cache: Option<PathBuf>) -> Source {
        let origin = match origin {
            // Stays right when the process changes its directory.
            Origin::File(path) => Origin::File(std::path::absolute(&path).unwrap_or(path)),
            etcd @ Origin::Etcd { .. } => etcd,
        };
        Source {
            origin,
            cache,
            told: Mutex::default(),
            #[cfg(feature = "etcd")]
            login: Login::from_env(),
        }
    }

    /// The same source, with another login than that of the environment.
    #[cfg(feature = "etcd")]
    #[must_use]
    pub fn with_login(mut self, login: Option<Login>) -> Source {
        self.login = login;
        self
    }

    /// Where it reads from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Reads the ring, once. Takes a few seconds at the most.
    ///
    /// A ring that came from etcd is copied to the cache file. Where etcd cannot be asked (see
    /// [`SourceError::is_away`]) the ring is taken from there. Needs a tokio runtime with time and
    /// I/O.
    ///
    /// # Errors
    /// Where there is no ring at the origin, or etcd is away and there is no copy to start from. A
    /// missing key, an empty value and one that is no ring are errors even if there is a copy, as
    /// they are in a file: etcd was asked, and somebody has to correct what it holds.
    pub async fn first(&self) -> Result<(Ring, Provenance), SourceError> {
        let read = self.read().await;
        let (failure, result) = match read {
            Ok(ring) => (None, Ok((ring, Provenance::Origin))),
            Err(why) if why.is_away() => match &self.cache {
                Some(path) => (Some(why.clone()), cached(path.clone(), why).await),
                None => (Some(why.clone()), Err(why)),
            },
            Err(why) => (Some(why.clone()), Err(why)),
        };
        let ring = result.as_ref().ok().map(|(ring, _)| ring.id());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Told { ring, failure };
        result
    }

    /// Sends every change until `stop`, or until nobody receives any more.
    ///
    /// Sends a ring when it is another one than the last one sent or returned by
    /// [`Source::first`], and a failure when it is another one than the last. What changes more
    /// often than the receiver takes it is sent in its last state. Needs a tokio runtime with time
    /// and I/O; a current-thread one will do, as rings are built on a thread for blocking work.
    ///
    /// `reload` ([`Notify::notify_one`]) makes it read at once and answer in any case: with the
    /// ring, with [`Update::Unchanged`], or with the failure even if it is the same again.
    pub async fn watch(
        self,
        updates: Sender<Result<Update, SourceError>>,
        reload: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let told = self.told.into_inner().unwrap_or_else(PoisonError::into_inner);
        let reporter = Reporter::new(told, updates.clone());
        let work = async {
            match self.origin {
                Origin::File(path) => file::watch(&path, reporter, &reload).await,
                #[cfg(feature = "etcd")]
                Origin::Etcd { endpoints, key } => {
                    let etcd = etcd::Etcd::new(endpoints, key, self.login);
                    etcd.watch(self.cache.as_deref(), reporter, &reload).await;
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
                Ok(cache::keep(self.cache.as_deref(), ring).await)
            }
            #[cfg(not(feature = "etcd"))]
            Origin::Etcd { .. } => Err(SourceError::NotBuilt),
        }
    }
}

/// The ring of the cache file, in place of one that could not be had because of `why`.
async fn cached(path: PathBuf, why: SourceError) -> Result<(Ring, Provenance), SourceError> {
    let place = path.clone();
    match text::on_blocking_thread(move || read_cache(&place)).await {
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
