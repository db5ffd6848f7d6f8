//! The wire format of Retrieve, from the service model `bedrock-agent-runtime`: encodes requests, and converts results
//! to passages.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{SearchContext, prompt::QueryImage};
use crate::call::{KnowledgeBaseKind, Passage, Rerank, RerankModel, Search, SearchType};

/// The request body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetrieveRequest<'a> {
    pub retrieval_query: Query<'a>,
    pub retrieval_configuration: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `retrievalQuery`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Query<'a> {
    Text {
        text: &'a str,
    },
    Image {
        /// `IMAGE`.
        r#type: &'static str,
        image: InputImage<'a>,
    },
}

/// An image as a query.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputImage<'a> {
    pub format: &'a str,
    /// Base64.
    pub inline_content: &'a str,
}

impl<'a> Query<'a> {
    /// Returns the query of a search.
    pub fn of(cx: SearchContext<'a>) -> Self {
        match cx.image {
            None => Self::Text { text: cx.query },
            Some(QueryImage { format, data }) => Self::Image {
                r#type: "IMAGE",
                image: InputImage {
                    format,
                    inline_content: data,
                },
            },
        }
    }
}

/// Returns the request for `search`. `with_type` sends `overrideSearchType`, which not every vector store supports.
pub fn request<'a>(search: &Search, cx: SearchContext<'a>, with_type: bool) -> RetrieveRequest<'a> {
    let base = &search.base;
    RetrieveRequest {
        retrieval_query: Query::of(cx),
        retrieval_configuration: match base.kind {
            KnowledgeBaseKind::Vector => {
                json!({"vectorSearchConfiguration": vector(search, with_type)})
            }
            KnowledgeBaseKind::Managed => json!({"managedSearchConfiguration": managed(search)}),
        },
        guardrail_configuration: base
            .guardrail
            .as_ref()
            .map(|(id, version)| json!({"guardrailId": id, "guardrailVersion": version})),
        user_context: search.user_id.as_ref().map(|id| json!({"userId": id})),
        next_token: None,
    }
}

fn vector(search: &Search, with_type: bool) -> Value {
    let mut configuration = common(search);
    match search.search_type {
        SearchType::Hybrid if with_type => configuration["overrideSearchType"] = "HYBRID".into(),
        SearchType::Semantic if with_type => {
            configuration["overrideSearchType"] = "SEMANTIC".into()
        }
        _ => {}
    }
    if let Some(implicit) = &search.base.implicit_filter {
        configuration["implicitFilterConfiguration"] = implicit.clone();
    }
    if let Rerank::Model(model) = &search.rerank {
        configuration["rerankingConfiguration"] = reranking(model, search);
    }
    configuration
}

fn managed(search: &Search) -> Value {
    let mut configuration = common(search);
    match &search.rerank {
        Rerank::Default => {}
        Rerank::Never => configuration["rerankingModelType"] = "NONE".into(),
        Rerank::Managed => configuration["rerankingModelType"] = "MANAGED".into(),
        Rerank::Model(model) => {
            configuration["rerankingModelType"] = "CUSTOM".into();
            configuration["rerankingConfiguration"] = reranking(model, search);
        }
    }
    configuration
}

fn common(search: &Search) -> Value {
    let mut configuration = json!({"numberOfResults": search.candidates()});
    if let Some(filter) = &search.filter {
        configuration["filter"] = filter.clone();
    }
    configuration
}

fn reranking(model: &RerankModel, search: &Search) -> Value {
    let mut configuration = json!({
        "modelConfiguration": {"modelArn": search.base.target.model_arn(&model.id)},
        "numberOfRerankedResults": search.max_results,
    });
    if let Some(fields) = &model.fields {
        configuration["modelConfiguration"]["additionalModelRequestFields"] =
            Value::Object(fields.clone());
    }
    if let Some(metadata) = &model.metadata {
        configuration["metadataConfiguration"] = metadata.clone();
    }
    json!({"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": configuration})
}

/// The most results of one reply that are read: the service model's limit of `numberOfResults`.
const MAX_RESULTS: usize = 100;

/// The most bytes of a result's metadata or location. Longer ones are dropped.
const MAX_JSON: usize = 16 * 1024;

/// The most bytes of a source. Longer ones are truncated.
const MAX_SOURCE: usize = 2048;

/// The response body. Results are parsed one by one, so that one in an unknown form does not affect the others.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetrieveReply {
    #[serde(deserialize_with = "first_results")]
    pub retrieval_results: Vec<Box<RawValue>>,
    #[serde(default)]
    pub next_token: Option<String>,
    #[serde(default)]
    pub guardrail_action: Option<String>,
}

/// Deserializes the first [`MAX_RESULTS`] results and skips the rest.
fn first_results<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Box<RawValue>>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Vec<Box<RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of results")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut first = Vec::new();
            while first.len() < MAX_RESULTS {
                match items.next_element()? {
                    Some(item) => first.push(item),
                    None => return Ok(first),
                }
            }
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    deserializer.deserialize_seq(First)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RetrievalResult {
    content: Option<Content>,
    location: Option<Box<RawValue>>,
    metadata: Option<Box<RawValue>>,
    score: Option<f64>,
    document_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    text: Option<String>,
    /// A data URI.
    byte_content: Option<String>,
    row: Option<Vec<Column>>,
    audio: Option<AudioSegment>,
    video: Option<VideoSegment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Column {
    column_name: Option<String>,
    column_value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AudioSegment {
    s3_uri: Option<String>,
    transcription: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VideoSegment {
    s3_uri: Option<String>,
    summary: Option<String>,
}

/// The member of `location` that identifies the document, for each type of location.
const LOCATIONS: [(&str, &str); 10] = [
    ("s3Location", "uri"),
    ("webLocation", "url"),
    ("confluenceLocation", "url"),
    ("salesforceLocation", "url"),
    ("sharePointLocation", "url"),
    ("customDocumentLocation", "id"),
    ("kendraDocumentLocation", "uri"),
    ("sqlLocation", "query"),
    ("oneDriveLocation", "url"),
    ("googleDriveLocation", "url"),
];

/// The metadata attribute in which the service reports the document's URI.
const SOURCE_URI: &str = "x-amz-bedrock-kb-source-uri";

/// Converts a result to a passage. `None` if it contains neither text nor an image.
pub fn passage(result: &RawValue, kb: &Arc<str>) -> Option<Passage> {
    let result: RetrievalResult = serde_json::from_str(result.get()).ok()?;
    let content = result.content.unwrap_or_default();
    let metadata: Map<String, Value> = small(result.metadata).unwrap_or_default();
    let location: Option<Value> =
        small(result.location).filter(|location: &Value| !location.is_null());
    let segment = content
        .audio
        .as_ref()
        .and_then(|audio| audio.s3_uri.clone());
    let segment = segment.or_else(|| {
        content
            .video
            .as_ref()
            .and_then(|video| video.s3_uri.clone())
    });
    let source = location.as_ref().and_then(|location| {
        LOCATIONS
            .iter()
            .find_map(|(kind, member)| location.get(kind)?.get(member)?.as_str().map(str::to_owned))
    });
    let mut source = source
        .or_else(|| {
            metadata
                .get(SOURCE_URI)
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .or(segment)
        .or(result.document_id)
        .unwrap_or_default();
    source.truncate(source.floor_char_boundary(MAX_SOURCE));
    let image = content
        .byte_content
        .clone()
        .filter(|data| data.starts_with("data:image/"));
    let text = text(content).unwrap_or_default();
    (image.is_some() || !text.trim().is_empty()).then(|| Passage {
        kb: kb.clone(),
        text,
        image,
        source,
        score: result.score.filter(|score| score.is_finite()),
        metadata,
        location,
    })
}

/// Parses metadata or a location. `None` if it is too long or in another form.
fn small<T: DeserializeOwned>(json: Option<Box<RawValue>>) -> Option<T> {
    json.filter(|json| json.get().len() <= MAX_JSON)
        .and_then(|json| serde_json::from_str(json.get()).ok())
}

/// Returns the text of a result: its passage, row, transcription or summary.
fn text(content: Content) -> Option<String> {
    let row = content.row.map(|row| {
        let columns = row.into_iter().map(|column| {
            let (name, value) = (
                column.column_name.unwrap_or_default(),
                column.column_value.unwrap_or_default(),
            );
            if name.is_empty() {
                value
            } else {
                format!("{name}: {value}")
            }
        });
        columns.collect::<Vec<_>>().join("\n")
    });
    let spoken = content.audio.and_then(|audio| audio.transcription);
    let seen = content.video.and_then(|video| video.summary);
    [content.text, row, spoken, seen]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
}
