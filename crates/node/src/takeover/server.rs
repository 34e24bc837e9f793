//! The side of the process that serves: it hands over on request.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;
use tracing::{info, warn};

use super::{PROTOCOL, wire};
use crate::net::listen::{Acceptor, Listener};
use crate::net::socket::Accepted;
use crate::process::stop::StopCause;
use crate::process::supervisor;
use crate::snapshot;
use crate::worker::shared::Shared;

/// The timeout for the other process's next line, and for the restore of this process's own items.
/// It continues to serve meanwhile.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time in which connections may read their last answers. New connections wait meanwhile.
const GRACE: Duration = Duration::from_secs(1);

/// The hand-over socket, and what a new process receives on it.
#[derive(Debug)]
pub(crate) struct TakeoverServer {
    door: Listener,
    /// Copies of all listening sockets, including the hand-over socket.
    sockets: Vec<OwnedFd>,
}

/// The reason why the hand-over failed.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("the connection failed ({0})")]
    Io(#[from] io::Error),
    #[error("refused: {0}")]
    Refused(&'static str),
}

impl TakeoverServer {
    /// A hand-over of these listeners to a process that connects to the hand-over socket.
    ///
    /// # Errors
    /// An error if the system provides no more descriptors.
    pub(crate) fn new<'a>(
        door: Listener,
        listeners: &[Listener],
        admin: impl Iterator<Item = &'a TcpListener>,
    ) -> io::Result<TakeoverServer> {
        let all = listeners.iter().chain([&door]).map(Listener::copy);
        let admin = admin.map(|listener| listener.as_fd().try_clone_to_owned());
        let sockets = all.chain(admin).collect::<io::Result<_>>()?;
        Ok(TakeoverServer { door, sockets })
    }
}

/// Waits at the hand-over socket until the node stops, or until it has handed over and therefore
/// stops.
pub(crate) async fn serve(shared: Arc<Shared>, hand_over: TakeoverServer) {
    let TakeoverServer { door, sockets } = hand_over;
    let mut door = match Acceptor::register(door) {
        Ok(door) => door,
        Err(error) => return warn!("no process can take over from this one: {error}"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((Accepted::Unix(stream), _)) => Arc::new(stream),
            Ok((Accepted::Tcp(_), _)) => continue,
            Err(error) => {
                warn!("cannot accept a connection on the hand-over socket: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match talk(&shared, &stream, &sockets).await {
            Ok(()) => {
                info!("handed over; this process ends");
                door.keep_file();
                shared.stop.because(StopCause::HandedOver);
                return;
            }
            Err(error) => warn!("hand-over failed: {error}; this process keeps serving"),
        }
        // This wakes a thread that waits for the other's next line.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Sends a refusal.
fn refuse(stream: &UnixStream, why: &'static str) -> ServerError {
    // The other process may be gone; the log of this process has the reason as well.
    let _ = wire::send(stream, &format!("refused {why}\n"), &[]);
    ServerError::Refused(why)
}

/// Opens the gate again, unless all was handed over.
struct Closed<'a> {
    shared: &'a Shared,
    given: bool,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if !self.given {
            self.shared.connections.reopen();
            self.shared.gate.open();
        }
    }
}

async fn talk(
    shared: &Arc<Shared>,
    stream: &Arc<UnixStream>,
    sockets: &[OwnedFd],
) -> Result<(), ServerError> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let peer = getsockopt(stream, PeerCredentials).map_err(io::Error::from)?;
    let uid = peer.uid();
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(refuse(stream, "it runs as another user"));
    }
    if hear(shared, stream).await? != format!("hand-over {PROTOCOL}") {
        return Err(refuse(stream, "it has another version of the hand-over protocol"));
    }
    if tokio::time::timeout(TIMEOUT, restored(shared)).await.is_err() {
        return Err(refuse(stream, "items are still being restored; try again later"));
    }
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(OwnedFd::as_fd).collect();
    wire::send(stream, &format!("offer {PROTOCOL} {}\n", descriptors.len()), &descriptors)?;
    expect(&hear(shared, stream).await?, "take")?;

    let mut closed = Closed { shared, given: false };
    shared.gate.close();
    if !shared.connections.end_all(GRACE).await {
        return Err(refuse(stream, "some connections did not end"));
    }
    wire::send(stream, "yours\n", &[])?;
    expect(&hear(shared, stream).await?, "mine")?;
    let header = snapshot::header(shared, true);
    let word = if header.is_some() { "go\n" } else { "go bare\n" };
    wire::send(stream, word, &[])?;
    // From here on the other process serves.
    closed.given = true;
    shared.gate.give();
    // Must come before this process can end: see there.
    supervisor::replaced_by(peer.pid().unsigned_abs());
    let Some(header) = header else {
        warn!("handed over without items: this node was about to change its ring");
        return Ok(());
    };
    let (own, stream) = (Arc::clone(shared), Arc::clone(stream));
    let sent = tokio::task::spawn_blocking(move || {
        snapshot::write_items(&own, &header, &mut |bytes, _| (&*stream).write_all(bytes))
    });
    match sent.await {
        Ok(Ok(totals)) => info!("handed over {} items", totals.items),
        Ok(Err(error)) => warn!("could not hand over all items: {error}"),
        Err(_) => warn!("could not hand over all items"),
    }
    Ok(())
}

fn expect(word: &str, expected: &str) -> Result<(), ServerError> {
    if word == expected { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData).into()) }
}

/// Waits until no restore is under way.
async fn restored(shared: &Shared) {
    while shared.snapshots.progress.is_restoring() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The other process's next line; an error if the node stops.
async fn hear(shared: &Shared, stream: &Arc<UnixStream>) -> io::Result<String> {
    let own = Arc::clone(stream);
    let hearing = tokio::task::spawn_blocking(move || wire::receive(&own));
    tokio::select! {
        heard = hearing => Ok(heard.map_err(io::Error::other)??.0),
        () = shared.stop.cancelled() => {
            // Ends the thread that waits for the line.
            let _ = stream.shutdown(Shutdown::Both);
            Err(io::Error::other("this process is stopping"))
        }
    }
}
