//! Claude: the body and the replies of Anthropic's Messages, which its own API on Bedrock shares.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>

mod betas;
mod blocks;
mod citations;
mod reader;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

pub use betas::RequestBetas;
pub use reader::Anthropic;

use super::{Writer, body::Body};
use crate::{
    bedrock::{
        content::ConversationRole,
        request::{ConverseRequest, SystemContentBlock, Tool, ToolChoice},
    },
    error::Error,
};
use betas::BETAS;
use blocks::{Block, CacheControl, blocks, mark_last};

/// The only version of the format on Bedrock.
const VERSION: &str = "bedrock-2023-05-31";

#[derive(Serialize)]
struct Message<'a> {
    role: ConversationRole,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolDefinition<'a> {
    Function(FunctionDefinition<'a>),
    Client(ClientDefinition),
}

#[derive(Serialize)]
struct FunctionDefinition<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    defer_loading: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

/// A tool whose form only Claude knows.
#[derive(Serialize)]
struct ClientDefinition {
    #[serde(flatten)]
    members: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

impl ToolDefinition<'_> {
    /// Returns the place of the mark that ends a prefix to cache. A deferred tool is not part of the prefix.
    fn mark(&mut self) -> Option<&mut Option<CacheControl>> {
        match self {
            Self::Function(tool) if tool.defer_loading => None,
            Self::Function(tool) => Some(&mut tool.cache_control),
            Self::Client(tool) => Some(&mut tool.cache_control),
        }
    }
}

/// Returns the body of a request.
///
/// # Errors
/// 400 if the request has content that Claude does not accept on this route.
pub(super) fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let mut fields = request.additional_model_request_fields.clone();
    let mut body = Body::default();
    body.set("anthropic_version", VERSION)?;
    let flags = writer.betas.flags(&mut fields, writer.warnings);
    body.set_list(BETAS, &flags)?;
    writer.betas.add_thinking(&mut fields, writer.model);
    write(request, &fields, &mut body)?;
    writer.betas.add_members(&mut body)?;
    Ok(body)
}

/// Writes the members of Messages. `fields` are additional members.
///
/// # Errors
/// 400 if the request has content that Claude does not accept.
pub fn write(
    request: &ConverseRequest<'_>,
    fields: &Map<String, Value>,
    body: &mut Body,
) -> Result<(), Error> {
    let config = request.inference_config.as_ref();
    body.set_some("max_tokens", config.and_then(|config| config.max_tokens))?;
    body.set_list("system", &system(request))?;
    let messages = request.messages.iter().map(|message| {
        Ok(Message {
            role: message.role,
            content: blocks(&message.content)?,
        })
    });
    body.set("messages", &messages.collect::<Result<Vec<_>, Error>>()?)?;
    if let Some(config) = config {
        body.set_some("temperature", config.temperature)?;
        body.set_some("top_p", config.top_p)?;
        body.set_list("stop_sequences", &config.stop_sequences)?;
    }
    tools(request, body)?;
    if let Some(config) = output_config(request) {
        body.set("output_config", &config)?;
    }
    body.extend(fields)
}

fn system<'r>(request: &'r ConverseRequest<'_>) -> Vec<Block<'r>> {
    let mut blocks = Vec::new();
    for block in &request.system {
        match block {
            SystemContentBlock::Text(text) => blocks.push(Block::text(text)),
            SystemContentBlock::CachePoint(point) => mark_last(&mut blocks, *point),
            // The translation makes none.
            SystemContentBlock::GuardContent(_) => {}
        }
    }
    blocks
}

fn tools(request: &ConverseRequest<'_>, body: &mut Body) -> Result<(), Error> {
    let Some(config) = &request.tool_config else {
        return Ok(());
    };
    let mut tools: Vec<ToolDefinition<'_>> = Vec::new();
    for tool in &config.tools {
        match tool {
            Tool::ToolSpec(spec) => tools.push(ToolDefinition::Function(FunctionDefinition {
                name: &spec.name,
                description: &spec.description,
                input_schema: &spec.input_schema.json,
                strict: spec.strict,
                defer_loading: spec.is_deferred,
                cache_control: None,
            })),
            Tool::ClientTool { json, .. } => tools.push(ToolDefinition::Client(ClientDefinition {
                // The gateway wrote it as an object.
                members: serde_json::from_str(json.get()).unwrap_or_default(),
                cache_control: None,
            })),
            Tool::CachePoint(point) => {
                if let Some(mark) = tools.iter_mut().rev().find_map(ToolDefinition::mark) {
                    *mark = Some((*point).into());
                }
            }
            // The facts of this route have no such tool.
            Tool::SystemTool { .. } => {}
        }
    }
    body.set_list("tools", &tools)?;
    let choice = config.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Any {} => json!({"type": "any"}),
        ToolChoice::Tool { name } => json!({"type": "tool", "name": name}),
    });
    body.set_some("tool_choice", choice)
}

/// Returns the effort and the format of the answer.
fn output_config(request: &ConverseRequest<'_>) -> Option<Map<String, Value>> {
    let mut config = Map::new();
    if let Some(effort) = request.output_config.effort {
        config.insert("effort".to_owned(), effort.into());
    }
    if let Some(format) = &request.output_config.text_format {
        let schema = Cow::Borrowed(format.structure.json_schema.schema.as_str());
        let schema: Value = serde_json::from_str(&schema).unwrap_or_default();
        config.insert(
            "format".to_owned(),
            json!({"type": "json_schema", "schema": schema}),
        );
    }
    (!config.is_empty()).then_some(config)
}
