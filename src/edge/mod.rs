//! All that knows HTTP on the data port: the outer stack, in order. Only here is a status for the client chosen.

mod access_log;
mod auth;
mod body;
mod body_guard;
mod dialect;
mod disconnect;
mod endpoints;
mod flood;
mod keys;
mod labels;
mod reply_headers;
mod rescue;
mod routes;
mod serve;
mod shed;
mod sse;
pub mod virtual_key;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
use serde::Serialize;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};

pub use access_log::Peer;
pub use body_guard::until_end;
pub use dialect::{ChatWriter, EventWriter, assistant_message, chat_request};
pub use disconnect::DisconnectPolicy;
pub use flood::FailedLogins;
pub use keys::{Key, Keys, VirtualKey};

use crate::{
    dispatch::Dispatch,
    error::{Error, Kind},
    governance::Ledger,
    knowledge::KnowledgeBases,
};

/// A running gateway as one value: what a reload replaces at once. Requests that are running keep
/// the one with which they began.
pub struct Gateway {
    pub dispatch: Dispatch,
    pub keys: Keys,
    pub knowledge_bases: KnowledgeBases,
}

/// What the data port needs.
pub struct Edge {
    pub gateway: ArcSwap<Gateway>,
    pub failed_logins: FailedLogins,
    pub ledger: Ledger,
    pub disconnect: DisconnectPolicy,
    pub limits: Limits,
    /// Browser origins that may call; if empty, there are no CORS headers at all.
    pub cors_origins: Vec<HeaderValue>,
    /// Unix seconds of the start.
    pub created: u64,
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
    /// Requests of one credential in a second.
    pub max_requests_per_second: u32,
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
            shed::Shed::new(edge.limits.max_in_flight, edge.disconnect.cut.clone()),
            shed::shed,
        ));
    let mut routes = routes::router();
    // Behind `auth`, because it counts by credential.
    if let Some(flood) = flood::layer(edge.limits.max_requests_per_second) {
        routes = routes.route_layer(flood);
    }
    routes
        // Only for paths that exist: an unknown path is a 404 to everybody.
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

/// A value as a JSON reply.
///
/// # Errors
/// If the value cannot be written, which is a fault of the gateway.
fn json(value: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::new(Kind::Internal, "The gateway could not write its reply.")
            .with_detail(error.to_string())
    })?;
    let mut response = Response::new(Body::from(body));
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    Ok(response)
}
