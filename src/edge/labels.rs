//! Bounded labels, for metrics and the log, of what clients may choose freely.

use axum::http::Method;

pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";

/// The path of a route as its documentation writes it; `matched` is axum's pattern.
pub fn route(matched: Option<&str>) -> &'static str {
    match matched.map(|path| path.strip_prefix("/v1").unwrap_or(path)) {
        Some("/chat/completions") => CHAT_COMPLETIONS,
        Some("/completions") => COMPLETIONS,
        Some("/embeddings") => EMBEDDINGS,
        Some("/usage") => "/v1/usage",
        Some("/knowledge_bases") => "/v1/knowledge_bases",
        Some("/models") => "/v1/models",
        Some("/models/{*model}") => "/v1/models/{model}",
        _ => "unknown",
    }
}

/// A bounded label: a client may send any token as its method.
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
