//! The client's ring: gets the first one, and follows the changes.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use ringbinder_protocol::{Stamp, Tokens, parse_ring_header};
use ringbinder_ring::source::{Origin, OriginError, Provenance, Source, Update};
use ringbinder_ring::{Format, Ring, RingId};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::{ConnectError, Error};
use crate::link::Link;
use crate::settings::LinkSettings;
use crate::view::View;
use crate::wire::{Answer, Line, Request};

/// The origin of the ring.
#[derive(Clone, Debug)]
pub(crate) enum Rings {
    /// A file or a key in etcd, watched.
    Kept { origin: Result<Origin, OriginError>, cache: Option<PathBuf> },
    /// These nodes are asked for the ring, and later the nodes of the ring itself.
    Discovered { seeds: Vec<String>, every: Duration },
    /// These servers, with equal weights; never changes.
    Listed(Vec<String>),
    /// This ring; never changes.
    Given(Ring),
}

/// The first ring, and the source of the next ones.
pub(crate) struct Beginning {
    pub(crate) ring: Ring,
    pub(crate) follow: Follow,
}

/// The source of changes.
pub(crate) enum Follow {
    Nothing,
    Source(Box<Source>),
    Discovery { seeds: Vec<Arc<Link>>, every: Duration },
}

impl Rings {
    pub(crate) async fn begin(self, settings: &LinkSettings) -> Result<Beginning, ConnectError> {
        match self {
            Rings::Kept { origin, cache } => {
                let origin = origin?;
                // With a ring file, nothing in this process would write the copy.
                let cache = cache.filter(|_| matches!(origin, Origin::Etcd { .. }));
                let source = Source::new(origin, cache);
                let (ring, provenance) = source.first().await?;
                if let Provenance::Cache { path, why } = provenance {
                    let path = path.display();
                    tracing::warn!(%path, %why, "starting with the cached copy of the ring");
                }
                Ok(Beginning { ring, follow: Follow::Source(Box::new(source)) })
            }
            Rings::Listed(servers) => {
                let ring = ring_of(&servers)?;
                Ok(Beginning { ring, follow: Follow::Nothing })
            }
            Rings::Given(ring) => Ok(Beginning { ring, follow: Follow::Nothing }),
            Rings::Discovered { seeds, every } => {
                let seeds = ring_of(&seeds)?;
                let seeds: Vec<_> = seeds
                    .nodes()
                    .iter()
                    .map(|node| Arc::new(Link::new(node.clone(), settings)))
                    .collect();
                let mut failures = Vec::new();
                for seed in &seeds {
                    match ask_ring(seed).await {
                        Ok(ring) => {
                            return Ok(Beginning {
                                ring,
                                follow: Follow::Discovery { seeds, every },
                            });
                        }
                        Err(error) => failures.push(error),
                    }
                }
                Err(ConnectError::NotDiscovered(failures))
            }
        }
    }
}

/// A ring of servers that a caller listed.
fn ring_of(servers: &[String]) -> Result<Ring, ConnectError> {
    if servers.is_empty() {
        return Err(ConnectError::NoSeeds);
    }
    let nodes: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(index, address)| {
            serde_json::json!({ "name": format!("server-{}", index + 1), "address": address })
        })
        .collect();
    let text = serde_json::json!({ "version": 1, "node": nodes }).to_string();
    Ok(Ring::parse(&text, Format::Json, "the list of servers")?)
}

impl Follow {
    /// Activates every newer ring until `stop`, or until the view is dropped.
    pub(crate) async fn run(
        self,
        view: Weak<ArcSwap<View>>,
        settings: LinkSettings,
        stop: CancellationToken,
    ) {
        match self {
            Follow::Nothing => {}
            Follow::Source(source) => watch(*source, view, settings, stop).await,
            Follow::Discovery { seeds, every } => {
                let work = discover(&seeds, every, view, settings);
                stop.run_until_cancelled_owned(work).await;
            }
        }
    }
}

async fn watch(
    source: Source,
    view: Weak<ArcSwap<View>>,
    settings: LinkSettings,
    stop: CancellationToken,
) {
    let (sender, mut updates) = mpsc::channel(1);
    let name = source.origin().to_string();
    let receive = async {
        while let Some(update) = updates.recv().await {
            match update {
                Ok(Update::Ring(ring)) => {
                    if !take(&view, ring, &settings) {
                        tracing::warn!(from = %name, "ignored a ring that is not newer than the \
                            current one");
                    }
                }
                Ok(Update::Unchanged(_)) => {}
                Err(error) => tracing::warn!(%error, "keeping the current ring"),
            }
        }
    };
    tokio::join!(source.watch(sender, Arc::new(Notify::new()), stop), receive);
}

/// Activates a ring if it is newer than the current one.
fn take(view: &Weak<ArcSwap<View>>, ring: Ring, settings: &LinkSettings) -> bool {
    let Some(view) = view.upgrade() else {
        return true;
    };
    let before = view.load_full();
    let (old, new) = (before.ring.id(), ring.id());
    if new.version <= old.version {
        return new == old;
    }
    tracing::info!(version = new.version, nodes = ring.nodes().len(), "adopted another ring");
    view.store(Arc::new(View::new(ring, settings, Some(&before))));
    true
}

async fn discover(
    seeds: &[Arc<Link>],
    every: Duration,
    view: Weak<ArcSwap<View>>,
    settings: LinkSettings,
) {
    for round in 0.. {
        tokio::time::sleep(every).await;
        let Some(current) = view.upgrade().map(|view| view.load_full()) else {
            return;
        };
        // A node that has left the ring may not learn of later ones, so the ring's own nodes come
        // first, a different one each time.
        let nodes = current.links.len();
        let links = (0..nodes).map(|index| &current.links[(round + index) % nodes]).chain(seeds);
        let mut heard = false;
        for link in links {
            match newer_ring(link, current.ring.id()).await {
                Ok(News::Newer(ring)) => heard = take(&view, ring, &settings),
                Ok(News::Same) => heard = true,
                Ok(News::Older) => {}
                Ok(News::Other) => tracing::warn!(
                    node = %link.title,
                    version = current.ring.id().version,
                    "a node holds a different ring with the same version: raise the version of \
                     the right one"
                ),
                Err(error) => tracing::debug!(%error, "cannot get the ring of a node"),
            }
            if heard {
                break;
            }
        }
        if !heard {
            tracing::warn!("no node reported this ring or a newer one; keeping the current ring");
        }
    }
}

enum News {
    Newer(Ring),
    Same,
    Older,
    /// The same version, with other content.
    Other,
}

async fn newer_ring(link: &Link, held: RingId) -> Result<News, Error> {
    let reported = ask_version(link).await?;
    match reported.version.cmp(&held.version) {
        Ordering::Greater => Ok(News::Newer(ask_ring(link).await?)),
        Ordering::Equal if reported.digest == held.digest => Ok(News::Same),
        Ordering::Equal => Ok(News::Other),
        Ordering::Less => Ok(News::Older),
    }
}

/// The identity of a node's ring.
pub(crate) async fn ask_version(link: &Link) -> Result<Stamp, Error> {
    let answer = link.call(&Request::Line { line: "ring version" }).await?;
    let stamp = match &answer {
        Answer::Line(Line::Other(line)) => stamp_of(line),
        _ => None,
    };
    stamp.ok_or_else(|| link.unexpected(&answer))
}

fn stamp_of(line: &str) -> Option<Stamp> {
    let [b"RING", version, digest] = Tokens::new(line.as_bytes()).exactly()? else {
        return None;
    };
    Stamp::parse(&[version, b".", digest].concat())
}

/// A node's ring.
pub(crate) async fn ask_ring(link: &Link) -> Result<Ring, Error> {
    let answer = link.call(&Request::Block { line: "ring get" }).await?;
    let ring = match &answer {
        Answer::Block(line, text) => announced_ring(line, text, &link.title),
        _ => None,
    };
    ring.ok_or_else(|| link.unexpected(&answer))
}

fn announced_ring(line: &[u8], text: &[u8], title: &str) -> Option<Ring> {
    let (stamp, _) = parse_ring_header(line)?;
    let ring = Ring::parse(std::str::from_utf8(text).ok()?, Format::Toml, title).ok()?;
    (ring.id() == RingId { version: stamp.version, digest: stamp.digest }).then_some(ring)
}
