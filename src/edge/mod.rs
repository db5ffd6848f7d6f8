//! HTTP on the data port: routes, dialects and the outer middleware stack. Only this module chooses HTTP statuses.

mod access_log;
mod anthropic;
mod auth;
mod aws_errors;
mod bad_head;
mod body;
mod body_guard;
mod dialect;
mod disconnect;
mod endpoints;
mod flood;
mod form;
mod keys;
mod labels;
mod late;
mod logins;
mod network;
mod own_timeout;
mod pieces;
mod receive;
mod reply_headers;
mod rescue;
mod routes;
mod seal;
mod serve;
mod shape;
mod shed;
mod sigv4;
mod sse;
mod unknown_members;
pub mod virtual_key;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, header},
    middleware,
    response::Response,
    routing::MethodRouter,
};
use bytes::Bytes;
use serde::Serialize;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};

pub use access_log::Peer;
pub use auth::{CertificateNames, Recognition};
pub use bad_head::{BadHead, reject};
pub use body_guard::until_end;
pub use dialect::{
    ChatWriter, EventWriter, Policies, assistant_message, chat_request, completion_request,
    embedding_request, messages_request, rerank_request, responses_request, sdk_converse_request,
    sdk_invoke_request,
};
pub use disconnect::DisconnectPolicy;
pub use endpoints::usage::UsagePages;
pub use keys::{Key, Keys, VirtualKey};
pub use logins::Logins;
use pieces::Pieces;
pub use receive::{BufferedBody, Room, receive_within};
pub use seal::Seals;
pub use sigv4::AwsPairs;

use crate::{
    dispatch::Dispatch,
    error::{Error, Kind},
    governance::{Ledger, Responses},
    knowledge::KnowledgeBases,
    middleware::RateLimit,
    upstream::Discovery,
};

/// The parts of the gateway that a reload replaces together. A request in flight keeps the value that it
/// started with.
pub struct Gateway {
    pub dispatch: Dispatch,
    pub keys: Keys,
    pub knowledge_bases: KnowledgeBases,
}

/// The state of the data port.
pub struct Edge {
    pub gateway: ArcSwap<Gateway>,
    pub logins: Logins,
    /// Also limits the calls of all models.
    pub rate_limit: RateLimit,
    pub usage_pages: UsagePages,
    /// If `None`, models that are not configured are not listed.
    pub discovery: Option<Discovery>,
    pub ledger: Ledger,
    pub responses: Responses,
    pub disconnect: DisconnectPolicy,
    pub limits: Limits,
    /// Seals what clients keep for the gateway.
    pub seals: Seals,
    /// The key pairs of AWS SDKs. If empty, signed requests are rejected.
    pub aws_pairs: AwsPairs,
    pub policies: Policies,
    /// Browser origins that CORS allows. If empty, responses have no CORS headers.
    pub cors_origins: Vec<HeaderValue>,
    /// The start time of the gateway, in Unix seconds.
    pub created: u64,
}

/// Limits of one request, and of all requests together.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum size of a request body, in bytes.
    pub max_body: usize,
    /// Time that a client has to send its body, or 8 KiB per second of it.
    pub body_timeout: Duration,
    /// When a stream that has not begun is answered with status 200 and comments. If `None`, never.
    pub commit_after: Option<Duration>,
    /// Memory for the bodies of all requests in flight.
    pub room: Room,
    /// Maximum number of requests in flight, each counted from admission to the last byte of its response.
    pub max_in_flight: usize,
    /// Maximum sustained requests per second of one key.
    pub max_requests_per_second: u32,
}

/// Builds the routes and the outer middleware stack.
pub fn router(edge: Arc<Edge>) -> Router {
    let order = ServiceBuilder::new()
        // Outermost, because it assigns the request ID and logs every response, after its last byte is sent.
        .layer(middleware::from_fn(access_log::access_log))
        // Outside all that may answer with an error, so that every error of a path has the path's form.
        .layer(middleware::from_fn(anthropic::shape))
        .layer(middleware::from_fn(reject))
        // Before `auth`, because a browser's preflight request has no key.
        .option_layer(cors(&edge.cors_origins))
        // Below the access log, so that the log has the status of a request that panicked.
        .layer(CatchPanicLayer::custom(rescue::panicked))
        // Before any work is done. The permit is held until the last byte is sent.
        .layer(middleware::from_fn_with_state(
            shed::Shed::new(edge.limits.max_in_flight, edge.disconnect.cut.clone()),
            shed::shed,
        ));
    let flood = flood::layer(edge.limits.max_requests_per_second);
    let auth = middleware::from_fn_with_state(edge.clone(), auth::auth);
    // Only on what exists: an unknown path is a 404, and another method a 405, with or without a key.
    let guarded = |methods: MethodRouter<_>| {
        let methods = match &flood {
            // After `auth`, because it counts requests by key.
            Some(flood) => methods.route_layer(flood.clone()),
            None => methods,
        };
        methods.route_layer(auth.clone())
    };
    routes::router(guarded).layer(order).with_state(edge)
}

fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    use tower_http::cors::{AllowHeaders, Any, ExposeHeaders};
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods(Any)
            // The wildcard `*` does not include `authorization`.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::any())
    })
}

/// Serializes `value` as a JSON response.
///
/// # Errors
/// 500 if `value` cannot be serialized, which is a bug in the gateway.
fn json(value: &impl Serialize) -> Result<Response, Error> {
    serialize(value).map(json_response)
}

/// Serializes `value` as JSON.
///
/// # Errors
/// As [`json`].
fn serialize(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| {
        Error::new(
            Kind::Internal,
            "The gateway could not serialize its response.",
        )
        .with_detail(error.to_string())
    })
}

/// Builds a response from serialized JSON.
fn json_response(body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::new(Pieces(body.into())));
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
