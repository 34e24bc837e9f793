//! Listening sockets that this process did not open: from a service manager (`LISTEN_FDS`), or from
//! the process that it takes over from.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::Socket;
use tracing::{info, warn};

/// All sockets of a service manager; Unix sockets with their paths.
pub(crate) type AllSockets = (Vec<TcpListener>, Vec<(PathBuf, UnixListener)>);

/// Sockets that wait to be used.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixListener)>,
    /// The node listens only on these, whatever the settings say.
    replace: bool,
}

impl Inherited {
    /// The sockets that a service manager opened for this process; none without a service manager.
    pub(crate) fn from_manager() -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        let mut given = ListenFd::from_env();
        for index in 0..given.len() {
            if let Ok(Some(listener)) = given.take_tcp_listener(index) {
                inherited.add_tcp(listener)?;
            } else if let Some(listener) = given.take_unix_listener(index)? {
                inherited.add_unix(listener)?;
            }
        }
        inherited.replace = given.len() > 0;
        Ok(inherited)
    }

    /// Adds descriptors that another process passed on.
    pub(crate) fn add(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        for descriptor in descriptors {
            let socket = Socket::from(descriptor);
            if !socket.is_listener()? {
                return Err(io::Error::other("it passed a socket that does not listen"));
            }
            if socket.local_addr()?.is_unix() {
                self.add_unix(OwnedFd::from(socket).into())?;
            } else {
                self.add_tcp(OwnedFd::from(socket).into())?;
            }
        }
        Ok(())
    }

    fn add_tcp(&mut self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.tcp.push((listener.local_addr()?, listener));
        Ok(())
    }

    fn add_unix(&mut self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        self.unix.push((path, listener));
        Ok(())
    }

    /// All of them, if the node listens only on these.
    pub(crate) fn take_all(&mut self) -> Option<AllSockets> {
        if !self.replace {
            return None;
        }
        let tcp = self.tcp.drain(..).map(|(_, listener)| listener).collect();
        Some((tcp, self.unix.drain(..).collect()))
    }

    /// The socket that listens at an address; any port matches if the wanted port is 0.
    pub(crate) fn take_tcp(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let is_it = |address: &SocketAddr| {
            address.ip() == wanted.ip() && (wanted.port() == 0 || address.port() == wanted.port())
        };
        let at = self.tcp.iter().position(|(address, _)| is_it(address))?;
        Some(self.tcp.swap_remove(at).1)
    }

    /// The socket that listens at a path.
    pub(crate) fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let same = |one: &Path| std::path::absolute(one).ok() == std::path::absolute(path).ok();
        let at = self.unix.iter().position(|(there, _)| same(there))?;
        Some(self.unix.swap_remove(at).1)
    }

    /// Logs which sockets were not used. They close when this is dropped.
    pub(crate) fn tell_unused(&self) {
        for (address, _) in &self.tcp {
            warn!("no longer listening on {address}: the settings do not list it");
        }
        for (path, _) in self.unix.iter().filter(|(path, _)| !path.as_os_str().is_empty()) {
            info!("no longer listening on {}: the settings do not list it", path.display());
        }
    }
}
