//! Repairs an answer that does not match the requested JSON schema: finds the mismatch and builds the
//! request for a corrected answer.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ReplyPlan, schema_check::schema_check};
use crate::{
    call::Warnings,
    error::{Error, Kind},
    openai::completion::FinishReason,
    operation::chat::Chunk,
    upstream::chat::decoder::WholeAnswer,
};

/// The warning for an answer that does not match and is not repaired.
pub const NOT_JSON: &str = "response_format: the answer does not match the requested JSON schema";

/// An answer that does not match its schema.
pub struct SchemaMismatch {
    /// The answer.
    pub text: String,
    /// What is wrong with it, as the end of a sentence for the model.
    pub problem: String,
}

/// Checks `answer` against the schema of the request. Returns `None` if it matches, or if it is a tool
/// call, was cut off or was blocked.
pub fn schema_mismatch(plan: &ReplyPlan, answer: &WholeAnswer) -> Option<SchemaMismatch> {
    let schema = plan.schema.as_ref()?;
    let is_answer = |chunk: &Chunk| *chunk == Chunk::Finish(FinishReason::Stop);
    if !answer.chunks.iter().any(is_answer) {
        return None;
    }
    let content = answer.chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Content(text) => Some(text.as_str()),
        _ => None,
    });
    let text: String = content.collect();
    schema_check(schema, &text).map(|problem| SchemaMismatch { text, problem })
}

/// Checks a streamed answer at its end. It cannot be repaired, because the client has it already.
#[derive(Debug, Default)]
pub struct StreamCheck {
    text: String,
}

impl StreamCheck {
    /// Observes chunks of the answer, and warns at its end if it does not match the schema.
    pub fn observe<'a>(
        &mut self,
        chunks: impl IntoIterator<Item = &'a Chunk>,
        plan: &ReplyPlan,
        warnings: &Warnings,
    ) {
        let Some(schema) = &plan.schema else {
            return;
        };
        for chunk in chunks {
            match chunk {
                Chunk::Content(text) => self.text.push_str(text),
                Chunk::Finish(FinishReason::Stop) if schema_check(schema, &self.text).is_some() => {
                    warnings.add(NOT_JSON);
                }
                _ => {}
            }
        }
    }
}

/// Returns the warning for the second answer.
pub fn outcome(plan: &ReplyPlan, second: &WholeAnswer) -> Cow<'static, str> {
    match schema_mismatch(plan, second) {
        None => "response_format: the answer was requested twice (the first did not match the JSON schema)",
        Some(_) => "response_format: the answer does not match the requested JSON schema (requested twice)",
    }
    .into()
}

/// Returns the text that asks for a corrected answer.
pub fn correction(problem: &str) -> String {
    format!(
        "That answer is not acceptable: {problem}. Answer again, with the corrected JSON and nothing else."
    )
}

/// Returns the body of the same request, with the answer and the problem appended to the conversation.
///
/// # Errors
/// If the request cannot be serialized.
pub fn body(request: &Bytes, answer: &str, problem: &str) -> Result<Bytes, Error> {
    let internal = |error: serde_json::Error| {
        Error::new(
            Kind::Internal,
            "The gateway could not serialize the request for a corrected answer.",
        )
        .with_detail(error.to_string())
    };
    let mut request: Value = serde_json::from_slice(request).map_err(internal)?;
    let answer = if answer.trim().is_empty() {
        "."
    } else {
        answer.trim_end()
    };
    let text = correction(problem);
    if let Some(messages) = request["messages"].as_array_mut() {
        // The answer includes the gateway's prefill, so the prefill turn is removed.
        if messages
            .last()
            .is_some_and(|last| last["role"] == "assistant")
        {
            messages.pop();
        }
        messages.push(json!({"role": "assistant", "content": [{"text": answer}]}));
        messages.push(json!({"role": "user", "content": [{"text": text}]}));
    }
    serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(internal)
}
