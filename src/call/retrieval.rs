//! What Knowledge Bases have found for a call.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::openai::knowledge_base::Names;

/// One result of a Knowledge Base.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passage {
    /// The configured name of the Knowledge Base.
    pub kb: Arc<str>,
    pub text: String,
    /// A data URL.
    pub image: Option<String>,
    /// Where it comes from: a URI, a URL, an id; empty where the service does not say.
    pub source: String,
    pub score: Option<f64>,
    pub metadata: Map<String, Value>,
    /// As the service tells it.
    pub location: Option<Value>,
}

impl Passage {
    /// A name for people: that of the metadata, or the last part of the source.
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

/// One search of a retrieval.
#[derive(Clone, Debug)]
pub struct SearchReport {
    /// The configured name of the Knowledge Base.
    pub kb: Arc<str>,
    pub found: usize,
    /// Results whose score was too low.
    pub dropped: usize,
    /// Unicode code points of its passages that the model was given.
    pub context_chars: usize,
    pub took: Duration,
    /// The code of its failure.
    pub failed: Option<&'static str>,
}

/// What was found, and what of it the model was given.
#[derive(Clone, Debug)]
pub struct Retrieval {
    pub names: Names,
    /// One for each Knowledge Base; none where a failure has ended them all.
    pub searches: Vec<SearchReport>,
    /// What the model was given, in the order of its numbers, from 1; without text and images, which are in its prompt.
    pub passages: Vec<Passage>,
    /// Why there are none, or why not all Knowledge Bases have answered: one of a fixed list.
    pub reason: Option<&'static str>,
    /// Unicode code points of the passages.
    pub context_chars: usize,
    pub took: Duration,
    /// The client wants to see the passages.
    pub include_sources: bool,
}

impl Retrieval {
    /// The passages, if the client wants to see them.
    pub fn shown(&self) -> &[Passage] {
        if self.include_sources {
            &self.passages
        } else {
            &[]
        }
    }

    /// Results of all Knowledge Bases.
    pub fn found(&self) -> usize {
        self.searches.iter().map(|search| search.found).sum()
    }

    /// Those whose score was too low.
    pub fn dropped(&self) -> usize {
        self.searches.iter().map(|search| search.dropped).sum()
    }

    /// Does the answer come from passages?
    pub fn used(&self) -> bool {
        !self.passages.is_empty()
    }
}
