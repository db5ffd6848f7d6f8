//! `POST /v1/rerank`, in the form of Cohere and Jina.

mod parse;

use super::{Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions};
use crate::{
    call::Warnings,
    edge::labels,
    error::Error,
    openai::rerank::{
        ApiVersion, BilledUnits, RerankDocument, RerankList, RerankMeta, RerankResult, RerankUsage,
    },
    operation::rank::{Rank, RankReply},
};

/// Parses and validates the body of a request to rank documents.
///
/// # Errors
/// 400 with the invalid field, or with the byte offset of a syntax error.
pub fn rerank_request(bytes: &[u8], warnings: &Warnings) -> Result<Rank, Error> {
    parse::rerank(bytes, warnings).map(|(rank, ..)| rank)
}

/// The dialect of reranking.
pub struct Reranking;

/// The parts of the request that the reply contains.
pub struct View {
    model: String,
    /// The documents, if the reply repeats them.
    documents: Option<Vec<String>>,
}

impl Dialect for Reranking {
    type Operation = Rank;
    type View = View;
    const ROUTE: &'static str = labels::RERANK;
    const INPUT: &'static str = "documents";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let (rank, model, returns) = parse::rerank(request.body, request.warnings)?;
        let view = View {
            model: model.clone(),
            documents: returns.then(|| rank.documents.clone()),
        };
        Ok(ParsedRequest {
            end_user: rank.user.clone(),
            operation: rank,
            model,
            view,
        })
    }

    fn reply(reply: RankReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let RankReply { results, usage } = &reply;
        let results = results.iter().map(|ranked| RerankResult {
            index: ranked.index,
            relevance_score: ranked.score,
            document: view
                .documents
                .as_ref()
                .and_then(|documents| documents.get(ranked.index))
                .map(|text| RerankDocument { text }),
        });
        let list = RerankList {
            id: format!("rerank-{}", cx.id),
            object: "list",
            model: &view.model,
            results: results.collect(),
            meta: RerankMeta {
                api_version: ApiVersion { version: "2" },
                billed_units: BilledUnits {
                    search_units: usage.queries,
                },
            },
            usage: RerankUsage {
                prompt_tokens: usage.prompt(),
                total_tokens: usage.total(),
                cost: chat_completions::cost(usage),
                estimated: usage.estimated,
            },
        };
        serde_json::to_vec(&list)
            .map(Outgoing::Whole)
            .map_err(chat_completions::unwritable)
    }
}
