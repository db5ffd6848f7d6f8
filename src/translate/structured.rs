//! `response_format`: natively where the model can, else by a forced tool whose input is the answer, else by an
//! instruction.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Context, ReplyPlan, messages::owned, names::Names, schema, turns::Conversation};
use crate::{
    call::{Facts, Notes, ToolChoiceMode},
    converse::{
        content::{ContentBlock, ConversationRole, Message},
        request::{ConverseRequest, JsonSchemaDefinition, TextFormat, TextFormatStructure},
    },
    error::Error,
    openai::chat::{ChatRequest, JsonSchema},
};

const SCHEMA: &str = "response_format.json_schema.schema";

/// How an answer in JSON is had from the model.
#[derive(Debug)]
pub enum Structured<'a> {
    /// Text was asked for.
    None,
    Native(TextFormat<'a>),
    Tool(JsonTool<'a>),
    Instruct(Instruction<'a>),
}

/// A tool of ours: what the model passes to it is the answer.
#[derive(Debug)]
pub struct JsonTool<'a> {
    pub name: Cow<'a, str>,
    pub description: String,
    pub schema: Cow<'a, RawValue>,
}

#[derive(Debug)]
pub struct Instruction<'a> {
    /// For the system prompt.
    pub text: String,
    /// The answer can be begun for the model.
    pub prefill: bool,
    /// What the answer must fit.
    pub schema: Option<&'a RawValue>,
}

/// `calls`: the client brings tools of its own.
///
/// # Errors
/// A 400 for a schema that cannot be had.
pub fn plan<'a>(
    request: &'a ChatRequest,
    reasons: bool,
    calls: bool,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<Structured<'a>, Error> {
    let facts = &cx.model.facts;
    let Some(format) = &request.response_format else {
        return Ok(Structured::None);
    };
    match (format.kind.as_str(), &format.json_schema) {
        ("json_schema", Some(wanted)) if facts.structured_output && !cites(request) => {
            native(wanted, cx.notes).map(Structured::Native)
        }
        ("json_schema", Some(wanted)) if can_force(facts, reasons) => {
            cx.notes
                .add("response_format: emulated by a tool whose input is the answer");
            tool(wanted, names, cx).map(Structured::Tool)
        }
        ("json_schema", Some(wanted)) => {
            cx.notes.add("response_format: emulated by an instruction, this model cannot be forced in this call");
            let schema = wanted.schema.as_deref();
            let text = format!(
                "Answer with one JSON value and nothing else: no text around it, no code fence. It must fit this JSON schema:\n{}",
                schema.map_or("{\"type\":\"object\"}", RawValue::get)
            );
            Ok(Structured::Instruct(Instruction {
                text,
                prefill: false,
                schema,
            }))
        }
        ("json_object", _) => {
            cx.notes.add("response_format: emulated by an instruction");
            let text =
                "Answer with one JSON object and nothing else: no text around it, no code fence."
                    .to_owned();
            Ok(Structured::Instruct(Instruction {
                text,
                prefill: facts.prefill && facts.json_prefill && !reasons && !calls,
                schema: None,
            }))
        }
        _ => Ok(Structured::None),
    }
}

/// The service refuses citations together with a format.
fn cites(request: &ChatRequest) -> bool {
    use crate::openai::message::Content;
    let parts = request
        .messages
        .iter()
        .filter_map(|message| match &message.content {
            Some(Content::Parts(parts)) => Some(parts),
            _ => None,
        });
    parts.flatten().any(|part| {
        let of_file = part.file.as_ref().and_then(|file| file.citations);
        of_file
            .or(part
                .search_result
                .as_ref()
                .and_then(|result| result.citations))
            .is_some_and(|c| c.enabled)
    })
}

fn can_force(facts: &Facts, reasons: bool) -> bool {
    let modes = [ToolChoiceMode::Any, ToolChoiceMode::Tool];
    facts.tools
        && modes.iter().any(|mode| facts.tool_choice.contains(mode))
        && (!reasons || facts.forced_choice_while_reasoning)
}

fn native<'a>(wanted: &'a JsonSchema, notes: &Notes) -> Result<TextFormat<'a>, Error> {
    Ok(TextFormat {
        kind: "json_schema",
        structure: TextFormatStructure {
            json_schema: JsonSchemaDefinition {
                schema: schema::of_text_format(
                    wanted.schema.as_deref(),
                    wanted.strict == Some(true),
                    SCHEMA,
                    notes,
                )?,
                name: Names::default().fresh(&wanted.name).into(),
                description: wanted.description.as_deref(),
            },
        },
    })
}

fn tool<'a>(
    wanted: &'a JsonSchema,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<JsonTool<'a>, Error> {
    let description = wanted.description.clone().unwrap_or_default();
    let schema = match wanted.schema.as_deref() {
        Some(schema) => schema::of_tool(Some(schema), false, &cx.model.facts, SCHEMA, cx.notes)?,
        None => owned(r#"{"type":"object"}"#.to_owned()),
    };
    Ok(JsonTool {
        name: names.fresh(&wanted.name).into(),
        description: format!("Give your answer by calling this tool. {description}")
            .trim_end()
            .to_owned(),
        schema,
    })
}

/// Begins the answer for the model, where that keeps it from talking around it.
pub fn prefill(
    structured: &Structured<'_>,
    conversation: &mut Conversation<'_>,
) -> Option<&'static str> {
    let Structured::Instruct(Instruction { prefill: true, .. }) = structured else {
        return None;
    };
    let last = conversation
        .messages
        .last()
        .filter(|last| last.role == ConversationRole::User)?;
    if last
        .content
        .iter()
        .any(|block| matches!(block, ContentBlock::ToolResult(_)))
    {
        return None;
    }
    let content = vec![ContentBlock::Text(Cow::Borrowed("{"))];
    conversation.messages.push(Message {
        role: ConversationRole::Assistant,
        content,
    });
    Some("{")
}

/// What the request and the reading of its reply get of it.
pub fn settle<'a>(
    structured: Structured<'a>,
    converse: &mut ConverseRequest<'a>,
    plan: &mut ReplyPlan,
) {
    match structured {
        Structured::None => {}
        Structured::Native(format) => converse.output_config.text_format = Some(format),
        Structured::Tool(tool) => plan.json_tool = Some(tool.name.into_owned()),
        Structured::Instruct(instruction) => {
            plan.unfence = plan.prefix.is_none();
            plan.schema = match instruction.schema {
                Some(schema) => schema::bounded(schema),
                None => Some(serde_json::json!({"type": "object"})),
            };
        }
    }
}
