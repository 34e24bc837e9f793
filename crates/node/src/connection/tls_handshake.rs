//! Turns an accepted socket into a connection: its first byte shows which protocol the client
//! speaks, then comes the handshake.
//!
//! A worker does all of it within [`TIMEOUT`]; it ends when the node stops. Before its first byte
//! a client costs only its place. During the handshake it costs the memory that rustls bounds: one
//! message of at most 64 KiB and one record.

use std::future::{poll_fn, ready};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use ringbinder_protocol::Refusal;
use rustls::HandshakeKind;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::connection;
use crate::net::connections::Ticket;
use crate::net::socket::{Accepted, Socket};
use crate::security::tls::{Tls, explain};
use crate::settings::{Guard, Verify};
use crate::worker::state::Local;

/// The time in which a client must finish its handshake.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most encrypted bytes that a connection holds for a client that does not read, and the most
/// plain bytes that it accepts before its handshake is done.
const MAX_UNSENT: usize = 64 * 1024;

/// The first byte of every TLS client.
const HANDSHAKE: u8 = 0x16;

/// The most bytes drained from a rejected client, so that closing does not reset the connection
/// while the answer is on its way.
const MAX_DRAIN: usize = 64 * 1024;

/// The reason why a client got no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It left before it sent any byte, as port probes do.
    #[error("it closed the connection before it sent anything")]
    Silent,
    #[error("it does not use TLS, which this port requires")]
    Plain,
    #[error("it did not finish its handshake within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    /// This side ended it.
    #[error("the node is stopping or has reached its limit of connections")]
    Kicked,
    #[error("{}", explain::cause(.0))]
    Handshake(io::Error),
}

/// Serves a connection of a listener with TLS until it ends. Must be called within the worker's
/// runtime.
pub(crate) async fn serve(local: Rc<Local>, accepted: Accepted, guard: Guard, ticket: Ticket) {
    // Boxed, so that the connection does not keep the room for a handshake as long as it lives.
    let socket = match Box::pin(establish(&local, accepted, guard, &ticket)).await {
        Ok(socket) => socket,
        Err(failure) => return report(&local, &ticket, &failure),
    };
    connection::serve(local, Ok(socket), ticket).await;
}

async fn establish(
    local: &Local,
    accepted: Accepted,
    guard: Guard,
    ticket: &Ticket,
) -> Result<Socket, Failure> {
    let stream = match Socket::register(accepted).map_err(Failure::Handshake)? {
        Socket::Tcp(stream) => stream,
        other => return Ok(other),
    };
    let (Some(tls), Some(verify)) = (&local.shared.tls, guard.verify()) else {
        return Ok(Socket::Tcp(stream));
    };
    let kicked = poll_fn(|context| match ticket.poll_kick(context) {
        Some(_) => Poll::Ready(()),
        None => Poll::Pending,
    });
    if !ticket.slot_state().has_slot() {
        // The runtime checks the sockets before the time limit for a proof begins.
        tokio::task::yield_now().await;
        ticket.start_timeout();
    }
    let mut socket = pin!(begin(tls, stream, guard, verify, ticket));
    tokio::select! {
        biased;
        socket = &mut socket => return socket,
        () = kicked => {}
        () = tokio::time::sleep(TIMEOUT) => return Err(Failure::Timeout),
    }
    // Data that has arrived counts, however late the worker reads it.
    tokio::task::yield_now().await;
    tokio::select! {
        biased;
        socket = &mut socket => socket,
        () = ready(()) => Err(Failure::Kicked),
    }
}

async fn begin(
    tls: &Arc<Tls>,
    stream: TcpStream,
    guard: Guard,
    verify: Verify,
    ticket: &Ticket,
) -> Result<Socket, Failure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) if first[0] == HANDSHAKE => ticket.begin_proof(),
        Ok(1..) if matches!(guard, Guard::Either(_)) => return Ok(Socket::Tcp(stream)),
        Ok(1..) => {
            send_away(&stream);
            return Err(Failure::Plain);
        }
        _ => return Err(Failure::Silent),
    }
    let Some(config) = tls.server(verify) else {
        debug_assert!(false, "each listener's configuration is built at the start");
        return Err(Failure::Silent);
    };
    let acceptor = TlsAcceptor::from(config);
    let accept = acceptor.accept_with(stream, |session| {
        session.set_buffer_limit(Some(MAX_UNSENT));
    });
    let stream = accept.await.map_err(Failure::Handshake)?;
    // Without this, a client that delays its first request until its handshake is acknowledged
    // waits for the system's delayed acknowledgement, 40 ms. If the call fails, connections are
    // only slower.
    let _ = SockRef::from(stream.get_ref().0).set_tcp_quickack(true);
    if stream.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed) {
        tls.new_sessions.fetch_add(1, Relaxed);
    }
    Ok(Socket::Tls(Box::new(stream.into())))
}

/// Answers which protocol is spoken here, as far as the socket accepts it at once.
fn send_away(stream: &TcpStream) {
    let line = format!("{}\r\n", Refusal::TlsOnly.line());
    // The connection closes in any case.
    let _ = stream.try_write(line.as_bytes());
    let mut room = [0; 4096];
    let mut drained = 0;
    while let Ok(len @ 1..) = stream.try_read(&mut room) {
        drained += len;
        if drained >= MAX_DRAIN {
            break;
        }
    }
}

fn report(local: &Local, ticket: &Ticket, failure: &Failure) {
    let Some(tls) = &local.shared.tls else { return };
    match failure {
        Failure::Silent | Failure::Kicked => {
            debug!("<{} the connection of {} failed: {failure}", ticket.id, ticket.remote);
            return;
        }
        Failure::Plain | Failure::Timeout | Failure::Handshake(_) => {}
    }
    tls.handshake_errors.fetch_add(1, Relaxed);
    if tls.complaints.allows(&ticket.remote, &failure.to_string(), local.shared.clock.now()) {
        warn!("closed the connection of {} in its TLS handshake: {failure}", ticket.remote);
    }
}
