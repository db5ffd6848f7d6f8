//! Answers from Knowledge Bases: searching them ([`Retriever`]), choosing among what they found ([`select`]), telling
//! it to the model ([`prompt`]), and finding in its answer where it cites ([`citations`]). The order of these stands in
//! `middleware/retrieve.rs`.

mod bases;
mod bedrock_kb;
pub mod citations;
mod failure;
pub mod filter;
pub mod prompt;
mod select;
mod wire;

use futures_util::future::BoxFuture;

pub use bases::KnowledgeBases;
pub use bedrock_kb::BedrockKnowledgeBases;
pub use select::{Selection, best, select};
pub use wire::model_arn;

use crate::{
    call::{Passage, Search, Trace},
    error::Error,
};

/// The service model's KnowledgeBaseQueryTextString, in characters.
pub const MAX_QUERY: usize = 20_000;

/// Something that finds passages.
pub trait Retriever: Send + Sync + 'static {
    /// Returns all that `search` finds, within its timeout, in any order.
    ///
    /// # Errors
    /// Those that a client may see, if the failure of the retrieval is the request's.
    fn retrieve<'a>(
        &'a self,
        search: &'a Search,
        cx: SearchContext<'a>,
    ) -> BoxFuture<'a, Result<SearchResults, Error>>;
}

/// What a search is made for.
#[derive(Clone, Copy, Debug)]
pub struct SearchContext<'a> {
    /// At most [`MAX_QUERY`] characters.
    pub query: &'a str,
    /// The record of the call; it receives the cost of reranking.
    pub trace: &'a Trace,
}

/// What one search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResults {
    pub passages: Vec<Passage>,
    /// The guardrail of the Knowledge Base intervened: nothing may be answered.
    pub blocked: bool,
}
