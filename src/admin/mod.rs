//! The admin port: metrics, health and the admin API. None of them is ever served on the data port.

pub mod api;
mod authorize;
mod aws_pair;
mod error;
mod key_loading;
mod key_store;
mod revocation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use api::{Api, Reload, Reloaded};
pub use authorize::MAX_FAILURES;
pub use key_store::KeyStore;

use crate::{
    call::Secret,
    config::AdminToken,
    edge,
    error::Error,
    telemetry::Telemetry,
    upstream::{Clients, Upstream},
};

/// How old metrics may be, so that a storm of scrapes costs little.
const METRICS_FOR: Duration = Duration::from_secs(1);
/// In bytes. Invocation logs are uploaded whole.
const MAX_BODY: usize = 256 << 20;
/// In bytes, for the bodies of all requests.
const MAX_BODIES: usize = 2 * MAX_BODY;
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of the admin port.
pub struct Admin {
    pub telemetry: Telemetry,
    pub clients: Arc<Clients>,
    pub api: Api,
    /// The token without a name.
    pub token: Option<Secret>,
    pub tokens: Vec<AdminToken>,
    pub logins: edge::Logins,
    pub shutdown: CancellationToken,
    /// Time that a client has to send its body, or 8 KiB per second of it.
    pub body_timeout: Duration,
    /// The metrics as they were last rendered.
    pub rendered: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

pub fn router(admin: Arc<Admin>) -> Router {
    let room = edge::Room::new(MAX_BODIES);
    let receive = move |State(admin): State<Arc<Admin>>, request, next| {
        receive(admin.body_timeout, room.clone(), request, next)
    };
    let api = api::router(admin.api.clone())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(admin.clone(), receive))
        .layer(axum::middleware::from_fn_with_state(
            admin.clone(),
            authorize::authorize,
        ));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async {
            problem(
                StatusCode::NOT_FOUND,
                "Not found. This port serves /metrics, /healthz, /readyz and /admin/.",
            )
        })
        .with_state(admin)
        .merge(api)
        .layer(axum::middleware::from_fn(edge::reject))
}

/// Receives the body of a request that is authorized, under the limits of the data port: one that trickles would hold its
/// connection and its memory for as long as the client likes.
///
/// # Errors
/// Those of [`edge::receive_within`].
async fn receive(
    limit: Duration,
    room: edge::Room,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let received = edge::receive_within(body, MAX_BODY, limit, &room).await?;
    let request = Request::from_parts(parts, Body::from(received.bytes));
    let response = next.run(request).await;
    drop(received.permit);
    Ok(response)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut rendered = admin.rendered.lock().await;
    let text = match &*rendered {
        Some((at, text)) if at.elapsed() < METRICS_FOR => text.clone(),
        _ => {
            admin.api.ledger.publish_metrics().await;
            let telemetry = admin.telemetry.clone();
            // Many budgets make a long text, and calls share the threads of the runtime.
            let text = tokio::task::spawn_blocking(move || telemetry.render()).await;
            let text = Bytes::from(text.unwrap_or_default());
            *rendered = Some((Instant::now(), text.clone()));
            text
        }
    };
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// Liveness: the process runs.
async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Readiness: the gateway is not shutting down, can write the ledger, and has credentials. Makes no paid call. Nothing is
/// remembered here: valid credentials are in memory, and a failure to get others is shared for a second. Open circuit breakers
/// are listed, and do not make it unready: other models and regions answer.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    if admin.shutdown.is_cancelled() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    }
    if !admin.api.ledger.is_healthy() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "cannot write the ledger");
    }
    let checked = tokio::time::timeout(READY_TIMEOUT, admin.clients.check_credentials()).await;
    if let Err(reason) =
        checked.unwrap_or_else(|_| Err("the credential service did not answer".to_owned()))
    {
        tracing::warn!(reason, "not ready: no AWS credentials");
        return problem(StatusCode::SERVICE_UNAVAILABLE, "no AWS credentials");
    }
    let mut broken = admin
        .api
        .upstream
        .as_ref()
        .map(Upstream::health)
        .unwrap_or_default();
    broken.retain(|target| !target.is_closed());
    let mut ready = json!({"status": "ready"});
    if !broken.is_empty() {
        ready["circuit_breakers"] = json!(broken);
    }
    Json(ready).into_response()
}

fn problem(status: StatusCode, message: &'static str) -> Response {
    (status, Json(json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}})))
        .into_response()
}
