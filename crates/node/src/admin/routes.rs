//! The paths of the admin port.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tracing::{info, warn};

use super::exposition::Form;
use super::fleet::Fleet;
use super::guard::{self, Known};
use super::health::{self, Faults};
use super::metrics;
use super::share::Circles;
use super::{advice, api};
use crate::ring::Situation;
use crate::snapshot::{WriteError, on_demand};
use crate::worker::Workers;
use crate::worker::shared::Shared;

/// The time that a request waits for its snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(8);

/// The most bytes of a request's body: no request needs one.
const MAX_BODY: usize = 1024;

/// The state from which the routes answer.
#[derive(Debug)]
pub(super) struct AdminState {
    shared: Arc<Shared>,
    workers: Arc<Workers>,
    fleet: Arc<Fleet>,
    circles: Circles,
    /// Only this machine can reach the port.
    loopback: bool,
    /// Names that requests may use for it.
    hosts: Vec<String>,
}

impl AdminState {
    pub(super) fn new(
        shared: Arc<Shared>,
        workers: Arc<Workers>,
        loopback: bool,
        hosts: Vec<String>,
        serves: String,
    ) -> AdminState {
        let (fleet, circles) = (Arc::new(Fleet::new(serves)), Circles::default());
        AdminState { shared, workers, fleet, circles, loopback, hosts }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet)
    }

    fn situation(&self) -> Option<Situation> {
        self.shared.ring.as_ref().map(|ring| ring.situation())
    }

    /// Whether a request is for this node, by the host that it names.
    fn is_ours(&self, authority: &str) -> bool {
        let ring = |name: &str| {
            self.shared.ring.as_ref().is_some_and(|ring| {
                let view = ring.view();
                view.ring.nodes().iter().any(|node| node.host.eq_ignore_ascii_case(name))
            })
        };
        let known = Known { loopback: self.loopback, hosts: &self.hosts, ring: &ring };
        known.is_ours(authority)
    }
}

/// All paths.
pub(super) fn router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/ring", get(ring))
        .route("/api/history", get(history))
        .route("/snapshot", post(snapshot))
        .merge(page())
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guarded))
        .with_state(state)
}

/// Passes on permitted requests, and adds the headers that restrict browsers.
async fn guarded(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&state, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in guard::ANSWER_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn refusal(state: &AdminState, request: &Request) -> Option<Response> {
    let target = request.uri().authority().map(|authority| authority.as_str());
    let Some(names) = guard::asked_for(target, request.headers()) else {
        let text = "The Host header is repeated or invalid.\n";
        return Some((StatusCode::BAD_REQUEST, text).into_response());
    };
    if names.iter().any(|name| !state.is_ours(name)) {
        let text = "This host name is not one of this node's names, so the request may come from \
         a malicious web page. Use an IP address or the host of a node of the ring, or list the \
         name in --admin-hosts.\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, text).into_response());
    }
    if request.method() == Method::POST
        && let Some(why) =
            guard::refused_post(request.headers(), names.first().copied().unwrap_or_default())
    {
        return Some((StatusCode::FORBIDDEN, format!("{why}\n")).into_response());
    }
    None
}

async fn not_found() -> Response {
    let text = "Available: /, /metrics, /healthz, /readyz, /api/ring and /api/history, and POST \
     /snapshot.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn metrics(State(state): State<Arc<AdminState>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let form = Form::accepted(&accept.collect::<Vec<_>>().join(","));
    let shared = &state.shared;
    let situation = state.situation();
    let circle = situation.as_ref().map(|situation| state.circles.of(&situation.view.ring));
    let ring = situation.as_ref().zip(circle.as_deref());
    let text = metrics::page(shared, ring, form);
    ([(header::CONTENT_TYPE, form.content_type())], text).into_response()
}

/// The result of a check: 200 or 503, and words.
fn verdict(faults: &Faults, well: &str) -> Response {
    if faults.is_empty() {
        return (StatusCode::OK, format!("{well}\n")).into_response();
    }
    let text = faults.iter().map(|fault| format!("{fault}\n")).collect::<String>();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn healthz(State(state): State<Arc<AdminState>>) -> Response {
    verdict(&health::health(&state.shared, &state.workers).await, "healthy")
}

async fn readyz(State(state): State<Arc<AdminState>>) -> Response {
    let mut faults = health::unready(state.shared.stop.is_cancelled(), state.situation().as_ref());
    faults.extend(health::health(&state.shared, &state.workers).await);
    verdict(&faults, "ready")
}

async fn ring(State(state): State<Arc<AdminState>>) -> Response {
    let mut overview = api::overview(&state.shared, &state.fleet, &state.circles);
    overview.warnings = advice::of(&overview, !state.shared.settings.disable_evictions);
    Json(overview).into_response()
}

/// Requests a snapshot. Writing continues even if the request does not wait for its end.
async fn snapshot(State(state): State<Arc<AdminState>>) -> Response {
    let shared = state.shared();
    let writing = tokio::spawn(async move {
        let written = on_demand(&shared).await;
        match &written {
            Ok(report) => info!("POST /snapshot: the snapshot {report}"),
            Err(error) => warn!("POST /snapshot: {error}"),
        }
        written
    });
    match tokio::time::timeout(SNAPSHOT_TIMEOUT, writing).await {
        Err(_) => {
            let text = "the snapshot is being written; it is complete when \
                        ringbinder_snapshot_running in /metrics is 0\n";
            (StatusCode::ACCEPTED, text).into_response()
        }
        Ok(Ok(Ok(report))) => (StatusCode::OK, format!("the snapshot {report}\n")).into_response(),
        Ok(Ok(Err(error))) => {
            let status = match error {
                WriteError::NoFile | WriteError::Busy | WriteError::Stopping => {
                    StatusCode::CONFLICT
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, format!("{error}\n")).into_response()
        }
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The query parameters of the history.
#[derive(Debug, Deserialize)]
struct Span {
    /// Only newer points than this, in milliseconds since the Unix epoch.
    #[serde(default)]
    since: u64,
}

async fn history(
    State(state): State<Arc<AdminState>>,
    span: Result<Query<Span>, QueryRejection>,
) -> Response {
    let Ok(Query(Span { since })) = span else {
        let text = "since is a time in milliseconds since 1970\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    Json(api::history(&state.shared, &state.fleet, since)).into_response()
}

/// The page, whose files are built into the program.
fn page() -> Router<Arc<AdminState>> {
    const HTML: &str = include_str!("page/index.html");
    const STYLE: &str = include_str!("page/style.css");
    const DRAW: &str = include_str!("page/draw.js");
    const SCRIPT: &str = include_str!("page/page.js");
    const ICON: &str = include_str!("page/icon.svg");

    let file = |media: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, media)], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", HTML))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/draw.js", file("text/javascript; charset=utf-8", DRAW))
        .route("/page.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/icon.svg", file("image/svg+xml", ICON))
}
