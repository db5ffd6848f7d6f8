//! Knowledge Bases: their configuration, and the retrieval that a call requests.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::Caps;
use crate::{
    model::{Model, RetryPolicy, Target},
    money::{CHUNKS_PER_QUERY, NanoUsd},
    openai::knowledge_base::Names,
};

/// A configured Knowledge Base of Amazon Bedrock.
#[derive(Clone, Debug)]
pub struct KnowledgeBase {
    /// The name that requests use.
    pub name: Arc<str>,
    pub description: Option<String>,
    /// The id or ARN of the Knowledge Base, and its region.
    pub target: Arc<Target>,
    pub kind: KnowledgeBaseKind,
    pub search_type: SearchType,
    /// The number of passages of one search, 1 to 100.
    pub max_results: u32,
    /// Results with a lower score are dropped; 0 to 1.
    pub min_score: f64,
    /// The most Unicode code points of all passages together.
    pub max_context_chars: u32,
    /// The most tokens of all passages together, counted as four bytes each.
    pub max_context_tokens: Option<u32>,
    /// The most images from passages that are sent to a model that takes images.
    pub max_images: u32,
    /// The most that requests may set.
    pub caps: Caps,
    /// An image in the question is the query.
    pub image_query: bool,
    /// The handling of a failed search.
    pub on_error: OnError,
    /// A `RetrievalFilter` that applies to every search. Keys and clients can only narrow it.
    pub filter: Option<Value>,
    /// `implicitFilterConfiguration`, sent unchanged.
    pub implicit_filter: Option<Value>,
    /// Sends `userContext`, so that the service returns only documents that the user may read.
    pub user_context: bool,
    /// The identifier and version of the guardrail that the service applies to the search.
    pub guardrail: Option<(String, String)>,
    pub rerank: Rerank,
    /// The text that is put before the question. `{passages}` is replaced by the passages.
    pub template: Arc<str>,
    /// The model that condenses a conversation into one question.
    pub condense_with: Option<Arc<Model>>,
    /// The time limit of a search, including retries.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

impl KnowledgeBase {
    /// Creates a Knowledge Base with the default settings. The context limit holds five passages of Bedrock's default
    /// chunk size.
    pub fn new(name: impl Into<Arc<str>>, target: Target, template: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            description: None,
            target: Arc::new(target),
            kind: KnowledgeBaseKind::Vector,
            search_type: SearchType::Hybrid,
            max_results: 5,
            min_score: 0.0,
            max_context_chars: 8000,
            max_context_tokens: None,
            max_images: 2,
            caps: Caps::default(),
            image_query: false,
            on_error: OnError::AnswerWithout,
            filter: None,
            implicit_filter: None,
            user_context: false,
            guardrail: None,
            rerank: Rerank::Default,
            template: template.into(),
            condense_with: None,
            timeout: Duration::from_secs(10),
            retry: RetryPolicy::default(),
        }
    }

    /// The `model` label in metrics about calls to AWS.
    pub fn label(&self) -> String {
        format!("kb:{}", self.name)
    }
}

/// The storage of a Knowledge Base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnowledgeBaseKind {
    /// A vector store in the account.
    Vector,
    /// An index that the service manages.
    Managed,
}

impl KnowledgeBaseKind {
    /// The configured names.
    pub const ALL: [(&'static str, Self); 2] =
        [("vector", Self::Vector), ("managed", Self::Managed)];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, own)| *own == self)
            .map_or("vector", |(name, _)| name)
    }
}

/// The service's `SearchType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SearchType {
    Hybrid,
    Semantic,
    /// No type is sent: the service decides.
    Auto,
}

impl SearchType {
    /// The names in the configuration and in requests.
    pub const ALL: [(&'static str, Self); 3] = [
        ("hybrid", Self::Hybrid),
        ("semantic", Self::Semantic),
        ("auto", Self::Auto),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, own)| *own == self)
            .map_or("auto", |(name, _)| name)
    }
}

/// The handling of a failed search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The request fails.
    Fail,
    /// The model answers without these passages, and the reply carries a warning.
    AnswerWithout,
}

impl OnError {
    /// The names in the configuration and in requests.
    pub const ALL: [(&'static str, Self); 2] = [
        ("fail", Self::Fail),
        ("answer_without", Self::AnswerWithout),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, own)| *own == self)
            .map_or("fail", |(name, _)| name)
    }
}

/// The reranking of the results of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rerank {
    /// Nothing is sent: the Knowledge Base reranks as it does by default.
    #[default]
    Default,
    /// No reranking, even if a managed Knowledge Base reranks by default.
    Never,
    /// The service's own model; managed Knowledge Bases only.
    Managed,
    /// A reranking model on Bedrock, which is billed per query.
    Model(RerankModel),
}

/// A reranking model and its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankModel {
    /// A Bedrock model id.
    pub id: String,
    /// The number of results to rerank, 1 to 100. If `None`, as many as the search returns.
    pub candidates: Option<u32>,
    /// `metadataConfiguration`, sent unchanged.
    pub metadata: Option<Value>,
    /// `additionalModelRequestFields`, sent unchanged.
    pub fields: Option<Map<String, Value>>,
    /// The price of one query, if known.
    pub price: Option<NanoUsd>,
}

/// The most tokens of one billed document, including the query's. A longer document is billed as several. Source: the pricing
/// page of Amazon Bedrock, Rerank models, 2026-11.
const DOCUMENT_TOKENS: u64 = 512;

/// The largest chunk that a Knowledge Base makes, in tokens.
const LONGEST_PASSAGE: u64 = 8192;

impl RerankModel {
    /// The cost of reranking `candidates` documents of `tokens` tokens each, including the query's. `None` if the price
    /// is unknown.
    fn fee(&self, candidates: u32, tokens: u64) -> Option<NanoUsd> {
        let documents = u64::from(candidates) * tokens.max(1).div_ceil(DOCUMENT_TOKENS);
        let queries = documents.div_ceil(CHUNKS_PER_QUERY).max(1);
        self.price
            .map(|price| NanoUsd(price.0.saturating_mul(queries)))
    }
}

/// The retrieval that a call requests.
#[derive(Clone, Debug)]
pub struct RetrievalRequest {
    /// The Knowledge Bases, as the client named them.
    pub names: Names,
    /// One search for each Knowledge Base; never empty.
    pub searches: Vec<Search>,
    /// The query. If `None`, the last user message.
    pub query: Option<String>,
    /// The most Unicode code points of the query.
    pub query_chars: usize,
    /// The most Unicode code points of all passages together.
    pub max_context_chars: u32,
    /// The most tokens of all passages together, counted as four bytes each.
    pub max_context_tokens: Option<u32>,
    pub max_images: u32,
    /// The reply includes the passages' sources.
    pub include_sources: bool,
    /// The reply includes the passages' texts.
    pub include_passages: bool,
}

/// A search of one Knowledge Base, with the settings of the operator and the client combined.
#[derive(Clone, Debug)]
pub struct Search {
    pub base: Arc<KnowledgeBase>,
    pub max_results: u32,
    pub min_score: f64,
    pub search_type: SearchType,
    /// The `RetrievalFilter` of the operator, the key and the client, AND-ed.
    pub filter: Option<Value>,
    /// The client sent a part of `filter`.
    pub own_filter: bool,
    /// The client sent everything in the search that the service can reject, so the service's message may be shown.
    pub only_own: bool,
    /// `userContext.userId`
    pub user_id: Option<String>,
    pub rerank: Rerank,
    pub on_error: OnError,
}

/// The service model's limit of `numberOfResults`.
pub const MAX_RESULTS: u32 = 100;

/// The upper limit of `max_context_chars` and `max_context_tokens`: more than any model's context window.
pub const MAX_CONTEXT: u32 = 4_000_000;

/// The most pages that one search requests.
pub const MAX_PAGES: u32 = 5;

/// The most bytes that a passage's tags and number take in the prompt.
pub const PASSAGE_BYTES: u64 = 128;

/// The most bytes that a passage's source takes in the prompt.
pub const SOURCE_BYTES: usize = 256;

impl Search {
    /// The `numberOfResults` to request: more than `max_results` if a reranking model chooses among them.
    pub fn candidates(&self) -> u32 {
        match &self.rerank {
            Rerank::Model(model) => model.candidates.unwrap_or(0).max(self.max_results),
            _ => self.max_results,
        }
    }

    /// Estimates the cost of reranking for one request whose documents have `tokens` tokens each, including the query's.
    /// `None` if the price is unknown. An estimate, because the service does not report the billed queries.
    pub fn fee(&self, tokens: u64) -> Option<NanoUsd> {
        match &self.rerank {
            Rerank::Model(model) => model.fee(self.candidates(), tokens),
            _ => Some(NanoUsd::default()),
        }
    }

    /// The most that reranking can cost for one request. `query_chars` is the length of the query in Unicode code
    /// points: a code point is at most one token.
    pub fn max_fee(&self, query_chars: usize) -> Option<NanoUsd> {
        self.fee(query_chars as u64 + LONGEST_PASSAGE)
    }

    /// The most that reranking can cost for all requests of the search. `None` if the price is unknown.
    pub fn max_fees(&self, query_chars: usize) -> Option<NanoUsd> {
        // Every page is retried on its own, and every attempt can be billed.
        let requests = u64::from(self.base.retry.attempts.max(1)) * u64::from(MAX_PAGES);
        self.max_fee(query_chars)
            .map(|fee| NanoUsd(fee.0.saturating_mul(requests)))
    }
}

impl RetrievalRequest {
    /// The most bytes that passages and instruction add to the prompt.
    pub fn max_bytes(&self) -> u64 {
        // A code point has at most four bytes, and so does its escaped form.
        let by_chars = 4 * u64::from(self.max_context_chars);
        let by_tokens = self
            .max_context_tokens
            .map_or(u64::MAX, |tokens| 4 * u64::from(tokens));
        let passages: u64 = self
            .searches
            .iter()
            .map(|search| u64::from(search.max_results))
            .sum();
        let template = self.template().len() as u64;
        by_chars.min(by_tokens)
            + passages * (PASSAGE_BYTES + SOURCE_BYTES as u64)
            + template
            + 2 * PASSAGE_BYTES
    }

    /// Estimates the bytes that passages and instruction add to the prompt, at one byte per character.
    pub fn likely_bytes(&self) -> u64 {
        self.max_bytes()
            .min(u64::from(self.max_context_chars) + self.template().len() as u64)
    }

    /// The most that reranking can cost. `None` if a price is unknown.
    pub fn max_fees(&self) -> Option<NanoUsd> {
        self.searches
            .iter()
            .map(|search| search.max_fees(self.query_chars))
            .sum()
    }

    /// The template of the first Knowledge Base.
    pub fn template(&self) -> &str {
        self.searches
            .first()
            .map_or("", |search| &search.base.template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_fees_cover_every_attempt_for_every_page() {
        let base = KnowledgeBase::new("docs", Target::new("LINTELDOCS", "us-east-1"), "");
        let search = Search {
            max_results: base.max_results,
            min_score: base.min_score,
            search_type: base.search_type,
            filter: None,
            own_filter: false,
            only_own: false,
            user_id: None,
            rerank: Rerank::Model(RerankModel {
                price: Some(NanoUsd(7)),
                ..RerankModel::default()
            }),
            on_error: base.on_error,
            base: Arc::new(base),
        };
        assert_eq!(search.base.retry.attempts, 3);
        assert_eq!(search.max_fee(0), Some(NanoUsd(7)), "one query");
        assert_eq!(search.max_fees(0), Some(NanoUsd(7 * 3 * 5)));
    }
}
