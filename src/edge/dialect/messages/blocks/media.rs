//! Images, documents and search results.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{missing, required};
use crate::{
    anthropic::content::{Block, Content, Source, SourceData},
    error::Error,
    openai::message::{self, Citations, File, MediaUrl, SearchResult},
    operation::chat::{Media, Part},
};

/// Converts an image.
///
/// # Errors
/// 400 if the block names no data.
pub fn image(block: Block, at: &str) -> Result<Part, Error> {
    let source = data(block.source, &block.kind, at)?;
    let url = match source.kind.as_str() {
        // Bare Base64, because the format is read from the bytes.
        "base64" => required(source.data, "source.data", &block.kind, at)?,
        "url" => required(source.url, "source.url", &block.kind, at)?,
        kind => return Err(unknown_source(kind, at)),
    };
    Ok(Part::Image(media(
        MediaUrl {
            url,
            detail: None,
            bucket_owner: None,
        },
        at,
    )))
}

/// Converts a document. One that consists of blocks becomes a text document, followed by its images.
///
/// # Errors
/// 400 if the block names no data.
pub fn document(block: Block, at: &str, parts: &mut Vec<Part>) -> Result<(), Error> {
    let source = data(block.source, &block.kind, at)?;
    let mut images = Vec::new();
    let data = match source.kind.as_str() {
        "base64" => {
            let data = required(source.data, "source.data", &block.kind, at)?;
            match source.media_type {
                Some(kind) => format!("data:{kind};base64,{data}"),
                None => data,
            }
        }
        "text" => text_file(&required(source.data, "source.data", &block.kind, at)?),
        "url" => required(source.url, "source.url", &block.kind, at)?,
        "content" => match required(source.content, "source.content", &block.kind, at)? {
            Content::Text(text) => text_file(&text),
            Content::Blocks(blocks) => {
                let mut texts = Vec::new();
                for (index, inner) in blocks.into_iter().enumerate() {
                    match inner.kind.as_str() {
                        "image" => {
                            images.push(image(inner, &format!("{at}.source.content[{index}]"))?);
                        }
                        _ => texts.extend(inner.text),
                    }
                }
                text_file(&texts.join("\n"))
            }
            Content::Object => return Err(missing("source.content", &block.kind, at)),
        },
        kind => return Err(unknown_source(kind, at)),
    };
    let file = File {
        file_data: Some(data),
        file_id: None,
        filename: block.title.map(String::from),
        context: block.context.map(String::from),
        citations: cites(block.citations.as_deref()),
    };
    parts.push(Part::File(media(file, at)));
    parts.append(&mut images);
    Ok(())
}

/// Converts a passage for the model to cite.
///
/// # Errors
/// 400 if a member is missing.
pub fn search_result(block: Block, at: &str) -> Result<Part, Error> {
    let Some(Source::Address(source)) = block.source.map(|source| *source) else {
        return Err(missing("source", &block.kind, at));
    };
    let text = |inner: Block| message::Part {
        kind: "text".to_owned(),
        text: inner.text,
        ..message::Part::default()
    };
    let content = match required(block.content, "content", &block.kind, at)? {
        Content::Text(text) => message::Content::Text(text),
        Content::Blocks(blocks) => message::Content::Parts(blocks.into_iter().map(text).collect()),
        Content::Object => return Err(missing("content", &block.kind, at)),
    };
    let found = SearchResult {
        source,
        title: required(block.title, "title", &block.kind, at)?.into_string(),
        content,
        citations: cites(block.citations.as_deref()),
    };
    Ok(Part::SearchResult(media(found, at)))
}

fn data(source: Option<Box<Source>>, kind: &str, at: &str) -> Result<SourceData, Error> {
    match source.map(|source| *source) {
        Some(Source::Data(data)) => Ok(data),
        _ => Err(missing("source", kind, at)),
    }
}

fn unknown_source(kind: &str, at: &str) -> Error {
    let text = match kind {
        "file" => {
            "This gateway does not store files. Send the content in a source of type 'base64'."
        }
        _ => {
            "Supported sources are of type 'base64' and 'url', and for documents 'text' and 'content'."
        }
    };
    Error::invalid(format!("{at}.source.type"), text)
}

/// Returns the data URL of a plain text file.
fn text_file(text: &str) -> String {
    format!("data:text/plain;base64,{}", STANDARD.encode(text))
}

/// Returns whether the answer cites the block. Other forms belong to texts of earlier answers.
fn cites(citations: Option<&RawValue>) -> Option<Citations> {
    citations.and_then(|raw| {
        Citations::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok()
    })
}

fn media<T>(value: T, at: &str) -> Media<T> {
    Media {
        value,
        at: at.to_owned(),
    }
}
