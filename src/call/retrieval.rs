//! The results of a call's retrieval.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::RetrievalRequest;
use crate::openai::knowledge_base::Names;

/// The reason if a guardrail blocked the question or the passages.
pub const GUARDRAIL: &str = "guardrail";

/// One result of a Knowledge Base.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passage {
    /// The configured name of the Knowledge Base.
    pub kb: Arc<str>,
    pub text: String,
    /// A data URL.
    pub image: Option<String>,
    /// The document's URI, URL or id; empty if the service does not report one.
    pub source: String,
    pub score: Option<f64>,
    pub metadata: Map<String, Value>,
    /// `location`, as the service reports it.
    pub location: Option<Value>,
}

impl Passage {
    /// A title for people to read: the title in the metadata, or the last segment of the source.
    pub fn title(&self) -> &str {
        let own = ["title", "x-amz-bedrock-kb-title"]
            .iter()
            .find_map(|key| self.metadata.get(*key)?.as_str());
        let file = || {
            self.source
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .filter(|name| !name.is_empty())
        };
        own.or_else(file).unwrap_or(&self.source)
    }
}

/// The outcome of one search.
#[derive(Clone, Debug)]
pub struct SearchReport {
    /// The configured name of the Knowledge Base.
    pub kb: Arc<str>,
    /// The number of results.
    pub found: usize,
    /// The number of results that were dropped for their score.
    pub dropped: usize,
    /// The length of its passages in the prompt, in Unicode code points.
    pub context_chars: usize,
    pub took: Duration,
    /// The error code, if the search failed.
    pub failed: Option<&'static str>,
}

/// The outcome of a call's retrieval.
#[derive(Clone, Debug)]
pub struct Retrieval {
    pub names: Names,
    /// One report for each Knowledge Base; empty if a failed search ended the retrieval.
    pub searches: Vec<SearchReport>,
    /// The passages in the prompt, in the order of their numbers, which start at 1. Images are cleared once they are in
    /// the prompt, and so are texts that the reply does not include.
    pub passages: Vec<Passage>,
    /// Why there are no passages, or why a search failed: a code of a fixed list.
    pub reason: Option<&'static str>,
    /// The length of the passages, in Unicode code points.
    pub context_chars: usize,
    pub took: Duration,
    /// The length of the query, in Unicode code points; 0 for an image.
    pub query_chars: usize,
    /// The reply includes the passages' sources.
    pub include_sources: bool,
    /// The reply includes the passages' texts.
    pub include_passages: bool,
}

impl Retrieval {
    /// The outcome for a request that a guardrail blocked before any search.
    pub fn withheld(request: &RetrievalRequest) -> Self {
        Self {
            names: request.names.clone(),
            searches: Vec::new(),
            passages: Vec::new(),
            reason: Some(GUARDRAIL),
            context_chars: 0,
            took: Duration::ZERO,
            query_chars: 0,
            include_sources: request.include_sources,
            include_passages: false,
        }
    }

    /// The passages, if the reply includes them.
    pub fn shown(&self) -> &[Passage] {
        if self.include_sources {
            &self.passages
        } else {
            &[]
        }
    }

    /// The average score of the passages in the prompt, or `None` if none has a score.
    pub fn average_score(&self) -> Option<f64> {
        let scores: Vec<f64> = self.passages.iter().filter_map(|one| one.score).collect();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let count = scores.len() as f64;
        (count > 0.0).then(|| scores.iter().sum::<f64>() / count)
    }

    /// The number of results of all Knowledge Bases.
    pub fn found(&self) -> usize {
        self.searches.iter().map(|search| search.found).sum()
    }

    /// The number of results that were dropped for their score.
    pub fn dropped(&self) -> usize {
        self.searches.iter().map(|search| search.dropped).sum()
    }

    /// Reports whether there are passages in the prompt.
    pub fn used(&self) -> bool {
        !self.passages.is_empty()
    }
}
