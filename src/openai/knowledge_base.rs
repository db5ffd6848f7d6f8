//! Retrieval from Knowledge Bases: the `kb` member of a request, the options of OpenAI's equivalent tool `file_search`, the
//! `kb` object of a reply, and `GET /v1/knowledge_bases`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, value::RawValue};

use super::capped;

/// The `type` of OpenAI's tool that searches documents. The gateway searches before it calls the model.
pub const FILE_SEARCH: &str = "file_search";

/// Maximum number of Knowledge Bases of a request. Each costs one search.
pub const MAX_BASES: usize = 10;

/// `kb`: a name, a list of names, or an object.
#[derive(Clone, Debug)]
pub struct Kb(pub KbOptions);

/// The options of `kb`. Options that are absent default to the configuration of the Knowledge Base. Unknown members are
/// rejected, because a misspelled filter must not be ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KbOptions {
    pub name: Names,
    #[serde(default)]
    pub max_results: Option<u32>,
    /// From 0 to 1.
    #[serde(default)]
    pub min_score: Option<f64>,
    /// The maximum length of all passages together, in Unicode code points.
    #[serde(default)]
    pub max_context_chars: Option<u32>,
    #[serde(default)]
    pub max_context_tokens: Option<u32>,
    /// `hybrid`, `semantic` or `auto`.
    #[serde(default)]
    pub search: Option<String>,
    /// A filter in the format of Bedrock (`{"equals": …}`) or of OpenAI (`{"type": "eq", …}`).
    #[serde(default)]
    pub filter: Option<Box<RawValue>>,
    #[serde(default)]
    pub include_sources: Option<bool>,
    /// The reply includes the texts of the passages.
    #[serde(default)]
    pub include_passages: Option<bool>,
    /// The query. Defaults to the last user message.
    #[serde(default)]
    pub query: Option<String>,
    /// The ID of a reranking model, or `none`.
    #[serde(default)]
    pub rerank: Option<String>,
    /// `fail` or `answer_without`.
    #[serde(default)]
    pub on_error: Option<String>,
}

/// One name or a list of names. The reply has the form of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Many(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Names {
    /// Returns the names as a slice.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a knowledge base, or a list of names")
    }

    fn visit_str<E>(self, name: &str) -> Result<Names, E> {
        Ok(Names::One(name.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Names, A::Error> {
        capped::items(items, MAX_BASES).map(Names::Many)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

// Written by hand, because the errors of an untagged enum do not name the invalid member.
impl<'de> Deserialize<'de> for Kb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Kb;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the name of a knowledge base, a list of names, or an object with 'name'",
                )
            }

            fn visit_str<E>(self, name: &str) -> Result<Kb, E> {
                Ok(named(Names::One(name.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Kb, A::Error> {
                NamesVisitor.visit_seq(items).map(named)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Kb, A::Error> {
                KbOptions::deserialize(MapAccessDeserializer::new(map)).map(Kb)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn named(name: Names) -> Kb {
    Kb(KbOptions {
        name,
        ..KbOptions::default()
    })
}

/// `ranking_options` of the `file_search` tool.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RankingOptions {
    #[serde(default)]
    pub score_threshold: Option<f64>,
    #[serde(default)]
    pub ranker: Option<String>,
    #[serde(default)]
    pub hybrid_search: Option<Box<RawValue>>,
}

/// The `kb` object of a reply, which describes the retrieval.
#[derive(Debug, Serialize)]
pub struct KbReply<'a> {
    pub name: &'a Names,
    /// True if passages were added to the prompt. Otherwise `reason` says why not.
    pub used: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<Vec<PassageObject<'a>>>,
    /// The length of the passages in the prompt, in Unicode code points.
    pub context_chars: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// A passage in the prompt.
#[derive(Debug, Serialize)]
pub struct PassageObject<'a> {
    /// The number by which the answer cites the passage, as `[1]`; counts from 1.
    pub index: usize,
    pub kb: &'a str,
    pub source: &'a str,
    /// The text in the prompt, if the request has `include_passages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    pub score: Option<f64>,
    pub metadata: &'a Map<String, Value>,
    /// The location as Bedrock returns it: `type`, and one member for that type.
    pub location: Option<&'a Value>,
}

/// The reply of `GET /v1/knowledge_bases`.
#[derive(Debug, Serialize)]
pub struct KnowledgeBaseList<'a> {
    pub object: &'static str,
    pub data: Vec<KnowledgeBaseObject<'a>>,
}

/// A Knowledge Base that the key may search, with the defaults of its options.
#[derive(Debug, Serialize)]
pub struct KnowledgeBaseObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Absent for managed Knowledge Bases, which do not let clients choose a search type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<&'static str>,
    pub max_results: u32,
    pub min_score: f64,
    pub max_context_chars: u32,
    pub on_error: &'static str,
}
