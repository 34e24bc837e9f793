//! The servers and the layouts in which they are measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::matrix::{KEYS, preload};
use super::owners::Owners;
use crate::load::{Keys, Numbers, Target, fill_at};
use crate::progress::Progress;
use crate::servers::{
    Client, Contender, NODES, Pool, Server, Setup, free_addresses, share_folder, start_proxy,
    start_ring,
};
use crate::stop::Stop;

/// Time-out for a node, or for a server behind a proxy. It is long enough for a fully loaded machine.
pub(super) const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// The layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One ringbinderd without a ring.
    Single,
    /// Three without a ring. Each gets requests for its share of the keys.
    Apart,
    /// Three in a ring. Each gets requests for its own keys.
    Owner,
    /// Three in a ring. Each gets requests for all keys.
    Any,
    /// Three in a ring. Each gets requests for the others' keys.
    Foreign,
    /// nutcracker in front of three ringbinderd without a ring.
    Proxy,
    /// nutcracker in front of three memcached.
    ProxyMemcached,
}

impl Layout {
    /// The name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Apart => "apart",
            Self::Owner => "owner",
            Self::Any => "any",
            Self::Foreign => "foreign",
            Self::Proxy => "nutcracker",
            Self::ProxyMemcached => "nutcracker-memcached",
        }
    }

    pub(super) fn is_ring(self) -> bool {
        matches!(self, Self::Owner | Self::Any | Self::Foreign)
    }
}

/// A layout with its servers and the load's targets.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) layout: Layout,
    /// Indexes in [`Fleet::servers`].
    servers: Vec<usize>,
    pub(super) targets: Vec<Target>,
}

/// All servers, running.
#[derive(Debug)]
pub(super) struct Fleet {
    servers: Vec<Server>,
    pub(super) lanes: Vec<Lane>,
    /// The ring file and the proxies' configuration.
    folder: TempDir,
}

/// The programs of the servers. Layouts whose program is `None` are left out.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ringbinderd: Contender,
    pub(super) nutcracker: Option<Contender>,
    pub(super) memcached: Option<Contender>,
}

impl Fleet {
    /// Starts all servers on the cores of this thread.
    pub(super) fn start(programs: &Programs, setup: Setup, stop: &Stop) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("cannot make a temporary folder")?;
        share_folder(folder.path())?;
        let mut fleet = Self { servers: Vec::new(), lanes: Vec::new(), folder };
        let node = &programs.ringbinderd;

        let [single] = fleet.plain(node, setup, stop)?;
        let whole = |address| vec![Target { address, numbers: Numbers::UpTo(KEYS) }];
        fleet.lane(Layout::Single, 1, whole(single));

        let apart = fleet.plain(node, setup, stop)?;
        fleet.lane(Layout::Apart, NODES, Owners::of(apart, Keys::Memtier, KEYS)?.own());
        if let Some(nutcracker) = &programs.nutcracker {
            let front = fleet.proxy(nutcracker, "ringbinderd", &apart, stop)?;
            fleet.lane(Layout::Proxy, NODES + 1, whole(front));
        }

        let wait = ["--peer-timeout".to_owned(), PEER_TIMEOUT.as_millis().to_string()];
        let ring = start_ring(node, setup, &fleet.folder.path().join("ring.toml"), &wait, stop)?;
        let owners = Owners::of(ring.addresses, Keys::Memtier, KEYS)?;
        fleet.servers.extend(ring.servers);
        fleet.lane(Layout::Owner, NODES, owners.own());
        fleet.lane(Layout::Any, NODES, owners.any());
        fleet.lane(Layout::Foreign, NODES, owners.foreign());

        if let (Some(nutcracker), Some(memcached)) = (&programs.nutcracker, &programs.memcached) {
            let behind: [SocketAddr; NODES] = fleet.plain(memcached, setup, stop)?;
            let front = fleet.proxy(nutcracker, "memcached", &behind, stop)?;
            fleet.lane(Layout::ProxyMemcached, NODES + 1, whole(front));
        }
        Ok(fleet)
    }

    /// Starts servers without a ring.
    fn plain<const N: usize>(
        &mut self,
        contender: &Contender,
        setup: Setup,
        stop: &Stop,
    ) -> anyhow::Result<[SocketAddr; N]> {
        let addresses = free_addresses()?;
        for address in addresses {
            self.servers.push(Server::start_at(contender, address, setup, &[], stop)?);
        }
        Ok(addresses)
    }

    fn proxy(
        &mut self,
        nutcracker: &Contender,
        name: &str,
        servers: &[SocketAddr],
        stop: &Stop,
    ) -> anyhow::Result<SocketAddr> {
        let pool = Pool { name, servers, timeout: PEER_TIMEOUT };
        let proxy = start_proxy(nutcracker, pool, self.folder.path(), stop)?;
        let address = proxy.address;
        self.servers.push(proxy);
        Ok(address)
    }

    /// Adds a lane of the last `count` servers.
    fn lane(&mut self, layout: Layout, count: usize, targets: Vec<Target>) {
        let end = self.servers.len();
        self.lanes.push(Lane { layout, servers: (end - count..end).collect(), targets });
    }

    /// Stores every key at the node where each layout requests it, and checks that all are there.
    pub(super) fn fill(&mut self, progress: &mut Progress, stop: &Stop) -> anyhow::Result<()> {
        for lane in 0..self.lanes.len() {
            let Lane { layout, targets, .. } = &self.lanes[lane];
            let layout = *layout;
            // The ring's other layouts request the keys that the owners already hold.
            if matches!(layout, Layout::Any | Layout::Foreign) {
                continue;
            }
            progress.show("storing the keys:", layout.name());
            if let Err(error) = fill_at(&preload(), Keys::Memtier, targets, stop) {
                self.must_run(lane)?;
                return Err(error.context(format!("cannot store the keys in {}", layout.name())));
            }
            let mut kept = 0;
            for server in self.of(lane).filter(|server| server.name != "nutcracker") {
                kept += Client::connect(server.address)?.counter("curr_items")?;
            }
            if kept < KEYS {
                bail!(
                    "{} holds {kept} of {KEYS} items: give more with --memory-limit",
                    layout.name()
                );
            }
        }
        Ok(())
    }

    fn of(&self, lane: usize) -> impl Iterator<Item = &Server> {
        self.lanes[lane].servers.iter().map(|&server| &self.servers[server])
    }

    /// Fails if one of a lane's servers has exited.
    pub(super) fn must_run(&mut self, lane: usize) -> anyhow::Result<()> {
        for &server in &self.lanes[lane].servers {
            self.servers[server].must_run()?;
        }
        Ok(())
    }

    /// Total user and system time of the servers of a lane.
    pub(super) fn cpu_time(&self, lane: usize) -> anyhow::Result<Duration> {
        let used: anyhow::Result<Option<Duration>> = self.of(lane).map(Server::cpu_time).sum();
        used?.context("cannot read the servers' CPU time: they run elsewhere")
    }

    /// Requests that the nodes of a lane have forwarded; 0 without a ring.
    pub(super) fn forwarded(&self, lane: usize) -> anyhow::Result<u64> {
        let mut forwarded = 0;
        if self.lanes[lane].layout.is_ring() {
            for server in self.of(lane) {
                let stats = Client::connect(server.address)?.stats(Some("ring"))?;
                for name in ["foreign_gets", "foreign_requests"] {
                    let value = stats.get(name).with_context(|| format!("there is no {name}"))?;
                    forwarded += value.parse::<u64>().with_context(|| format!("{name} {value}"))?;
                }
            }
        }
        Ok(forwarded)
    }
}
