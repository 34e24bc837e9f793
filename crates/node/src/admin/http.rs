//! HTTP with bounds: how many may ask at once, and how long and how much they may talk.
//!
//! A connection carries one request and its answer and has [`PATIENCE`] for all of it, so that
//! neither a client that sends its request letter by letter nor one that does not read its answer
//! keeps a place for longer. Beyond [`MAX_CONNECTIONS`], and a short backlog, the system turns new
//! ones away. A request is read into a buffer of a fixed size.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 64;

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

/// How long accepting rests after the system refused a connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Places for connections, over all listeners.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Places(Arc::new(Semaphore::new(MAX_CONNECTIONS)))
    }
}

/// Serves a listener until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    places: Places,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = Arc::clone(&places.0).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, place))
        };
        let next = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        match next {
            Ok((stream, place)) => {
                connections.spawn(serve_one(stream, place, router.clone(), stop.clone()));
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

/// Serves one request.
async fn serve_one(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    router: Router,
    stop: CancellationToken,
) {
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
    match tokio::time::timeout(PATIENCE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("a request to the admin port failed: {error}"),
        Err(_) => debug!("a request to the admin port took longer than {PATIENCE:?} and was cut"),
    }
}
