//! Parses and validates requests to rank documents.

use crate::{
    call::Warnings,
    edge::body,
    error::Error,
    openai::rerank::{Document, RerankRequest},
    operation::rank::Rank,
};

/// Parses and validates a request. Returns the operation, the name of the model, and whether the reply repeats the documents.
///
/// # Errors
/// 400 with the invalid member.
pub fn rerank(bytes: &[u8], warnings: &Warnings) -> Result<(Rank, String, bool), Error> {
    let request: RerankRequest = body::parse(bytes, warnings)?;
    if request.documents.is_empty() {
        let text = "'documents' must have at least one document.";
        return Err(Error::invalid("documents", text));
    }
    if request.top_n == Some(0) {
        return Err(Error::invalid("top_n", "'top_n' must be at least 1."));
    }
    let documents = request.documents.into_iter().map(|Document(text)| text);
    let rank = Rank {
        query: request.query,
        documents: documents.collect(),
        top_n: request.top_n,
        user: request.user,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
    };
    let returns_documents = request.return_documents.unwrap_or(false);
    Ok((rank, request.model, returns_documents))
}
