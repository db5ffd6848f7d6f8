//! Knowledge Bases: what operators configure, and what a call asks of them.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::openai::knowledge_base::Names;
use crate::{
    model::{Model, RetryPolicy, Target},
    money::NanoUsd,
};

/// A Knowledge Base of Amazon Bedrock, by the name that requests use.
#[derive(Clone, Debug)]
pub struct KnowledgeBase {
    pub name: Arc<str>,
    pub description: Option<String>,
    /// Its id or ARN, and its region.
    pub target: Arc<Target>,
    pub kind: KnowledgeBaseKind,
    pub search_type: SearchType,
    /// From 1 to 100.
    pub max_results: u32,
    /// From 0 to 1: what scores less is left out.
    pub min_score: f64,
    /// Unicode code points of all passages together.
    pub max_context_chars: u32,
    /// The same in tokens, four bytes each.
    pub max_context_tokens: Option<u32>,
    /// Images among the passages that go to a model which sees them.
    pub max_images: u32,
    /// What becomes of a request whose retrieval fails.
    pub on_error: OnError,
    /// In Bedrock's form; nobody can widen it.
    pub filter: Option<Value>,
    /// `implicitFilterConfiguration`, as the service takes it.
    pub implicit_filter: Option<Value>,
    /// The service is told who asks, and leaves out what that user may not see.
    pub user_context: bool,
    /// Identifier and version.
    pub guardrail: Option<(String, String)>,
    pub rerank: Rerank,
    /// What goes before the question; `{passages}` stands for the passages.
    pub template: Arc<str>,
    /// Makes one question of a conversation.
    pub condense_with: Option<Arc<Model>>,
    /// For all of a retrieval.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

impl KnowledgeBase {
    /// With what holds where operators say nothing: five passages of the length that Bedrock cuts documents into.
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
            on_error: OnError::AnswerWithout,
            filter: None,
            implicit_filter: None,
            user_context: false,
            guardrail: None,
            rerank: Rerank::Unsaid,
            template: template.into(),
            condense_with: None,
            timeout: Duration::from_secs(10),
            retry: RetryPolicy::default(),
        }
    }

    /// Its `model` label in metrics about calls to AWS.
    pub fn label(&self) -> String {
        format!("kb:{}", self.name)
    }
}

/// What the service searches in: an index of the account's own, or one that it runs itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnowledgeBaseKind {
    Vector,
    Managed,
}

impl KnowledgeBaseKind {
    pub const ALL: [(&'static str, Self); 2] =
        [("vector", Self::Vector), ("managed", Self::Managed)];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, own)| *own == self)
            .map_or("vector", |(name, _)| name)
    }
}

/// How an index is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SearchType {
    Hybrid,
    Semantic,
    /// The service decides.
    Auto,
}

impl SearchType {
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

/// What becomes of a request whose retrieval fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Fail,
    /// The model answers alone, and the reply says so.
    AnswerWithout,
}

impl OnError {
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

/// Whether the service orders what it has found once more.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rerank {
    /// As the Knowledge Base does it by itself.
    #[default]
    Unsaid,
    /// Not at all, also where a managed Knowledge Base would.
    Never,
    /// By the service's own model; managed Knowledge Bases only.
    Managed,
    Model(RerankModel),
}

/// A reranking model, and what it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankModel {
    /// A Bedrock model id.
    pub id: String,
    /// Results that it chooses from, 1 to 100; none: as many as are asked for.
    pub candidates: Option<u32>,
    /// `metadataConfiguration`, as the service takes it.
    pub metadata: Option<Value>,
    pub fields: Option<Map<String, Value>>,
    /// For one query; none where it is not known.
    pub price: Option<NanoUsd>,
}

/// What AWS calls a query has so many documents at most, each of so many tokens with the question; a longer document is
/// several. Source: the pricing page of Amazon Bedrock, Rerank models, 2026-11.
const QUERY_DOCUMENTS: u64 = 100;
const DOCUMENT_TOKENS: u64 = 512;

/// The longest passage that a Knowledge Base cuts documents into, in tokens.
const LONGEST_PASSAGE: u64 = 8192;

impl RerankModel {
    /// What reranking `candidates` costs, each of so many `tokens` with the question; none where its price is not known.
    fn fee(&self, candidates: u32, tokens: u64) -> Option<NanoUsd> {
        let documents = u64::from(candidates) * tokens.max(1).div_ceil(DOCUMENT_TOKENS);
        let queries = documents.div_ceil(QUERY_DOCUMENTS).max(1);
        self.price
            .map(|price| NanoUsd(price.0.saturating_mul(queries)))
    }
}

/// What a call asks of Knowledge Bases.
#[derive(Clone, Debug)]
pub struct RetrievalRequest {
    /// As the client named them.
    pub names: Names,
    /// One for each of them; never empty.
    pub searches: Vec<Search>,
    /// Instead of the last user message.
    pub query: Option<String>,
    /// Unicode code points of what is looked for, at most.
    pub query_chars: usize,
    /// Unicode code points, and tokens of four bytes, of all passages together.
    pub max_context_chars: u32,
    pub max_context_tokens: Option<u32>,
    pub max_images: u32,
    pub include_sources: bool,
}

/// One Knowledge Base, searched as the operator and the client say together.
#[derive(Clone, Debug)]
pub struct Search {
    pub base: Arc<KnowledgeBase>,
    pub max_results: u32,
    pub min_score: f64,
    pub search_type: SearchType,
    /// All filters together, in Bedrock's form.
    pub filter: Option<Value>,
    /// The client has sent one of them.
    pub own_filter: bool,
    /// Nothing but the client's own words went along that the service could refuse.
    pub only_own: bool,
    /// `userContext.userId`
    pub user_id: Option<String>,
    pub rerank: Rerank,
    pub on_error: OnError,
}

/// The service model's bound of `numberOfResults`.
pub const MAX_RESULTS: u32 = 100;

/// Unicode code points, or tokens, that nobody needs: more than any model's context.
pub const MAX_CONTEXT: u32 = 4_000_000;

/// Pages of one search that are asked for at most.
pub const MAX_PAGES: u32 = 5;

/// Bytes of a passage's tags and number in the prompt, at most.
pub const PASSAGE_BYTES: u64 = 128;

/// Bytes of a passage's source in the prompt, at most.
pub const SOURCE_BYTES: usize = 256;

impl Search {
    /// Results that the service is asked for: more than are wanted where it chooses among them.
    pub fn candidates(&self) -> u32 {
        match &self.rerank {
            Rerank::Model(model) => model.candidates.unwrap_or(0).max(self.max_results),
            _ => self.max_results,
        }
    }

    /// What reranking of one request costs, each of whose documents has so many tokens with the question. None where its
    /// price is not known. The service does not say how it has counted.
    pub fn fee(&self, tokens: u64) -> Option<NanoUsd> {
        match &self.rerank {
            Rerank::Model(model) => model.fee(self.candidates(), tokens),
            _ => Some(NanoUsd::default()),
        }
    }

    /// What reranking of one request costs at most, for a question of so many code points: none of them is more than a
    /// token.
    pub fn most_fee(&self, question: usize) -> Option<NanoUsd> {
        self.fee(question as u64 + LONGEST_PASSAGE)
    }

    /// The same for all requests of the search.
    pub fn most_fees(&self, question: usize) -> Option<NanoUsd> {
        let requests = u64::from(self.base.retry.attempts.max(1) - 1 + MAX_PAGES);
        self.most_fee(question)
            .map(|fee| NanoUsd(fee.0.saturating_mul(requests)))
    }
}

impl RetrievalRequest {
    /// The most bytes that passages and instruction add to the prompt.
    pub fn most_bytes(&self) -> u64 {
        // A code point has four bytes at most, and what is escaped becomes as many.
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

    /// About as many bytes as they really add: most text has one a character.
    pub fn likely_bytes(&self) -> u64 {
        self.most_bytes()
            .min(u64::from(self.max_context_chars) + self.template().len() as u64)
    }

    /// What reranking may cost at most; none where the price of some is not known.
    pub fn most_fees(&self) -> Option<NanoUsd> {
        self.searches
            .iter()
            .map(|search| search.most_fees(self.query_chars))
            .sum()
    }

    /// The first knowledge base's.
    pub fn template(&self) -> &str {
        self.searches
            .first()
            .map_or("", |search| &search.base.template)
    }
}
