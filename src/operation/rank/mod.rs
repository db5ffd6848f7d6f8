//! The rank operation: orders documents by their relevance to a query.

mod reply;

pub use reply::{RankReply, Ranked};

use super::{
    Operation, expansion,
    input_only::{self, InputOnly},
    not_served,
};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::Error,
    model::{Model, RerankFamily},
    money::{CHUNKS_PER_QUERY, NanoUsd, Usage, WorstCase},
};

/// The longest query or document, in Unicode code points. Source: the same, `RerankTextDocumentTextString`.
const MAX_CHARS: usize = 32_000;

/// The bytes of a document that fit into one billed chunk for certain: a chunk has 510 tokens, the query takes up to half
/// of them, and a token is at least a byte. Source: pricing page of Amazon Bedrock, Rerank models, 2026-11.
const CHUNK_BYTES: usize = 254;

/// The results that a page has at least, if there are more pages. Bedrock documents no number: its reply has another page
/// if the results do not fit in one. If pages are smaller, the reservation is extended for each further one.
const PAGE_RESULTS: usize = 500;

/// A request to rank documents.
#[derive(Clone, Debug, Default)]
pub struct Rank {
    pub query: String,
    pub documents: Vec<String>,
    /// The number of results. If `None`, all documents.
    pub top_n: Option<usize>,
    pub user: Option<String>,
    pub max_cost: Option<NanoUsd>,
}

impl Rank {
    /// The number of results that the reply has.
    pub fn results(&self) -> usize {
        let all = self.documents.len();
        self.top_n.map_or(all, |top_n| top_n.min(all))
    }

    /// The queries that one request is billed for, at most. The service does not report them.
    pub fn queries(&self) -> u64 {
        queries(self.documents.iter().map(|document| chunks(document)).sum())
    }

    /// The requests for all pages of results on `route`.
    fn pages(&self, route: Route) -> u32 {
        let pages = match route {
            Route::Rerank => self.results().div_ceil(PAGE_RESULTS),
            _ => 1,
        };
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// The usage of one request. Tokens are counted as four bytes each; they cost nothing.
    pub fn usage(&self, model: &Model) -> Usage {
        let mut usage = Usage {
            input: self.likely_tokens(model),
            queries: self.queries(),
            estimated: true,
            ..Usage::default()
        };
        let price = model.price.as_deref();
        usage.cost = price.and_then(|price| price.cost(&usage, Default::default()));
        usage
    }

    /// # Errors
    /// 400 with the path of a text that the service does not accept.
    fn check_texts(&self) -> Result<(), Error> {
        check_text("query", &self.query)?;
        let mut documents = self.documents.iter().enumerate();
        documents.try_for_each(|(index, text)| check_text(&format!("documents[{index}]"), text))
    }
}

/// The billed chunks of a document, at most.
pub fn chunks(document: &str) -> u64 {
    let bytes = document.len() + expansion::of_text(document);
    bytes.div_ceil(CHUNK_BYTES).max(1) as u64
}

/// The queries that so many chunks are billed as.
pub fn queries(chunks: u64) -> u64 {
    chunks.div_ceil(CHUNKS_PER_QUERY).max(1)
}

fn check_text(at: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid(at, format!("'{at}' is empty.")));
    }
    let count = text.chars().count();
    if count > MAX_CHARS {
        let text = format!(
            "'{at}' has {count} characters; Bedrock accepts at most {MAX_CHARS}. Split it."
        );
        return Err(Error::invalid(at, text).with_code("context_length_exceeded"));
    }
    Ok(())
}

impl Operation for Rank {
    type Reply = RankReply;
    const NAME: &'static str = "rerank";
    const SIZE_MEMBER: &'static str = "documents";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        ranks(model)?;
        self.check_texts()?;
        let route = match model.options.has_api_key {
            true => Route::Invoke,
            false => Route::Rerank,
        };
        Ok(Plan {
            route,
            // The service takes API keys only on InvokeModel.
            reason: model.options.has_api_key.then_some("bearer"),
            delivery: Delivery::Whole,
            worst: WorstCase {
                queries: self.queries(),
                requests: self.pages(route),
                fees: input_only::most_of_guardrail(self, model, caller),
                ..WorstCase::default()
            },
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, _: &Model) -> u64 {
        let bytes: usize = self.documents.iter().map(String::len).sum();
        ((self.query.len() + bytes) as u64).div_ceil(4)
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    fn cost_advice(&self) -> &'static str {
        "Send fewer or shorter documents, or lower 'top_n'"
    }
}

impl InputOnly for Rank {
    const NOT_APPLIED: &'static str = "bedrock.guardrail: not applied (reranking has only an input; the operator can set its `apply`)";

    fn texts(&self) -> Vec<&str> {
        let documents = self.documents.iter().map(String::as_str);
        std::iter::once(self.query.as_str())
            .chain(documents)
            .collect()
    }

    fn replace_texts(&mut self, texts: Vec<Option<String>>) {
        let own = std::iter::once(&mut self.query).chain(&mut self.documents);
        for (own, text) in own.zip(texts) {
            if let Some(text) = text {
                *own = text;
            }
        }
    }
}

/// Returns the family of the reranking model `model`.
///
/// # Errors
/// 404 if the model does not rank documents.
pub fn ranks(model: &Model) -> Result<RerankFamily, Error> {
    match model.facts.rerank {
        Some(family) => Ok(family),
        None if model.base.is_none() => Err(not_served(
            "This gateway does not know this model, so it cannot use it for reranking. Use a model id of Bedrock, or ask \
             the operator to set base_model.",
        )),
        None => Err(not_served(format!(
            "This model is for {}; it does not rank documents.",
            model.facts.modality.replace('_', " ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_chunks_are_one_query() {
        let rank = |documents: Vec<String>| Rank {
            query: "q".to_owned(),
            documents,
            ..Rank::default()
        };
        for (documents, queries) in [
            (vec!["short".to_owned()], 1),
            (vec!["short".to_owned(); 100], 1),
            (vec!["short".to_owned(); 101], 2),
            (vec!["x".repeat(254); 100], 1),
            (vec!["x".repeat(255); 51], 2),
            (vec!["x".repeat(32_000)], 2),
            (vec!["x".repeat(32_000); 1000], 1260),
        ] {
            assert_eq!(rank(documents).queries(), queries);
        }
    }
}
