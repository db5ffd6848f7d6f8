//! `response_format`: sent natively if the model supports it, else emulated by a forced tool whose input is the answer,
//! else by an instruction in the system prompt.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Context, ReplyPlan,
    description::with_note,
    names::Names,
    raw::raw_json,
    schema::{self, AnswerSchema, SchemaContext, StrictBudget, ToolSchema},
    turns::Conversation,
};
use crate::{
    bedrock::{
        content::{ContentBlock, ConversationRole, Message as Turn},
        request::{ConverseRequest, JsonSchemaDefinition, TextFormat, TextFormatStructure},
    },
    error::Error,
    model::{Facts, ToolChoiceMode},
    openai::{chat::JsonSchema, message::Citations},
    operation::chat::{Chat, Message, Part},
};

const SCHEMA: &str = "response_format.json_schema.schema";

/// How the model is made to answer in JSON.
#[derive(Debug)]
pub enum Structured<'a> {
    /// The client requested text.
    None,
    /// By `outputConfig.textFormat`.
    Native(TextFormat<'a>),
    /// By a forced tool.
    Tool(JsonTool<'a>),
    /// By an instruction.
    Instruct(Instruction<'a>),
}

/// A tool that the gateway adds. Its input becomes the answer.
#[derive(Debug)]
pub struct JsonTool<'a> {
    pub name: Cow<'a, str>,
    pub description: String,
    pub schema: Cow<'a, RawValue>,
    /// The client's schema, which the answer must match; any object if absent.
    pub asked: Option<&'a RawValue>,
}

/// An instruction to answer in JSON.
#[derive(Debug)]
pub struct Instruction<'a> {
    /// Text for the system prompt.
    pub text: String,
    /// Whether to start the answer with a prefill.
    pub prefill: bool,
    /// The schema that the answer must match; any object if absent.
    pub schema: Option<&'a RawValue>,
}

/// Selects how to get the requested `response_format` from the model. `has_tools` means that the client declares tools.
/// A native schema takes its share of `strict`.
///
/// # Errors
/// 400 if the schema is not supported.
pub fn plan<'a>(
    request: &'a Chat,
    reasons: bool,
    has_tools: bool,
    names: &mut Names<'a>,
    strict: &mut StrictBudget,
    cx: &Context<'a>,
) -> Result<Structured<'a>, Error> {
    let facts = &cx.model.facts;
    let Some(response_format) = &request.response_format else {
        return Ok(Structured::None);
    };
    match (response_format.kind.as_str(), &response_format.json_schema) {
        ("json_schema", Some(format)) => json_schema(format, reasons, names, strict, cx),
        ("json_object", _) => {
            cx.warnings
                .add("response_format: emulated by an instruction (Bedrock has no JSON mode without a schema)");
            let text =
                "Answer with one JSON object and nothing else: no text around it, no code fence."
                    .to_owned();
            Ok(Structured::Instruct(Instruction {
                text,
                prefill: facts.prefill && facts.json_prefill && !reasons && !has_tools,
                schema: None,
            }))
        }
        _ => Ok(Structured::None),
    }
}

/// Selects how to get an answer that fits a schema.
fn json_schema<'a>(
    format: &'a JsonSchema,
    reasons: bool,
    names: &mut Names<'a>,
    strict: &mut StrictBudget,
    cx: &Context<'a>,
) -> Result<Structured<'a>, Error> {
    const NOT_NATIVE: &str = "native structured output is not available in this call";
    let facts = &cx.model.facts;
    let schema_cx = SchemaContext {
        facts,
        at: SCHEMA,
        warnings: cx.warnings,
    };
    let schema = format.schema.as_deref();
    // The answer must have the form of the schema, so it cannot become a member of an object.
    let of_objects = match schema {
        Some(schema) => schema::is_of_objects(schema, SCHEMA)?,
        None => true,
    };
    let mut why = NOT_NATIVE;
    if of_objects && facts.structured_output && !cites(cx.messages) {
        match native(format, strict, &schema_cx)? {
            Ok(format) => return Ok(Structured::Native(format)),
            Err(limit) => why = limit,
        }
    }
    if of_objects && can_force(facts, reasons) {
        cx.warnings
            .add(format!("response_format: emulated by a tool ({why})"));
        return tool(format, names, &schema_cx).map(Structured::Tool);
    }
    cx.warnings.add(match of_objects {
        true => "response_format: emulated by an instruction (the model cannot be forced to call a tool)",
        false => "response_format: emulated by an instruction (its schema is not one of objects)",
    });
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

/// Returns whether any part enables citations, which Bedrock rejects together with an output format.
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

/// Returns whether the model can be forced to call a tool.
fn can_force(facts: &Facts, reasons: bool) -> bool {
    let modes = [ToolChoiceMode::Any, ToolChoiceMode::Tool];
    facts.tools
        && modes.iter().any(|mode| facts.tool_choice.contains(mode))
        && (!reasons || facts.forced_choice_while_reasoning)
}

fn native<'a>(
    format: &'a JsonSchema,
    strict: &mut StrictBudget,
    cx: &SchemaContext<'_>,
) -> Result<Result<TextFormat<'a>, &'static str>, Error> {
    let schema = format.schema.as_deref();
    let fitted = schema::for_answer(schema, format.strict == Some(true), strict, cx)?;
    Ok(fitted.map(|AnswerSchema { json, note }| {
        let description = match note {
            Some(note) => with_note(format.description.as_deref(), Some(note)).map(Cow::Owned),
            None => format.description.as_deref().map(Cow::Borrowed),
        };
        TextFormat {
            kind: "json_schema",
            structure: TextFormatStructure {
                json_schema: JsonSchemaDefinition {
                    schema: json,
                    name: Names::default().unique(&format.name).into(),
                    description,
                },
            },
        }
    }))
}

fn tool<'a>(
    format: &'a JsonSchema,
    names: &mut Names<'a>,
    cx: &SchemaContext<'_>,
) -> Result<JsonTool<'a>, Error> {
    let (schema, note) = match format.schema.as_deref() {
        Some(schema) => {
            let ToolSchema { json, note, .. } = schema::for_tool(Some(schema), None, cx)?;
            (json, note)
        }
        None => (raw_json(r#"{"type":"object"}"#.to_owned()), None),
    };
    let description = format.description.as_deref().unwrap_or_default();
    let description = format!("Give your answer by calling this tool. {description}");
    Ok(JsonTool {
        name: names.unique(&format.name).into(),
        description: with_note(Some(description.trim_end()), note).unwrap_or_default(),
        schema,
        asked: format.schema.as_deref(),
    })
}

/// Starts the answer with `{`, which keeps the model from writing text before the JSON. Returns the prefill if it was
/// added.
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

/// Applies the selected way to the request and to the plan for its reply.
pub fn apply<'a>(
    structured: Structured<'a>,
    converse: &mut ConverseRequest<'a>,
    plan: &mut ReplyPlan,
) {
    expect(&structured, plan);
    if let Structured::Native(format) = structured {
        converse.output_config.text_format = Some(format);
    }
}

/// Applies the selected way to the plan for the reply.
pub fn expect(structured: &Structured<'_>, plan: &mut ReplyPlan) {
    plan.schema_is_unenforced = match structured {
        Structured::None | Structured::Native(_) => false,
        Structured::Tool(_) => true,
        Structured::Instruct(instruction) => instruction.schema.is_some(),
    };
    match structured {
        Structured::None | Structured::Native(_) => {}
        Structured::Tool(tool) => {
            plan.json_tool = Some(tool.name.clone().into_owned());
            plan.schema = to_check(tool.asked);
        }
        Structured::Instruct(instruction) => {
            // A model may also begin anew after a prefill, with a fence.
            plan.unfence = true;
            plan.schema = to_check(instruction.schema);
        }
    }
}

/// Returns the schema to check an answer against. A tool call is no guarantee either: models send text instead, or other
/// members.
fn to_check(schema: Option<&RawValue>) -> Option<serde_json::Value> {
    match schema {
        Some(schema) => schema::without_references(schema),
        None => Some(serde_json::json!({"type": "object"})),
    }
}
