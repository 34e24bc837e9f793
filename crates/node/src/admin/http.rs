//! HTTP with bounds: how many may ask at once, and how long and how much they may talk.
//!
//! A connection carries one request and its answer and has [`PATIENCE`] for all of it, so that
//! neither a client that sends its request letter by letter nor one that does not read its answer
//! keeps a place for longer; and for less where others want it (see [`super::places`]). A request is
//! read into a buffer of a fixed size.

use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::places::{MAX_CONNECTIONS, Place, Places};
use crate::source::Source;

/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// For the header of the request.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a request's header; hyper takes no smaller buffer than this.
const MAX_HEADER: usize = 8192;

/// Lines of a request's header.
const MAX_HEADERS: usize = 64;

/// For the answers that are under way when the node stops.
const PARTING: Duration = Duration::from_secs(1);

/// How often a newcomer looks whether there is a place, at least.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How often the log says that connections make room.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How long accepting rests after the system refused a connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Serves a listener until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    places: Places,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let mut last_told: Option<Instant> = None;
    loop {
        let next = tokio::select! {
            next = listener.accept() => next,
            () = stop.cancelled() => break,
        };
        match next {
            Ok((stream, from)) => {
                let before = places.cut();
                let place = tokio::select! {
                    place = place(&places, Source::from(from.ip())) => place,
                    () = stop.cancelled() => break,
                };
                if places.cut() > before && last_told.is_none_or(|at| at.elapsed() > TELL_EVERY) {
                    last_told = Some(Instant::now());
                    warn!(
                        "all of the {MAX_CONNECTIONS} places at the admin port are taken: the oldest \
                         connection of the address with most of them makes room for each new one, \
                         now for one of {} (said once a minute)",
                        from.ip()
                    );
                }
                connections.spawn(serve_one(stream, place, router.clone(), stop.clone()));
                // Those that are served have their turn before the next one takes a place.
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
    // What is not out by then is cut: a node that stops does not wait for a slow reader of this.
    let _ = tokio::time::timeout(PARTING, connections.wait()).await;
}

/// Waits for a place.
async fn place(places: &Places, source: Source) -> Place {
    loop {
        match places.take(source, Instant::now()) {
            Ok(place) => return place,
            Err(wait) => tokio::time::sleep(wait.min(LOOK_AGAIN)).await,
        }
    }
}

/// Serves one request.
async fn serve_one(stream: TcpStream, place: Place, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
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
            // A place that is lost is no longer counted: whoever has it may not go on.
            biased;
            () = place.is_lost() => None,
            served = tokio::time::timeout(PATIENCE, served) => Some(served),
        }
    };
    match served.await {
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => debug!("a request to the admin port failed: {error}"),
        Some(Err(_)) => {
            debug!("a request to the admin port took longer than {PATIENCE:?} and was cut");
        }
        None => debug!("a connection to the admin port made room for another"),
    }
}
