//! HTTP with bounds on the number of connections, their time and their size.
//!
//! A connection carries one request and its answer, and has [`TIMEOUT`] for both. So neither a
//! client that sends its request letter by letter nor one that does not read its answer keeps a
//! slot for longer. If other clients wait for a slot, it has less time (see [`super::slots`]). A
//! request is read into a buffer of a fixed size.

use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::slots::{MAX_CONNECTIONS, Slot, Slots};
use crate::security::source::Source;

/// The time for one request and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time for the header of the request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of a request's header; hyper accepts no smaller buffer.
const MAX_HEADER: usize = 8192;

/// The most lines of a request's header.
const MAX_HEADERS: usize = 64;

/// The time for unfinished answers when the node stops.
const PARTING: Duration = Duration::from_secs(1);

/// The longest interval at which a new connection checks for a slot.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The interval at which the log reports that connections were closed to make room.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The pause of accepting after the system refused a connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Serves a listener until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    slots: Slots,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let mut last_logged: Option<Instant> = None;
    loop {
        let next = tokio::select! {
            next = listener.accept() => next,
            () = stop.cancelled() => break,
        };
        match next {
            Ok((stream, from)) => {
                let before = slots.cut();
                let slot = tokio::select! {
                    slot = slot(&slots, Source::from(from.ip())) => slot,
                    () = stop.cancelled() => break,
                };
                if slots.cut() > before && last_logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
                    last_logged = Some(Instant::now());
                    warn!(
                        "all {MAX_CONNECTIONS} connections of the admin port are in use: each new \
                         one replaces the oldest one of the address with the most, this time of {} \
                         (logged once a minute)",
                        from.ip()
                    );
                }
                connections.spawn(serve_one(stream, slot, router.clone(), stop.clone()));
                // Connections in progress get their turn before the next one takes a slot.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                warn!("cannot accept a connection on the admin port: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    connections.close();
    // Unfinished answers are cut off then: a stopping node does not wait for a slow reader of this
    // port.
    let _ = tokio::time::timeout(PARTING, connections.wait()).await;
}

/// Waits for a slot.
async fn slot(slots: &Slots, source: Source) -> Slot {
    loop {
        match slots.take(source, Instant::now()) {
            Ok(slot) => return slot,
            Err(wait) => tokio::time::sleep(wait.min(LOOK_AGAIN)).await,
        }
    }
}

/// Serves one request.
async fn serve_one(stream: TcpStream, slot: Slot, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let served = async {
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    let served = async {
        tokio::select! {
            // A lost slot is no longer counted, so its connection must not continue.
            biased;
            () = slot.is_lost() => None,
            served = tokio::time::timeout(TIMEOUT, served) => Some(served),
        }
    };
    match served.await {
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => debug!("a request to the admin port failed: {error}"),
        Some(Err(_)) => {
            debug!(
                "closed a connection to the admin port: its request took longer than {TIMEOUT:?}"
            );
        }
        None => debug!("closed a connection to the admin port to make room for another"),
    }
}
