//! Bounded labels for metrics and the log, from values that clients choose freely.

use axum::http::Method;

pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";
pub const RERANK: &str = "/v1/rerank";
pub const IMAGE_GENERATIONS: &str = "/v1/images/generations";
pub const IMAGE_EDITS: &str = "/v1/images/edits";
pub const COUNT_TOKENS: &str = "/v1/count_tokens";
pub const MODERATIONS: &str = "/v1/moderations";
pub const RESPONSES: &str = "/v1/responses";
pub const INPUT_TOKENS: &str = "/v1/responses/input_tokens";
pub const COMPACTIONS: &str = "/v1/responses/compact";
pub const MESSAGES: &str = "/v1/messages";
pub const MESSAGES_COUNT_TOKENS: &str = "/v1/messages/count_tokens";
pub const CONVERSE: &str = "/model/{id}/converse";
pub const CONVERSE_STREAM: &str = "/model/{id}/converse-stream";
pub const INVOKE: &str = "/model/{id}/invoke";
pub const INVOKE_STREAM: &str = "/model/{id}/invoke-with-response-stream";

/// Reports whether axum's pattern is that of a path for AWS SDKs.
pub fn is_of_aws_sdk(matched: &str) -> bool {
    [CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM].contains(&matched)
}

/// Every path of the data port, as it is documented.
const PATHS: [&str; 24] = [
    CHAT_COMPLETIONS,
    COMPLETIONS,
    EMBEDDINGS,
    RERANK,
    IMAGE_GENERATIONS,
    IMAGE_EDITS,
    COUNT_TOKENS,
    MODERATIONS,
    CONVERSE,
    CONVERSE_STREAM,
    INVOKE,
    INVOKE_STREAM,
    MESSAGES,
    MESSAGES_COUNT_TOKENS,
    RESPONSES,
    COMPACTIONS,
    INPUT_TOKENS,
    "/v1/responses/{id}",
    "/v1/responses/{id}/input_items",
    "/v1/responses/{id}/cancel",
    "/v1/usage",
    "/v1/knowledge_bases",
    "/v1/models",
    "/v1/models/{*model}",
];

/// Returns the documented path of a route, or `unknown`. `matched` is axum's pattern.
pub fn route(matched: Option<&str>) -> &'static str {
    let bare = |path| str::strip_prefix(path, "/v1").unwrap_or(path);
    let known =
        matched.and_then(|matched| PATHS.into_iter().find(|path| bare(path) == bare(matched)));
    match known {
        Some("/v1/models/{*model}") => "/v1/models/{model}",
        known => known.unwrap_or("unknown"),
    }
}

/// Returns the name of a standard method, or `other`, because HTTP allows any token as a method.
pub fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
