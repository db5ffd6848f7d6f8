//! The paths of the data port. Each also answers without `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, Uri},
    routing::{get, post},
};

use super::{
    Edge,
    dialect::{ChatCompletions, Completions, Embeddings},
    endpoints, labels,
    serve::serve,
};
use crate::error::{Error, Kind};

/// Paths of OpenAI's API that this version does not serve, so that the answer can say so.
const NOT_SERVED: [&str; 8] = [
    "/responses",
    "/moderations",
    "/images",
    "/audio",
    "/rerank",
    "/messages",
    "/files",
    "/batches",
];

pub fn router() -> Router<Arc<Edge>> {
    let paths = || {
        Router::new()
            .route("/chat/completions", post(serve::<ChatCompletions>))
            .route("/completions", post(serve::<Completions>))
            .route("/embeddings", post(serve::<Embeddings>))
            .route("/models", get(endpoints::models::list))
            .route("/models/{*model}", get(endpoints::models::retrieve))
            .route("/knowledge_bases", get(endpoints::knowledge_bases::list))
            .route("/usage", get(endpoints::usage::retrieve))
    };
    paths()
        .nest("/v1", paths())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn not_found(method: Method, uri: Uri) -> Error {
    let path: String = uri.path().chars().take(100).collect();
    let bare = path.strip_prefix("/v1").unwrap_or(&path);
    let message = if NOT_SERVED.iter().any(|known| bare.starts_with(known)) {
        format!(
            "This version of lintel does not serve {} {path}.",
            labels::method(&method)
        )
    } else {
        format!(
            "There is no {} {path}. Chat completions are at POST /v1/chat/completions.",
            labels::method(&method)
        )
    };
    Error::new(Kind::NotFound, message).with_code("unknown_url")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Error {
    let path: String = uri.path().chars().take(100).collect();
    Error::new(
        Kind::MethodNotAllowed,
        format!("{path} does not take {}.", labels::method(&method)),
    )
    .with_code("method_not_allowed")
}
