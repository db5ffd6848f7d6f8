//! Bounded labels for metrics and the log, from values that clients choose freely.

use axum::http::Method;

pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";

/// Returns the documented path of a route, or `unknown`. `matched` is axum's pattern.
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
