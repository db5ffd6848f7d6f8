//! Answers from Knowledge Bases: searches ([`Retriever`]), the choice of passages ([`select`](mod@select)), the prompt
//! ([`prompt`]), and citations in the answer ([`citations`]). `middleware/retrieve.rs` runs them in this order.

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

use prompt::QueryImage;

use crate::{
    call::{Passage, Search, Trace},
    error::Error,
};

/// The longest query that the service model allows (`KnowledgeBaseQueryTextString`), in characters.
pub const MAX_QUERY: usize = 20_000;

/// A source of passages.
pub trait Retriever: Send + Sync + 'static {
    /// Returns the results of `search`, in any order, within its timeout.
    ///
    /// # Errors
    /// An error that the client may see if the failed search fails the request.
    fn retrieve<'a>(
        &'a self,
        search: &'a Search,
        cx: SearchContext<'a>,
    ) -> BoxFuture<'a, Result<SearchResults, Error>>;
}

/// The query of a search, and the record of its call.
#[derive(Clone, Copy, Debug)]
pub struct SearchContext<'a> {
    /// At most [`MAX_QUERY`] characters.
    pub query: &'a str,
    /// Replaces `query`.
    pub image: Option<&'a QueryImage<'a>>,
    /// Receives the cost of reranking, and warnings.
    pub trace: &'a Trace,
}

/// The results of one search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResults {
    pub passages: Vec<Passage>,
    /// The guardrail of the Knowledge Base intervened: the request must not be answered.
    pub blocked: bool,
}
