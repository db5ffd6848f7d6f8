//! `GET /v1/knowledge_bases`: the Knowledge Bases that the key may search.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};

use crate::{
    call::{Caller, KnowledgeBase, KnowledgeBaseKind},
    edge::{Edge, json},
    error::Error,
    openai::knowledge_base::{KnowledgeBaseList, KnowledgeBaseObject},
};

/// Lists the Knowledge Bases that the caller may search.
///
/// # Errors
/// 500 if the response cannot be serialized.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Error> {
    let gateway = edge.gateway.load();
    let usable = gateway
        .knowledge_bases
        .iter()
        .filter(|base| caller.may_search(&base.name));
    json(&KnowledgeBaseList {
        object: "list",
        data: usable.map(|base| object(base)).collect(),
    })
}

/// Leaves out the AWS ID and the region, which are private to the operator.
fn object(base: &KnowledgeBase) -> KnowledgeBaseObject<'_> {
    KnowledgeBaseObject {
        id: &base.name,
        object: "knowledge_base",
        description: base.description.as_deref(),
        kind: base.kind.as_str(),
        search: (base.kind == KnowledgeBaseKind::Vector).then(|| base.search_type.as_str()),
        max_results: base.max_results,
        min_score: base.min_score,
        max_context_chars: base.max_context_chars,
        on_error: base.on_error.as_str(),
    }
}
