//! Content blocks of requests.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    bedrock::content::{
        CachePointBlock, CitationsConfig, ContentBlock, DocumentBlock,
        GuardrailConverseContentBlock, MediaBlock, MediaSource, ReasoningContentBlock,
        SearchResultBlock, ToolResultBlock, ToolResultContentBlock, Ttl,
    },
    error::Error,
};

/// A content block, which may end a prefix to cache.
#[derive(Serialize)]
pub struct Block<'a> {
    #[serde(flatten)]
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub struct CacheControl {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Ttl>,
}

impl From<CachePointBlock> for CacheControl {
    fn from(point: CachePointBlock) -> Self {
        Self { ttl: point.ttl }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        title: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<CitationsConfig>,
    },
    SearchResult {
        source: &'a str,
        title: &'a str,
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<CitationsConfig>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolReference {
        tool_name: &'a str,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 {
        media_type: String,
        data: &'a str,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
}

impl<'a> Block<'a> {
    pub fn text(text: &'a str) -> Self {
        Content::Text { text }.into()
    }
}

impl<'a> From<Content<'a>> for Block<'a> {
    fn from(content: Content<'a>) -> Self {
        Self {
            content,
            cache_control: None,
        }
    }
}

/// Ends a prefix to cache at the last block.
pub fn mark_last(blocks: &mut [Block<'_>], point: CachePointBlock) {
    if let Some(last) = blocks.last_mut() {
        last.cache_control = Some(point.into());
    }
}

/// Returns the blocks of a turn.
///
/// # Errors
/// 400 if the turn has content that Claude does not accept on this route.
pub fn blocks<'r>(content: &'r [ContentBlock<'_>]) -> Result<Vec<Block<'r>>, Error> {
    let mut blocks = Vec::with_capacity(content.len());
    for block in content {
        blocks.push(Block::from(match block {
            ContentBlock::CachePoint(point) => {
                mark_last(&mut blocks, *point);
                continue;
            }
            ContentBlock::Text(text) => Content::Text { text },
            // The tags of a guardrail have replaced marked content.
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
                Content::Text { text: &text.text }
            }
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Image(image))
            | ContentBlock::Image(image) => self::image(image)?,
            ContentBlock::Document(document) => self::document(document)?,
            ContentBlock::SearchResult(found) => search_result(found),
            ContentBlock::ToolUse(call) => Content::ToolUse {
                id: &call.tool_use_id,
                name: &call.name,
                input: &call.input,
            },
            ContentBlock::ToolResult(result) => tool_result(result)?,
            ContentBlock::ReasoningContent(ReasoningContentBlock::ReasoningText(thinking)) => {
                Content::Thinking {
                    thinking: thinking.text,
                    signature: thinking.signature.unwrap_or_default(),
                }
            }
            ContentBlock::ReasoningContent(ReasoningContentBlock::RedactedContent(data)) => {
                Content::RedactedThinking { data }
            }
            ContentBlock::Video(_) | ContentBlock::Audio(_) => {
                return Err(unsupported("this media"));
            }
        }));
    }
    Ok(blocks)
}

fn tool_result<'r>(result: &'r ToolResultBlock<'_>) -> Result<Content<'r>, Error> {
    let content = result.content.iter().map(|content| {
        Ok(Block::from(match content {
            ToolResultContentBlock::Text(text) => Content::Text { text },
            ToolResultContentBlock::Json(json) => Content::Text { text: json.get() },
            ToolResultContentBlock::Image(image) => self::image(image)?,
            ToolResultContentBlock::Document(document) => self::document(document)?,
            ToolResultContentBlock::SearchResult(found) => search_result(found),
            ToolResultContentBlock::ToolReference(tool_name) => {
                Content::ToolReference { tool_name }
            }
            ToolResultContentBlock::Video(_) => return Err(unsupported("video")),
        }))
    });
    Ok(Content::ToolResult {
        tool_use_id: &result.tool_use_id,
        content: content.collect::<Result<_, _>>()?,
        is_error: result.status == Some("error"),
    })
}

fn image<'r>(image: &'r MediaBlock<'_>) -> Result<Content<'r>, Error> {
    Ok(Content::Image {
        source: Source::Base64 {
            media_type: format!("image/{}", image.format),
            data: inline(&image.source)?,
        },
    })
}

fn document<'r>(document: &'r DocumentBlock<'_>) -> Result<Content<'r>, Error> {
    let data = inline(&document.source)?;
    let source = match document.format {
        "pdf" => Source::Base64 {
            media_type: "application/pdf".to_owned(),
            data,
        },
        "txt" | "md" | "csv" | "html" => Source::Text {
            media_type: "text/plain",
            data: text(data)?,
        },
        format => return Err(unsupported(&format!("documents of the format '{format}'"))),
    };
    Ok(Content::Document {
        source,
        title: &document.name,
        context: document.context,
        citations: document.citations,
    })
}

fn search_result<'r>(found: &'r SearchResultBlock<'_>) -> Content<'r> {
    Content::SearchResult {
        source: found.source,
        title: found.title,
        content: found
            .content
            .iter()
            .map(|block| Block::text(block.text))
            .collect(),
        citations: found.citations,
    }
}

fn text(data: &str) -> Result<String, Error> {
    let text = STANDARD.decode(data).ok().map(String::from_utf8);
    text.and_then(Result::ok)
        .ok_or_else(|| unsupported("text documents that are not UTF-8"))
}

fn inline<'r>(source: &'r MediaSource<'_>) -> Result<&'r str, Error> {
    match source {
        MediaSource::Bytes(data) => Ok(data),
        MediaSource::S3Location(_) => Err(unsupported("media in S3")),
    }
}

fn unsupported(what: &str) -> Error {
    Error::invalid(
        "messages",
        format!("This model does not support {what} on this route."),
    )
    .with_code("unsupported_content")
}
