//! The documents of a conversation, which are beside its turns.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{
    bedrock::content::{ContentBlock, DocumentBlock, MediaSource, Message},
    error::Error,
};

/// A text that the model can cite.
#[derive(Serialize)]
pub struct Document<'a> {
    title: &'a str,
    snippet: String,
    /// What the client says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
}

/// Returns the documents of all turns, in their order.
///
/// # Errors
/// 400 if a document is not text.
pub fn of<'r>(messages: &'r [Message<'_>]) -> Result<Vec<Document<'r>>, Error> {
    let blocks = messages.iter().flat_map(|message| &message.content);
    let documents = blocks.filter_map(|block| match block {
        ContentBlock::Document(document) => Some(of_block(document)),
        _ => None,
    });
    documents.collect()
}

fn of_block<'r>(document: &'r DocumentBlock<'_>) -> Result<Document<'r>, Error> {
    let data = match (&document.source, document.format) {
        (MediaSource::S3Location(_), _) => return Err(unsupported("documents in S3")),
        (MediaSource::Bytes(data), "txt" | "md" | "csv" | "html") => data,
        (_, format) => {
            return Err(unsupported(&format!("documents of the format '{format}'")));
        }
    };
    let text = STANDARD.decode(data.as_bytes()).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Document {
        title: &document.name,
        snippet: text.ok_or_else(|| unsupported("text documents that are not UTF-8"))?,
        context: document.context,
    })
}

fn unsupported(what: &str) -> Error {
    Error::invalid(
        "messages",
        format!("This model does not support {what} on this route. Send the text of the document."),
    )
    .with_code("unsupported_content")
}
