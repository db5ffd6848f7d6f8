//! `response_format`: natively where the model can, else by a forced tool whose input is the answer, else by an
//! instruction.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Context, ReplyPlan, messages::owned, names::Names, schema, turns::Conversation};
use crate::{
    bedrock::{
        content::{ContentBlock, ConversationRole, Message as Turn},
        request::{ConverseRequest, JsonSchemaDefinition, TextFormat, TextFormatStructure},
    },
    call::Warnings,
    error::Error,
    model::{Facts, ToolChoiceMode},
    openai::{chat::JsonSchema, message::Citations},
    operation::chat::{Chat, Message, Part},
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
    request: &'a Chat,
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
        ("json_schema", Some(wanted)) if facts.structured_output && !cites(cx.messages) => {
            native(wanted, cx.warnings).map(Structured::Native)
        }
        ("json_schema", Some(wanted)) if can_force(facts, reasons) => {
            cx.warnings
                .add("response_format: emulated by a tool whose input is the answer");
            tool(wanted, names, cx).map(Structured::Tool)
        }
        ("json_schema", Some(wanted)) => {
            cx.warnings.add("response_format: emulated by an instruction, this model cannot be forced in this call");
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
            cx.warnings
                .add("response_format: emulated by an instruction");
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
fn cites(messages: &[Message]) -> bool {
    let citations = |part: &Part| match part {
        Part::File(file) => file.value.citations,
        Part::SearchResult(result) => result.value.citations,
        _ => None,
    };
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(citations)
        .any(|Citations { enabled }| enabled)
}

fn can_force(facts: &Facts, reasons: bool) -> bool {
    let modes = [ToolChoiceMode::Any, ToolChoiceMode::Tool];
    facts.tools
        && modes.iter().any(|mode| facts.tool_choice.contains(mode))
        && (!reasons || facts.forced_choice_while_reasoning)
}

fn native<'a>(wanted: &'a JsonSchema, warnings: &Warnings) -> Result<TextFormat<'a>, Error> {
    Ok(TextFormat {
        kind: "json_schema",
        structure: TextFormatStructure {
            json_schema: JsonSchemaDefinition {
                schema: schema::of_text_format(
                    wanted.schema.as_deref(),
                    wanted.strict == Some(true),
                    SCHEMA,
                    warnings,
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
        Some(schema) => schema::of_tool(Some(schema), false, &cx.model.facts, SCHEMA, cx.warnings)?,
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
    conversation.messages.push(Turn {
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
