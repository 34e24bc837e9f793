//! A node: the server behind the binary `ringbinderd`, which replaces memcached: same protocol,
//! same command line.
//!
//! | module | purpose |
//! |---|---|
//! | `settings` | flags, file and environment, read and checked |
//! | `process` | the node's use of the operating system around serving; the clock; the end |
//! | `server` | the whole: accepting, time, signals, sweeps; `--check-config`, `--check-health` |
//! | `net` | listeners, sockets and their buffers, and every open connection |
//! | `worker` | a worker thread; the state of one worker and of all workers |
//! | `connection` | the state machine of one connection |
//! | `memory` | the bound on what connections hold |
//! | `security` | who may connect and how: certificates, users, and reloading them |
//! | `command` | carrying out requests, or routing them to the nodes that serve their keys |
//! | `forward` | sending requests to other nodes, and waiting for their replies |
//! | `ring` | which keys this node serves, and how nodes change to another ring |
//! | `stats`, `sampling` | counters and `stats`; hot keys and latencies |
//! | `observe` | the log, `watch`, and dumps of all items |
//! | `admin` | the admin port: `/metrics`, health checks, the dashboard |
//! | `snapshot` | writing and restoring the items |
//! | `takeover` | passing sockets and items to a new process |

mod admin;
mod command;
mod connection;
mod forward;
mod memory;
mod net;
mod observe;
mod process;
mod ring;
mod sampling;
mod security;
mod server;
mod settings;
mod snapshot;
mod stats;
mod takeover;
mod worker;

use std::io::Write;

use tracing::{info, warn};

pub use crate::server::in_process::InProcessNode;

use crate::net::inherit::Inherited;
use crate::net::listen;
use crate::observe::logging;
use crate::process::clock;
use crate::process::daemon::{self, Detached, Keep};
use crate::process::exit::ExitCode;
use crate::process::pidfile::PidFile;
use crate::process::user::{self, RunsAs};
use crate::process::{limits, resident, supervisor};
use crate::security::guards;
use crate::server::{check, health};
use crate::settings::{Guard, Settings, Startup};
use crate::takeover::TakeoverServer;

/// Open files in addition to the connections: listeners, runtimes, log, dumps.
const RESERVED_FILES: u32 = 64;

/// An end that was not requested: the message, and the exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: ExitCode,
}

/// Turns every error with an exit code into a [`Failure`].
macro_rules! failures {
    ($($error:ty,)*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure { message: error.to_string(), code: error.exit_code() }
            }
        })*
    };
}

failures! {
    settings::SettingsError,
    daemon::DaemonError,
    takeover::TakeoverError,
    health::HealthError,
    limits::LimitError,
    listen::ListenError,
    guards::GuardError,
    ring::StartError,
    snapshot::WriteError,
    user::UserError,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure { message: error.to_string(), code: ExitCode::OsError }
    }
}

/// Runs a node with this process's arguments and environment until it must stop.
pub fn main() -> std::process::ExitCode {
    let code = match start() {
        Ok(code) => code,
        Err(Failure { message, code }) => {
            logging::say(&format!("ringbinderd: {message}"));
            code.into()
        }
    };
    logging::flush();
    code
}

fn start() -> Result<std::process::ExitCode, Failure> {
    resident::settle_allocator();
    let (settings, warnings) = match settings::load(std::env::args_os(), std::env::vars_os())? {
        Startup::Run { settings, warnings } => (*settings, warnings),
        Startup::AskHealth { settings } => {
            return Ok(print(&health::check(&settings)?, Vec::new()));
        }
        Startup::Check { settings, text, mut warnings } => {
            warnings.extend(check::check(&settings)?);
            return Ok(print(&text, warnings));
        }
        Startup::Print { text, warnings } => return Ok(print(&text, warnings)),
    };
    let ready = if settings.daemon {
        match daemon::detach()? {
            Detached::Parent(code) => return Ok(code.into()),
            Detached::Child(ready) => Some(ready),
        }
    } else {
        None
    };
    logging::start(settings.verbose)?;
    for warning in warnings {
        warn!("{warning}");
    }
    serve(settings, ready)?;
    Ok(ExitCode::Ok.into())
}

fn print(text: &str, warnings: Vec<String>) -> std::process::ExitCode {
    for warning in warnings {
        logging::say(&format!("ringbinderd: warning: {warning}"));
    }
    // A reader that closed the pipe does not need the rest.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::Ok.into()
}

fn serve(settings: Settings, ready: Option<daemon::Ready>) -> Result<(), Failure> {
    let reserved = RESERVED_FILES + settings.admin.as_ref().map_or(0, |_| admin::FILES);
    let beside_clients = settings.ring.as_ref().map_or(0, |_| server::files_of_nodes(&settings));
    let open_files = limits::raise_open_files(settings.conn_limit, reserved, beside_clients)?;
    if let Some(warning) = &open_files.warning {
        warn!("{warning}");
    }
    let room_for_peers = server::room_for_peers(&settings, open_files.spare);
    if settings.enable_coredumps {
        limits::raise_core_size()?;
    }
    // This comes before the hand-over, so that an unreadable certificate does not end the process
    // that serves.
    let mut guards = guards::Guards::load(&settings, clock::Clock::new().now())?;
    let mut inherited = Inherited::from_manager()?;
    let offer = match &settings.hand_over {
        Some(path) => takeover::request_takeover(path, &settings, &mut inherited)?,
        None => None,
    };
    let asked = settings.admin.as_ref();
    let admin_sockets = asked.map(|asked| listen::bind_admin(&asked.address, &mut inherited));
    let admin_sockets = admin_sockets.transpose()?;
    let listeners = listen::bind(&settings, &mut inherited)?;
    let admin = asked.zip(admin_sockets).map(|(asked, sockets)| admin::Bound {
        settings: asked.clone(),
        listeners: sockets,
        serves: listeners.first().map(ToString::to_string).unwrap_or_default(),
    });
    if let Some(warning) = admin.as_ref().and_then(admin::Bound::warning) {
        warn!("{warning}");
    }
    match user::drop_privileges(settings.user.as_deref())? {
        RunsAs::Root { warning: Some(warning) }
        | RunsAs::Dropped { warning: Some(warning), .. } => {
            warn!("{warning}");
        }
        _ => {}
    }
    for warning in std::mem::take(&mut guards.warnings).into_iter().chain(guards.lost()) {
        warn!("{warning}");
    }
    let hand_over = match &settings.hand_over {
        Some(path) => {
            let door = listen::bind_takeover(path, &settings, &mut inherited)?;
            let admin = admin.iter().flat_map(|admin| &admin.listeners);
            Some(TakeoverServer::new(door, &listeners, admin)?)
        }
        None => None,
    };
    inherited.tell_unused();
    drop(inherited);
    let pidfile = match &settings.pidfile {
        Some(path) => match PidFile::create(path) {
            Ok((pidfile, warning)) => {
                if let Some(warning) = warning {
                    warn!("{warning}");
                }
                Some(pidfile)
            }
            Err(error) => {
                warn!("{error}");
                None
            }
        },
        None => None,
    };
    if settings.lock_memory
        && let Some(warning) = limits::lock_memory(settings.memory_limit)
    {
        warn!("{warning}");
    }

    let keep = Keep {
        standard_error: settings.verbose > 0 || daemon::writes_to_journal(),
        directory: settings.enable_coredumps,
    };
    let started = match &settings.ring {
        Some(ring) => {
            let listening: Vec<_> = listeners
                .iter()
                .filter_map(|listener| Some((listener.tcp_address()?, listener.guard())))
                .collect();
            let dialer = ring::Dialer::new(&guards, ring.peer_tls, listening);
            Some(ring::start(ring, dialer)?)
        }
        None => None,
    };
    if let Some(path) = &settings.snapshot {
        snapshot::check_writable(path, settings.snapshot_strict)?;
    }
    let shared = server::prepare(
        settings,
        guards,
        started.as_ref().map(|ring| ring.node.clone()),
        room_for_peers,
    );
    let begin = || {
        let pending = match offer {
            Some(offer) => {
                snapshot::put_aside(&shared);
                offer.take(&shared).map_err(std::io::Error::other)?
            }
            None => snapshot::open(&shared),
        };
        if let Some(pending) = pending {
            pending.start(&shared);
        }
        Ok(())
    };
    let mut banner = banner(&shared.settings, &listeners);
    banner.extend(admin.as_ref().map(admin::Bound::banner));
    let announce = || -> std::io::Result<()> {
        for line in banner {
            info!("{line}");
        }
        if let Some(ready) = ready {
            // Standard error may be redirected after this.
            logging::flush();
            ready.announce(keep).map_err(std::io::Error::other)?;
        }
        supervisor::ready();
        Ok(())
    };
    listen::write_port_file(&listeners)?;
    let all_ended = server::run(&shared, listeners, admin, hand_over, started, begin, announce)?;
    snapshot::at_stop(&shared, all_ended)?;
    drop(pidfile);
    info!("stopped");
    Ok(())
}

/// The program's name, the addresses where it listens, and how to try it.
fn banner(settings: &Settings, listeners: &[listen::Listener]) -> Vec<String> {
    let places: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!(
        "ringbinderd {} (memcached text protocol) listens on {}; {} MiB, {} threads",
        env!("CARGO_PKG_VERSION"),
        places.join(", "),
        settings.memory_limit >> 20,
        settings.threads,
    )];
    let open = listeners.iter().find(|listener| !matches!(listener.guard(), Guard::Tls(_)));
    let first = open.or(listeners.first());
    if let Some((listener, address)) = first.and_then(|it| Some((it, it.tcp_address()?))) {
        let program = match listener.guard() {
            Guard::Tls(_) => format!("openssl s_client -quiet -connect {address}"),
            _ => format!("nc {} {}", address.ip(), address.port()),
        };
        lines.push(match &settings.auth_file {
            Some(path) => format!("clients must authenticate as a user of {}", path.display()),
            None => format!(
                "try it: printf 'set greeting 0 0 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' \
                 | {program}"
            ),
        });
        if settings.addresses.len() == 1 && address.ip().is_loopback() {
            lines.push("only this machine can connect; -l ADDRESS opens it to others".to_owned());
        }
    }
    lines
}
