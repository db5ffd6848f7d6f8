//! The messages and tools of a request.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    bedrock::{
        content::{
            ContentBlock, ConversationRole, GuardrailConverseContentBlock, MediaBlock, MediaSource,
            Message as Turn, ToolResultBlock, ToolResultContentBlock,
        },
        request::{ConverseRequest, SystemContentBlock, ToolSpecification},
    },
    error::Error,
};

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message<'a> {
    System {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Content<'a>,
    },
}

/// One text, or parts if there are media too.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
pub struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
pub struct ToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    /// JSON as text.
    arguments: &'a str,
}

/// A tool of the client.
#[derive(Serialize)]
pub struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> Tool<'a> {
    pub fn of(spec: &'a ToolSpecification<'_>) -> Self {
        Self {
            kind: "function",
            function: Function {
                name: &spec.name,
                description: &spec.description,
                parameters: &spec.input_schema.json,
                strict: spec.strict,
            },
        }
    }
}

/// Returns the messages of a request.
///
/// # Errors
/// 400 if a turn has media that the format cannot express.
pub fn messages<'r>(request: &'r ConverseRequest<'_>) -> Result<Vec<Message<'r>>, Error> {
    let mut messages = Vec::new();
    let system = request.system.iter().filter_map(|block| match block {
        SystemContentBlock::Text(text) => Some(text.as_ref()),
        SystemContentBlock::GuardContent(_) | SystemContentBlock::CachePoint(_) => None,
    });
    let system: Vec<Part<'_>> = system.map(|text| Part::Text { text }).collect();
    messages.extend(joined(system).map(|content| Message::System { content }));
    for turn in &request.messages {
        match turn.role {
            ConversationRole::Assistant => messages.push(assistant(turn)),
            ConversationRole::User => user(turn, &mut messages)?,
            ConversationRole::System => {
                let content = joined(parts(turn)?);
                messages.extend(content.map(|content| Message::System { content }));
            }
        }
    }
    Ok(messages)
}

fn assistant<'r>(turn: &'r Turn<'_>) -> Message<'r> {
    let (mut texts, mut tool_calls) = (Vec::new(), Vec::new());
    for block in &turn.content {
        match block {
            ContentBlock::Text(text) => texts.push(Part::Text { text }),
            ContentBlock::ToolUse(call) => tool_calls.push(ToolCall {
                id: &call.tool_use_id,
                kind: "function",
                function: CalledFunction {
                    name: &call.name,
                    arguments: call.input.get(),
                },
            }),
            // Reasoning is not sent back: only signed reasoning would be in the request.
            _ => {}
        }
    }
    Message::Assistant {
        content: joined(texts),
        tool_calls,
    }
}

/// Adds a turn of the user: the results of tools first, each as a message.
fn user<'r>(turn: &'r Turn<'_>, messages: &mut Vec<Message<'r>>) -> Result<(), Error> {
    for block in &turn.content {
        if let ContentBlock::ToolResult(result) = block {
            messages.push(tool(result));
        }
    }
    messages.extend(joined(parts(turn)?).map(|content| Message::User { content }));
    Ok(())
}

fn tool<'r>(result: &'r ToolResultBlock<'_>) -> Message<'r> {
    let parts = result.content.iter().filter_map(|content| match content {
        ToolResultContentBlock::Text(text) => Some(Part::Text { text }),
        ToolResultContentBlock::Json(json) => Some(Part::Text { text: json.get() }),
        // The translation puts media after the results on this route.
        _ => None,
    });
    Message::Tool {
        tool_call_id: &result.tool_use_id,
        content: joined(parts.collect()).unwrap_or(Content::Text(Cow::Borrowed(""))),
    }
}

fn parts<'r>(turn: &'r Turn<'_>) -> Result<Vec<Part<'r>>, Error> {
    let mut parts = Vec::new();
    for block in &turn.content {
        match block {
            ContentBlock::Text(text) => parts.push(Part::Text { text }),
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
                parts.push(Part::Text { text: &text.text });
            }
            ContentBlock::Image(image) => parts.push(Part::ImageUrl {
                image_url: image_url(image)?,
            }),
            // The facts of this route have no other content.
            _ => {}
        }
    }
    Ok(parts)
}

/// Returns one text if all parts are text, because many models accept nothing else. `None` without parts.
fn joined(parts: Vec<Part<'_>>) -> Option<Content<'_>> {
    if parts
        .iter()
        .any(|part| matches!(part, Part::ImageUrl { .. }))
    {
        return Some(Content::Parts(parts));
    }
    let mut texts = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(*text),
        Part::ImageUrl { .. } => None,
    });
    let first = texts.next()?;
    let rest: Vec<&str> = texts.collect();
    Some(Content::Text(match rest.is_empty() {
        true => Cow::Borrowed(first),
        false => Cow::Owned(format!("{first}\n\n{}", rest.join("\n\n"))),
    }))
}

fn image_url(image: &MediaBlock<'_>) -> Result<ImageUrl, Error> {
    match &image.source {
        MediaSource::Bytes(data) => Ok(ImageUrl {
            url: format!("data:image/{};base64,{data}", image.format),
        }),
        MediaSource::S3Location(_) => Err(Error::invalid(
            "messages",
            "This model does not support images in S3 on its route, InvokeModel. Send the image as a data: URL.",
        )
        .with_code("unsupported_content")),
    }
}
