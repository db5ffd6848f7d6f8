//! All that knows HTTP on the data port: the outer stack, in order. Only here is a status for the client chosen.

mod access_log;
mod auth;
mod body_guard;
mod decode;
mod encode;
mod endpoints;
mod labels;
mod rescue;
mod routes;
mod shed;
mod sse;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::HeaderValue, middleware};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};

pub use access_log::Peer;
pub use auth::{Key, Keys};
pub use body_guard::until_end;
pub use decode::chat_request;
pub use sse::SseWriter;

use crate::dispatch::Dispatch;

/// What the data port needs to know.
pub struct Edge {
    pub keys: Keys,
    pub dispatch: Dispatch,
    pub limits: Limits,
    /// Browser origins that may call; none: no CORS headers at all.
    pub cors_origins: Vec<HeaderValue>,
    /// Unix seconds of the start.
    pub created: u64,
    /// Set when draining is over: what still runs must end now.
    pub cut: CancellationToken,
}

/// Bounds of one request, and of all together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub max_body: usize,
    /// Patience with a client that sends its body slowly.
    pub body_timeout: Duration,
    /// Requests from their admission to their last byte.
    pub max_in_flight: usize,
}

/// The outer stack.
pub fn router(edge: Arc<Edge>) -> Router {
    let order = ServiceBuilder::new()
        // Gives the request its id, and writes its line when the last byte is gone; sees every answer below.
        .layer(middleware::from_fn(access_log::access_log))
        // A browser's preflight carries no key. Without origins in the configuration this adds nothing.
        .option_layer(cors(&edge.cors_origins))
        // A panic ends one request; the line above still knows its status.
        .layer(CatchPanicLayer::custom(rescue::panicked))
        // Before any work is done, and until the last byte is gone.
        .layer(middleware::from_fn_with_state(
            shed::Shed::new(edge.limits.max_in_flight, edge.cut.clone()),
            shed::shed,
        ));
    routes::router()
        // Innermost, and only for paths that exist: an unknown path is a 404 to everybody.
        .route_layer(middleware::from_fn_with_state(edge.clone(), auth::auth))
        .layer(order)
        .with_state(edge)
}

fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    use tower_http::cors::{AllowHeaders, Any, ExposeHeaders};
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods(Any)
            // A wildcard never covers `authorization`.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::any())
    })
}
