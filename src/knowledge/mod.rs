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
pub use select::{Selected, best, select};
pub use wire::model_arn;

use crate::{
    call::{Notes, Passage, Search, Spending},
    error::Error,
};

/// The service model's KnowledgeBaseQueryTextString, in characters.
pub const MAX_QUERY: usize = 20_000;

/// Something that finds passages.
pub trait Retriever: Send + Sync + 'static {
    /// All that `search` finds, within its time-out, best first or not.
    ///
    /// # Errors
    /// Those that a client may see, where the retrieval's failure is the request's.
    fn retrieve<'a>(
        &'a self,
        search: &'a Search,
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Found, Error>>;
}

/// For whom something is searched.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// At most [`MAX_QUERY`] characters.
    pub query: &'a str,
    pub notes: &'a Notes,
    /// Learns what reranking costs.
    pub spending: &'a Spending,
}

/// What one search has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub passages: Vec<Passage>,
    /// The guardrail of the Knowledge Base has intervened: nothing may be answered.
    pub blocked: bool,
}
