//! `ringbinder up`: a ring of local nodes that run as long as the command.
//!
//! Invariants:
//!
//! - A ring file that exists is never overwritten. A file that this command wrote is removed at the end,
//!   unless its text has changed since.
//! - No node outlives the command, however it ends. The nodes form a process group. The command signals that
//!   group when it stops; if it cannot, a [guard](node::Guard) in the group does.
//! - The terminal is restored whenever the end of the process can be caught.
//!
//! | file | purpose |
//! |---|---|
//! | `plan`, `program` | which nodes, and their ring file; which server |
//! | `supervisor`, `phases`, `signals` | the nodes together: while they run, their start and end; signals |
//! | `node` | one node as a child process; the process that ends nodes after a crash |
//! | `event`, `view` | what happens; how it is shown |
//! | `entry`, `figures`, `frame` | the live table: a node's state, its figures, how it is drawn |
//! | `error` | what can keep nodes from running |

mod entry;
pub(crate) mod error;
mod event;
mod figures;
mod frame;
mod node;
mod phases;
mod plan;
mod program;
pub(crate) mod signals;
mod supervisor;
mod view;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ringbinder_ring::source::{Origin, Source};

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::security::SecurityOptions;
use crate::output::Output;
use crate::source::RingOption;

use error::UpError;

/// Default number of nodes.
const NODES: u16 = 3;

/// Local nodes.
#[derive(Args, Debug)]
#[command(after_help = "\
Without a ring file, it writes one (./ring.toml, or the file given with --ring) for new nodes. It \
removes that file at the end unless the file has changed. Commands in the same directory find it. \
An existing ring file stays unchanged: those of its nodes that are on this machine (loopback \
addresses, or those at --host) are started.

While it runs, it follows the file: it starts a local node that is added (`ringbinder ring add`), \
and stops one that is removed when its keys have moved. Ctrl-C stops the nodes; a second Ctrl-C \
kills them. They never outlive this command, even if it is killed. A node that exits by itself is \
reported, and restarted only with --restart. If arguments after -- make the nodes use TLS or \
require a login, this command needs --tls-ca or --auth-file too. In a pipe, it prints a line for \
each event; with --json, an object.

Examples:
  ringbinder up
  ringbinder up --nodes 5 --memory 256 -- --max-item-size 8m
  ringbinder up --ring try.toml --port 12000
  ringbinder up --tls-ca ca.pem -- -Z -o ssl_chain_cert=node.pem,ssl_key=node.key")]
pub(crate) struct Up {
    #[command(flatten)]
    ring: RingOption,

    /// Number of nodes to start; default 3. Not allowed if the ring file exists
    #[arg(long, short, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    nodes: Option<u16>,

    /// Port of the first new node; the others follow, and ports in use are skipped
    #[arg(long, short, value_name = "PORT", default_value_t = 11_211)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Address of new nodes; any other than 127.0.0.1 and ::1 exposes them to the network
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,

    /// Memory of each node, in megabytes or with a unit such as 2g; default 64
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<String>,

    /// Server program; default: ringbinderd beside this program, else on the PATH
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Restart a node that exits by itself
    #[arg(long)]
    restart: bool,

    #[command(flatten)]
    security: SecurityOptions,

    /// Further arguments for every node, after --
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Up {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let path = self.path()?;
        if self.host.is_unspecified() {
            return Err(UpError::Host(self.host).into());
        }
        let security = self.security.read()?;
        let program = program::find(self.program.as_deref())?;
        let mut signals = signals::Signals::new().map_err(CliError::Runtime)?;
        let mut view = view::View::new(out);
        let file = match path.exists() {
            true if self.nodes.is_some() => return Err(UpError::NodesOfFile(path).into()),
            true => plan::RingFile::found(&path),
            false => {
                let count = self.nodes.unwrap_or(NODES);
                let (nodes, skipped) = plan::new_nodes(count, self.host, self.port)?;
                if !skipped.is_empty() {
                    view.event(&event::Event::PortsSkipped { ports: skipped })?;
                }
                plan::RingFile::write(&path, &nodes)?
            }
        };
        let source = Source::new(Origin::File(file.path().to_owned()), None);
        let (ring, _) = source.first().await?;
        let settings = node::Settings {
            program,
            memory: self.memory,
            arguments: self.arguments,
            ring: file.path().to_owned(),
            host: self.host,
            security,
        };
        if file.is_found() {
            plan::check_local(&ring, self.host, &path)?;
        }
        let fleet = supervisor::Supervisor::new(&ring, settings, file, self.restart)?;
        fleet.run(source, &mut signals, &mut view).await
    }

    /// The path of the ring file, which may not exist.
    fn path(&self) -> Result<PathBuf, CliError> {
        match self.ring.origin() {
            Ok(Origin::File(path)) => Ok(path),
            Ok(origin) => Err(UpError::NoFile(origin.to_string()).into()),
            Err(CliError::NoRing { default }) => Ok(PathBuf::from(default)),
            Err(error) => Err(error),
        }
    }
}
