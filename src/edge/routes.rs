//! The routes of the data port. Each is available with and without the prefix `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    middleware,
    response::Response,
    routing::{MethodRouter, get, post},
};

use super::{
    Edge, aws_errors,
    dialect::{
        AwsSdk, ChatCompletions, Compactions, Completions, CountTokens, Embeddings, ImageEdits,
        ImageGenerations, InputTokens, Messages, MessagesCountTokens, Moderations, Reranking,
        Responses,
    },
    endpoints::{self, stored_responses},
    labels,
    serve::serve,
};
use crate::error::{Error, Kind};

/// Prefixes of known API paths that this version does not support; their 404 says so.
const NOT_SERVED: [&str; 7] = [
    "/responses",
    "/conversations",
    "/images",
    "/audio",
    "/messages",
    "/files",
    "/batches",
];

/// The paths that Claude Code asks for with HEAD before it connects.
const PROBES: [&str; 2] = ["/", "/api/hello"];

/// Prefixes of the paths that only support GET. All other paths only support POST.
const READ_ONLY: [&str; 3] = ["/models", "/knowledge_bases", "/usage"];

/// Builds the routes and the fallbacks for unknown paths and methods. `guarded` adds the middleware of those that exist.
pub fn router(
    guarded: impl Fn(MethodRouter<Arc<Edge>>) -> MethodRouter<Arc<Edge>>,
) -> Router<Arc<Edge>> {
    let paths = || {
        [
            ("/chat/completions", post(serve::<ChatCompletions>)),
            ("/completions", post(serve::<Completions>)),
            ("/embeddings", post(serve::<Embeddings>)),
            ("/rerank", post(serve::<Reranking>)),
            ("/images/generations", post(serve::<ImageGenerations>)),
            ("/images/edits", post(serve::<ImageEdits>)),
            ("/count_tokens", post(serve::<CountTokens>)),
            ("/moderations", post(serve::<Moderations>)),
            ("/messages", post(serve::<Messages>)),
            ("/messages/count_tokens", post(serve::<MessagesCountTokens>)),
            (
                "/responses",
                post(serve::<Responses>).get(endpoints::responses::upgrade),
            ),
            ("/responses/compact", post(serve::<Compactions>)),
            ("/responses/input_tokens", post(serve::<InputTokens>)),
            (
                "/responses/{id}",
                get(stored_responses::retrieve).delete(stored_responses::delete),
            ),
            (
                "/responses/{id}/input_items",
                get(stored_responses::input_items),
            ),
            ("/responses/{id}/cancel", post(stored_responses::cancel)),
            ("/models", get(endpoints::models::list)),
            ("/models/{*model}", get(endpoints::models::retrieve)),
            ("/knowledge_bases", get(endpoints::knowledge_bases::list)),
            ("/usage", get(endpoints::usage::retrieve)),
        ]
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, guarded(methods))
        })
    };
    // The paths of Bedrock, for AWS SDKs.
    let sdk = [
        (labels::CONVERSE, post(serve::<AwsSdk<false, false>>)),
        (labels::CONVERSE_STREAM, post(serve::<AwsSdk<false, true>>)),
        (labels::INVOKE, post(serve::<AwsSdk<true, false>>)),
        (labels::INVOKE_STREAM, post(serve::<AwsSdk<true, true>>)),
    ];
    let in_aws_form = || middleware::from_fn(aws_errors::in_aws_form);
    sdk.into_iter()
        .fold(paths(), |router, (path, methods)| {
            // Outermost, because the client understands no other form, whoever rejects its request.
            router.route(path, guarded(methods).route_layer(in_aws_form()))
        })
        .nest("/v1", paths())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

/// Answers requests for unknown paths.
///
/// # Errors
/// 404, except for Claude Code's check of whether the server is up, which has no key.
async fn not_found(method: Method, uri: Uri) -> Result<StatusCode, Response> {
    if method == Method::HEAD && PROBES.contains(&uri.path()) {
        return Ok(StatusCode::OK);
    }
    let path: String = uri.path().chars().take(100).collect();
    let bare = path.strip_prefix("/v1").unwrap_or(&path);
    let message = if NOT_SERVED.iter().any(|known| bare.starts_with(known)) {
        format!(
            "This version of lintel does not support {} {path}.",
            labels::method(&method)
        )
    } else {
        format!(
            "Unknown URL: {} {path}. Chat completions are at POST /v1/chat/completions.",
            labels::method(&method)
        )
    };
    let error = Error::new(Kind::NotFound, message).with_code("unknown_url");
    Err(aws_errors::on_path(uri.path(), error))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    let bare = path.strip_prefix("/v1").unwrap_or(&path);
    let reads = READ_ONLY.iter().any(|known| bare.starts_with(known));
    let allowed = match bare.strip_prefix("/responses/") {
        Some("compact" | "input_tokens") => "POST",
        Some(rest) if rest.ends_with("/input_items") => "GET",
        Some(rest) if !rest.contains('/') => "GET or DELETE",
        _ if reads => "GET",
        _ => "POST",
    };
    let method = labels::method(&method);
    let error = Error::new(
        Kind::MethodNotAllowed,
        format!("{path} does not support {method}. Use {allowed}."),
    );
    aws_errors::on_path(uri.path(), error.with_code("method_not_allowed"))
}
