//! The guardrail of an InvokeModel call. Its filter for prompt attacks evaluates only text in tags, so every text of a turn
//! is put into tags whose suffix nobody can guess. Source: Bedrock User Guide, "Apply tags to user input to filter
//! content", 2026-11.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    bedrock::{
        content::{ContentBlock, GuardrailConverseContentBlock, ToolResultContentBlock},
        request::ConverseRequest,
    },
    call::{Call, Warnings},
    error::{Error, Kind},
    operation::chat::Chat,
};

/// The length of a tag's suffix in random bytes. The service allows 20 characters.
const SUFFIX_BYTES: usize = 10;

/// The `amazon-bedrock-guardrailConfig` member of a body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags {
    tag_suffix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_processing_mode: Option<&'static str>,
}

/// Reports whether the call to the model carries a guardrail.
pub fn is_in_call(call: &Call<Chat>) -> bool {
    let own = call
        .body
        .bedrock
        .as_ref()
        .is_some_and(|own| own.guardrail.is_some());
    own || call.caller.guardrails_for(&call.model).in_call.is_some()
}

/// Puts all text of the turns into tags, or only the text that the request marks. Returns `None` without a guardrail.
///
/// # Errors
/// If the system has no random numbers.
pub fn tag(request: &mut ConverseRequest<'_>, warnings: &Warnings) -> Result<Option<Tags>, Error> {
    let Some(guardrail) = &request.guardrail_config else {
        return Ok(None);
    };
    let stream_processing_mode = guardrail.stream_processing_mode.map(|mode| match mode {
        "async" => "ASYNCHRONOUS",
        _ => "SYNCHRONOUS",
    });
    let tag_suffix = suffix()?;
    let tagged = |text: &str| {
        let tag = format!("amazon-bedrock-guardrails-guardContent_{tag_suffix}");
        Cow::Owned(format!("<{tag}>{text}</{tag}>"))
    };
    let mut blocks = request.messages.iter().flat_map(|message| &message.content);
    let is_marked = blocks.any(|block| matches!(block, ContentBlock::GuardContent(_)));
    for block in request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.content)
    {
        match block {
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
                if !text.qualifiers.is_empty() {
                    warnings.add("bedrock.guardrail: the passages are not marked for contextual grounding (InvokeModel has no such marks)");
                }
                *block = ContentBlock::Text(tagged(&text.text));
            }
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Image(image)) => {
                *block = ContentBlock::Image(image.clone());
            }
            ContentBlock::Text(text) if !is_marked => *text = tagged(text),
            ContentBlock::ToolResult(result) if !is_marked => {
                for content in &mut result.content {
                    if let ToolResultContentBlock::Text(text) = content {
                        *text = tagged(text);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Some(Tags {
        tag_suffix,
        stream_processing_mode,
    }))
}

fn suffix() -> Result<String, Error> {
    let mut bytes = [0; SUFFIX_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            Kind::Internal,
            "The gateway could not mark the text for the guardrail.",
        )
        .with_detail(error.to_string())
    })?;
    Ok(hex::encode(bytes))
}

/// Returns the guardrail's part of `amazon-bedrock-trace` with the names that Converse gives its members.
pub fn converse_trace(mut trace: Value) -> Option<Value> {
    let mut guardrail = trace.get_mut("guardrail")?.take();
    let members = guardrail.as_object_mut()?;
    if let Some(input) = members.remove("input") {
        members.insert("inputAssessment".to_owned(), input);
    }
    if let Some(Value::Array(outputs)) = members.remove("outputs") {
        let mut by_id = Map::new();
        for (id, assessment) in outputs.into_iter().filter_map(into_object).flatten() {
            let all = by_id.entry(id).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.push(assessment);
            }
        }
        members.insert("outputAssessments".to_owned(), by_id.into());
    }
    Some(guardrail)
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
