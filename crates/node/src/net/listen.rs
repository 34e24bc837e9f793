//! Listeners: bound before privileges are dropped, then accepting.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

use super::connections::Remote;
use super::inherit::Inherited;
use super::socket::Accepted;
use crate::process::exit::ExitCode;
use crate::settings::{Guard, ListenAddress, Settings, Verify};

/// The reason why the node cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The host has no address.
    #[error("cannot resolve {address}: {source}; check -l")]
    Unknown { address: String, source: io::Error },
    /// The host of the admin port has no address.
    #[error("cannot resolve {address}: {source}; check --admin")]
    UnknownAdmin { address: String, source: io::Error },
    /// Another process has the address, or the address does not belong to this machine.
    #[error("cannot listen on {address}: {source}; {advice}")]
    Bind { address: String, source: io::Error, advice: &'static str },
    /// The path of the socket holds something other than a stale socket.
    #[error("cannot listen on {}: {problem}", path.display())]
    Path { path: PathBuf, problem: String, denied: bool },
}

impl ListenError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            ListenError::Bind { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ExitCode::NoPermission
            }
            ListenError::Path { denied: true, .. } => ExitCode::NoPermission,
            ListenError::Unknown { .. }
            | ListenError::UnknownAdmin { .. }
            | ListenError::Bind { .. }
            | ListenError::Path { .. } => ExitCode::OsError,
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(std::net::TcpListener, Guard),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed when the listener is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Another process must remove it: the one that opened the socket, or that was given it.
    pub(crate) keep: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.keep {
            // Another program may have removed it, or a new node may have replaced it. Neither is
            // an error here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds every address that the settings name.
///
/// `inherited` sockets are used if they listen at the right addresses, or instead of everything
/// that the settings name.
pub(crate) fn bind(
    settings: &Settings,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, ListenError> {
    if let Some((tcp, unix)) = inherited.take_all() {
        let unix = unix
            .into_iter()
            .map(|(path, listener)| Listener::Unix(listener, SocketFile { path, keep: true }));
        let tcp = tcp.into_iter().map(|listener| {
            let guard = guard_of(&listener, settings);
            Listener::Tcp(listener, guard)
        });
        return Ok(tcp.chain(unix).collect());
    }
    let backlog = backlog(settings);
    let mut listeners = Vec::new();
    for address in &settings.addresses {
        let unknown = |source| ListenError::Unknown { address: address.to_string(), source };
        let ListenAddress::Tcp { guard, .. } = address;
        let candidates = address.resolve().map_err(unknown)?;
        let bound = bind_host(&candidates, backlog, |candidate| inherited.take_tcp(candidate));
        let bound = bound.map_err(|(candidate, source)| {
            let advice = advice(&source);
            ListenError::Bind { address: candidate.to_string(), source, advice }
        })?;
        listeners.extend(bound.into_iter().map(|listener| Listener::Tcp(listener, *guard)));
    }
    if let Some(path) = &settings.unix_socket {
        listeners.push(unix(path, settings.unix_mask, backlog, inherited)?);
    }
    Ok(listeners)
}

/// The number of connections to the admin port that may wait to be accepted.
const ADMIN_BACKLOG: i32 = 1024;

/// Binds the admin port under every address of its host. An `inherited` socket that listens there
/// is used; it must be requested before the sockets of the clients.
pub(crate) fn bind_admin(
    address: &ListenAddress,
    inherited: &mut Inherited,
) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let unknown = |source| ListenError::UnknownAdmin { address: address.to_string(), source };
    let candidates = address.resolve().map_err(unknown)?;
    // A request for any port would take one of the clients' sockets.
    let there = |candidate: SocketAddr| {
        (candidate.port() != 0).then(|| inherited.take_tcp(candidate)).flatten()
    };
    bind_host(&candidates, ADMIN_BACKLOG, there).map_err(|(candidate, source)| {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another process uses this address: stop it, or choose another port with --admin"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root: choose another with --admin"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine does not have this address: check --admin"
            }
            _ => "check --admin",
        };
        let address = format!("{candidate} for the admin port");
        ListenError::Bind { address, source, advice }
    })
}

/// Binds every address of a host, or takes the socket that is `there` already. A name or `*` may
/// stand for address families that this machine lacks: one address that works is enough, if no
/// other is in use.
fn bind_host(
    candidates: &[SocketAddr],
    backlog: i32,
    mut there: impl FnMut(SocketAddr) -> Option<std::net::TcpListener>,
) -> Result<Vec<std::net::TcpListener>, (SocketAddr, io::Error)> {
    let mut bound = Vec::new();
    let mut failed = None;
    for &candidate in candidates {
        match there(candidate).map_or_else(|| tcp(candidate, backlog), Ok) {
            Ok(listener) => bound.push(listener),
            Err(source) => failed = Some((candidate, source)),
        }
    }
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    match failed.filter(|(_, error)| bound.is_empty() || in_use(error)) {
        None => Ok(bound),
        Some(failed) => Err(failed),
    }
}

/// Binds the Unix socket at which another process may take over from this one.
pub(crate) fn bind_takeover(
    path: &Path,
    settings: &Settings,
    inherited: &mut Inherited,
) -> Result<Listener, ListenError> {
    unix(path, 0o600, backlog(settings), inherited)
}

fn backlog(settings: &Settings) -> i32 {
    i32::try_from(settings.listen_backlog).unwrap_or(i32::MAX)
}

/// The protocol of a socket that another process has opened: the one that the settings give its
/// address or, without one, TLS if any address has TLS.
fn guard_of(listener: &std::net::TcpListener, settings: &Settings) -> Guard {
    let at = listener.local_addr().ok();
    let mut any = Guard::Plain;
    for place in &settings.addresses {
        let ListenAddress::Tcp { guard, .. } = place;
        if at.is_some_and(|at| place.resolve().unwrap_or_default().contains(&at)) {
            return *guard;
        }
        if any == Guard::Plain {
            any = *guard;
        }
    }
    any
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process uses this address: stop it, or choose another port with -p"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root: choose another with -p, or start as root with -u"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address: check -l",
        _ => "check -l and -p",
    }
}

fn tcp(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// The reason why no Unix socket can be made at a path, as an error with advice.
fn path_error(path: &Path, problem: &io::Error) -> ListenError {
    let advice = match problem.kind() {
        io::ErrorKind::PermissionDenied => "; check the permissions of the directory",
        io::ErrorKind::NotFound => "; create its directory first",
        _ => "; choose another path with -s",
    };
    ListenError::Path {
        path: path.to_owned(),
        problem: format!("{problem}{advice}"),
        denied: problem.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// The reason why a path is not free for a Unix socket, if something else is there.
fn not_a_socket(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => Err(ListenError::Path {
            path: path.to_owned(),
            problem: "the existing file is not a socket".to_owned(),
            denied: false,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks that a Unix socket can be made at a path, without making one. A process that listens
/// there is no error: it may be the node for which the check runs.
///
/// # Errors
/// The errors that [`bind`] or [`bind_takeover`] would return.
pub(crate) fn check_unix(path: &Path) -> Result<(), ListenError> {
    not_a_socket(path)?;
    SockAddr::unix(path).map_err(|error| path_error(path, &error))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| path_error(path, &errno.into()))
}

fn unix(
    path: &Path,
    mask: u32,
    backlog: i32,
    inherited: &mut Inherited,
) -> Result<Listener, ListenError> {
    if let Some(listener) = inherited.take_unix(path) {
        return Ok(Listener::Unix(listener, SocketFile { path: path.to_owned(), keep: false }));
    }
    let failed = |problem: io::Error| path_error(path, &problem);
    not_a_socket(path)?;
    match fs::symlink_metadata(path) {
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::Path {
                path: path.to_owned(),
                problem: "another process uses this socket".to_owned(),
                denied: false,
            });
        }
        // A node that was killed left it behind.
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let bind = || -> io::Result<RawSocket> {
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // No client can connect before `listen`, so the permissions take effect in time.
        fs::set_permissions(path, fs::Permissions::from_mode(mask))?;
        socket.listen(backlog)?;
        Ok(socket)
    };
    let listener = bind().map_err(failed)?;
    Ok(Listener::Unix(listener.into(), SocketFile { path: path.to_owned(), keep: false }))
}

impl Listener {
    /// Another descriptor of the same socket.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        match self {
            Listener::Tcp(listener, _) => listener.as_fd().try_clone_to_owned(),
            Listener::Unix(listener, _) => listener.as_fd().try_clone_to_owned(),
        }
    }

    /// The TCP address. If the system chose the port, it is that port.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener, _) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    /// The protocol spoken there.
    pub(crate) fn guard(&self) -> Guard {
        match self {
            Listener::Tcp(_, guard) => *guard,
            Listener::Unix(..) => Guard::Plain,
        }
    }

    /// The address where it listens, as `stats conns` shows it.
    pub(crate) fn place(&self) -> String {
        match self {
            Listener::Tcp(listener, _) => match listener.local_addr() {
                Ok(address @ SocketAddr::V4(_)) => format!("tcp:{address}"),
                Ok(address @ SocketAddr::V6(_)) => format!("tcp6:{address}"),
                Err(_) => "tcp:".to_owned(),
            },
            Listener::Unix(_, file) => format!("unix:{}", file.path.display()),
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listener::Tcp(listener, guard) => {
                match listener.local_addr() {
                    Ok(address) => address.fmt(f)?,
                    Err(_) => f.write_str("an unknown address")?,
                }
                f.write_str(match guard {
                    Guard::Plain => "",
                    Guard::Tls(Verify::Everybody) => " (TLS, clients by certificate)",
                    Guard::Tls(_) => " (TLS)",
                    Guard::Either(_) => " (TLS or plain)",
                })
            }
            Listener::Unix(_, SocketFile { path, .. }) => path.display().fmt(f),
        }
    }
}

/// A listener of the main thread's runtime.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(tokio::net::TcpListener, Guard),
    /// With its file, which is removed together with it.
    Unix(tokio::net::UnixListener, SocketFile),
}

impl Acceptor {
    /// Registers a listener with the current runtime.
    pub(crate) fn register(listener: Listener) -> io::Result<Acceptor> {
        Ok(match listener {
            Listener::Tcp(listener, guard) => {
                Acceptor::Tcp(tokio::net::TcpListener::from_std(listener)?, guard)
            }
            Listener::Unix(listener, file) => {
                Acceptor::Unix(tokio::net::UnixListener::from_std(listener)?, file)
            }
        })
    }

    /// The protocol spoken there.
    pub(crate) fn guard(&self) -> Guard {
        match self {
            Acceptor::Tcp(_, guard) => *guard,
            Acceptor::Unix(..) => Guard::Plain,
        }
    }

    /// Keeps its file when it is dropped: the socket belongs to another process.
    pub(crate) fn keep_file(&mut self) {
        if let Acceptor::Unix(_, file) = self {
            file.keep = true;
        }
    }

    /// Waits for a connection and releases it from this runtime, so that a worker's runtime may
    /// take it.
    pub(crate) async fn accept(&self) -> io::Result<(Accepted, Remote)> {
        match self {
            Acceptor::Tcp(listener, _) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let to = stream.local_addr()?;
                Ok((Accepted::Tcp(stream.into_std()?), Remote::Tcp { from, to }))
            }
            Acceptor::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream.into_std()?), Remote::Unix))
            }
        }
    }
}

/// Writes the bound ports into the file that `MEMCACHED_PORT_FILENAME` names, as memcached does for
/// a program that started it with port 0. Writes another file and renames it, so that a reader sees
/// all or nothing.
pub(crate) fn write_port_file(listeners: &[Listener]) -> io::Result<()> {
    let Some(path) = std::env::var_os("MEMCACHED_PORT_FILENAME") else { return Ok(()) };
    let mut text = String::new();
    for address in listeners.iter().filter_map(Listener::tcp_address) {
        let family = if address.is_ipv4() { "INET" } else { "INET6" };
        text.push_str(&format!("TCP {family}: {}\n", address.port()));
    }
    let path = PathBuf::from(path);
    let mut aside = path.clone().into_os_string();
    aside.push(".lck");
    fs::write(&aside, text)?;
    fs::rename(&aside, &path)
}
