//! Answers from Knowledge Bases: the `kb` member of a request, the `file_search` tool that says the same in OpenAI's
//! words, the `kb` object of a reply, and the list of what a key may use.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, value::RawValue};

/// The `type` of OpenAI's tool for a search in documents. The gateway makes it before the model is asked.
pub const FILE_SEARCH: &str = "file_search";

/// `kb`: a name, several, or an object.
#[derive(Clone, Debug)]
pub struct Kb(pub KbOptions);

/// What is not set is as the operator configured it. A misspelled member is an error: it may have been a filter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KbOptions {
    pub name: Names,
    #[serde(default)]
    pub max_results: Option<u32>,
    /// From 0 to 1.
    #[serde(default)]
    pub min_score: Option<f64>,
    /// Unicode code points of all passages together.
    #[serde(default)]
    pub max_context_chars: Option<u32>,
    #[serde(default)]
    pub max_context_tokens: Option<u32>,
    /// `hybrid`, `semantic` or `auto`.
    #[serde(default)]
    pub search: Option<String>,
    /// In Bedrock's form (`{"equals": …}`) or OpenAI's (`{"type": "eq", …}`).
    #[serde(default)]
    pub filter: Option<Box<RawValue>>,
    #[serde(default)]
    pub include_sources: Option<bool>,
    /// What to look for, instead of the last user message.
    #[serde(default)]
    pub query: Option<String>,
    /// The id of a reranking model, or `none`.
    #[serde(default)]
    pub rerank: Option<String>,
    /// `fail` or `answer_without`.
    #[serde(default)]
    pub on_error: Option<String>,
}

/// One name, or a list of them; the reply says it the same way.
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        Ok(Names::Many(names))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

// Written by hand: an untagged enum would not tell which member of the object is wrong.
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

/// The `kb` object of a reply: where the answer comes from.
#[derive(Debug, Serialize)]
pub struct KbReply<'a> {
    pub name: &'a Names,
    /// False: the model answered alone, or not at all; `reason` says why.
    pub used: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<Vec<PassageObject<'a>>>,
    /// Unicode code points of the passages that the model was given.
    pub context_chars: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// One passage that the model was given.
#[derive(Debug, Serialize)]
pub struct PassageObject<'a> {
    /// The `n` of `[n]` in the answer, from 1.
    pub index: usize,
    pub kb: &'a str,
    pub source: &'a str,
    pub score: Option<f64>,
    pub metadata: &'a Map<String, Value>,
    /// As Bedrock tells it: `type`, and one member of that kind.
    pub location: Option<&'a Value>,
}

/// `GET /v1/knowledge_bases`
#[derive(Debug, Serialize)]
pub struct KnowledgeBaseList<'a> {
    pub object: &'static str,
    pub data: Vec<KnowledgeBaseObject<'a>>,
}

/// A knowledge base that the key may use, and what it does where a request says nothing else.
#[derive(Debug, Serialize)]
pub struct KnowledgeBaseObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// None where the service has no choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<&'static str>,
    pub max_results: u32,
    pub min_score: f64,
    pub max_context_chars: u32,
    pub on_error: &'static str,
}
