//! State of the open content blocks of a reply, and the chunks that closing them produces.

use std::{collections::VecDeque, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::custom_input::CustomInput;
use crate::{
    bedrock::reply::Citation,
    call::Warnings,
    openai::completion::{Annotation, CustomCall, Image, ImageUrl, ThinkingBlock, UrlCitation},
    operation::chat::{Chunk, ObjectScan, Progress},
};

/// An open block whose chunks depend on its end.
#[derive(Debug)]
pub enum Block {
    /// A function call.
    ToolCall { index: u32, scan: ObjectScan },
    /// A legacy `function_call`.
    Function { scan: ObjectScan },
    /// A call of a custom tool, whose input is text.
    Custom {
        index: u32,
        id: Arc<str>,
        name: String,
        input: CustomInput,
    },
    /// A call of the gateway's JSON tool. Its input becomes the content.
    Json,
    /// A call that is not passed on.
    Muted,
    /// A call of a tool that AWS runs.
    ServerCall {
        id: String,
        name: String,
        input: String,
    },
    /// The result of a tool that AWS runs.
    ServerResult(Map<String, Value>),
    /// Text with citations.
    Cited {
        /// Start of the text, in Unicode code points of the content.
        start: usize,
        citations: Vec<Value>,
    },
    /// A generated image.
    Image { format: String, data: Vec<u8> },
}

impl Block {
    /// Closes the block and adds the chunks of its end. `position` is the length of the content so far, in Unicode code
    /// points.
    pub fn close(self, position: usize, warnings: &Warnings, out: &mut VecDeque<Chunk>) {
        match self {
            Self::ToolCall { index, scan } => {
                let missing = completion(&scan, warnings);
                out.extend(missing.map(|fragment| Chunk::ToolArguments { index, fragment }));
                out.push_back(Chunk::ToolCallEnd { index });
            }
            Self::Custom {
                index,
                id,
                name,
                input,
            } => {
                let is_cut = input.is_cut();
                let (input, before) = input.finish(warnings);
                if let Some(rest) = input.get(before..).filter(|rest| !rest.is_empty()) {
                    let fragment = rest.to_owned();
                    out.push_back(Chunk::CustomToolInput { index, fragment });
                }
                let call = CustomCall { name, input };
                out.push_back(Chunk::CustomToolCall {
                    index,
                    id,
                    call,
                    is_cut,
                });
            }
            other => out.extend(other.closed(position, warnings)),
        }
    }

    /// Reports whether it is a call of a custom tool whose input ends inside of it.
    pub fn is_cut_input(&self) -> bool {
        matches!(self, Self::Custom { input, .. } if input.is_cut())
    }

    fn closed(self, position: usize, warnings: &Warnings) -> Option<Chunk> {
        match self {
            Self::Function { scan } => completion(&scan, warnings).map(Chunk::FunctionArguments),
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

/// Returns what the arguments of a call lack. Bedrock sends no delta for a tool without parameters, but OpenAI clients parse
/// the arguments as JSON. Arguments that break off are passed on as they are, because nothing is known of the rest.
fn completion(scan: &ObjectScan, warnings: &Warnings) -> Option<String> {
    match scan.progress() {
        Progress::Blank => return Some("{}".to_owned()),
        Progress::Complete => {}
        Progress::Partial => warnings
            .add("tool_calls: the arguments of a call are not valid JSON (the model broke off)"),
        Progress::Invalid => {
            warnings.add("tool_calls: the arguments of a call are not a JSON object");
        }
    }
    None
}

/// An open reasoning block.
#[derive(Debug, Default)]
pub struct ReasoningBlock {
    /// The reasoning so far.
    pub text: String,
    /// The signature so far.
    pub signature: String,
    /// Encrypted reasoning so far, decoded from Base64.
    pub redacted: Vec<u8>,
}

impl ReasoningBlock {
    /// Closes the block and returns what the client must send back in the next request, or `None` if the reasoning is
    /// not signed. `mark` identifies the model.
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

/// Decodes the Base64 `data` and appends it to `bytes`. Returns false if it is not valid Base64.
pub fn decode_onto(data: &str, bytes: &mut Vec<u8>) -> bool {
    match STANDARD.decode(data) {
        Ok(decoded) => {
            bytes.extend(decoded);
            true
        }
        Err(_) => false,
    }
}

/// Reports whether `content`, of the result of a tool that AWS runs, is text or JSON.
pub fn is_text_or_json(content: &Value) -> bool {
    content["text"].is_string() || !content["json"].is_null()
}

/// Returns OpenAI's annotation for a citation of Bedrock.
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
