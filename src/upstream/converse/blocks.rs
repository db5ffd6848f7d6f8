//! Content blocks of an answer while they are open, and what they come to when they close.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    bedrock::reply::Citation,
    call::Warnings,
    openai::completion::{Annotation, CustomCall, Image, ImageUrl, ThinkingBlock, UrlCitation},
    operation::chat::Chunk,
};

/// An open block, for what cannot be passed on piece by piece.
#[derive(Debug)]
pub enum Block {
    ToolCall {
        index: u32,
        /// Some have come.
        arguments: bool,
    },
    /// The legacy form of a call.
    Function {
        arguments: bool,
    },
    Custom {
        index: u32,
        id: Arc<str>,
        name: String,
        input: String,
    },
    /// The input of our own tool: content.
    Json,
    /// Not for the client.
    Muted,
    /// A call of a tool that AWS runs itself.
    ServerCall {
        id: String,
        name: String,
        input: String,
    },
    /// What such a tool found.
    ServerResult(Map<String, Value>),
    Cited {
        /// Where its text begins, in Unicode code points of the content.
        start: usize,
        citations: Vec<Value>,
    },
    Image {
        format: String,
        data: Vec<u8>,
    },
}

impl Block {
    /// What the end of the block adds to the answer. `position` is where the content stands.
    pub fn closed(self, position: usize, warnings: &Warnings) -> Option<Chunk> {
        match self {
            // A tool without parameters gets no delta, but its arguments are an object all the same.
            Self::ToolCall {
                index,
                arguments: false,
            } => Some(Chunk::ToolArguments {
                index,
                fragment: "{}".to_owned(),
            }),
            Self::Function { arguments: false } => Some(Chunk::FunctionArguments("{}".to_owned())),
            Self::Custom {
                index,
                id,
                name,
                input,
            } => Some(Chunk::CustomToolCall {
                index,
                id,
                call: CustomCall {
                    name,
                    input: unwrapped(input, warnings),
                },
            }),
            Self::ServerCall { id, name, input } => {
                let input = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
                let call = json!({"toolUseId": id, "name": name, "input": input, "type": "server_tool_use"});
                Some(Chunk::ServerTool(json!({"toolUse": call})))
            }
            Self::ServerResult(result) => Some(Chunk::ServerTool(json!({"toolResult": result}))),
            Self::Cited { start, citations } if !citations.is_empty() => {
                let annotations = citations
                    .into_iter()
                    .map(|citation| annotation(citation, start, position));
                Some(Chunk::Annotations(annotations.collect()))
            }
            Self::Image { format, data } if !data.is_empty() => {
                let url = format!("data:image/{format};base64,{}", STANDARD.encode(data));
                Some(Chunk::Image(Image::ImageUrl {
                    image_url: ImageUrl { url },
                }))
            }
            _ => None,
        }
    }
}

/// A block of reasoning while it is open.
#[derive(Debug, Default)]
pub struct Thought {
    pub text: String,
    pub signature: String,
    pub redacted: Vec<u8>,
}

impl Thought {
    /// What a client must keep of it; nothing where the model did not sign.
    pub fn closed(self, mark: &str) -> Option<Chunk> {
        if !self.redacted.is_empty() {
            let data = format!("{mark}{}", STANDARD.encode(self.redacted));
            return Some(Chunk::Thinking(ThinkingBlock::RedactedThinking { data }));
        }
        if self.signature.is_empty() {
            return None;
        }
        let signature = format!("{mark}{}", self.signature);
        Some(Chunk::Thinking(ThinkingBlock::Thinking {
            thinking: self.text,
            signature: Some(signature),
        }))
    }
}

/// Appends the bytes of `data`; false if it is not Base64.
pub fn decode_onto(data: &str, bytes: &mut Vec<u8>) -> bool {
    match STANDARD.decode(data) {
        Ok(decoded) => {
            bytes.extend(decoded);
            true
        }
        Err(_) => false,
    }
}

/// The text that the model passed to a custom tool.
fn unwrapped(input: String, warnings: &Warnings) -> String {
    #[derive(Deserialize)]
    struct Wrapped {
        input: String,
    }
    match serde_json::from_str::<Wrapped>(&input) {
        Ok(wrapped) => wrapped.input,
        Err(_) => {
            warnings.add("the reply: the input of a custom tool was not wrapped as asked; it is passed on as it is");
            input
        }
    }
}

fn annotation(raw: Value, start_index: usize, end_index: usize) -> Annotation {
    let Citation {
        title,
        source,
        location,
    } = Citation::deserialize(&raw).unwrap_or_default();
    let location = location.unwrap_or_default();
    let web = location.web.and_then(|web| web.url);
    let documents = [
        location.document_char,
        location.document_page,
        location.document_chunk,
    ];
    let document = documents
        .into_iter()
        .flatten()
        .find_map(|document| document.document_index);
    let url = web
        .or(source)
        .unwrap_or_else(|| format!("lintel:document/{}", document.unwrap_or_default()));
    let url_citation = UrlCitation {
        start_index,
        end_index,
        url,
        title: title.unwrap_or_default(),
    };
    Annotation::UrlCitation {
        url_citation,
        bedrock_citation: Some(raw),
    }
}
