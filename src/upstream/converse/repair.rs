//! An answer that was to be JSON and is not: what is wrong with it, and the request that asks for a
//! better one.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ReplyPlan, schema_check::schema_check};
use crate::{
    error::{Error, Kind},
    openai::completion::FinishReason,
    operation::chat::Chunk,
    upstream::chat::WholeAnswer,
};

pub const NOT_JSON: &str = "response_format: the answer is not the JSON that was asked for";

/// An answer that does not fit its schema.
pub struct Misfit {
    pub text: String,
    pub problem: String,
}

/// What is wrong with `answer`. `None` if it fits, or is a call, or was cut short or blocked.
pub fn misfit(plan: &ReplyPlan, answer: &WholeAnswer) -> Option<Misfit> {
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
    schema_check(schema, &text).map(|problem| Misfit { text, problem })
}

/// The warning after a second answer.
pub fn outcome(plan: &ReplyPlan, second: &WholeAnswer) -> Cow<'static, str> {
    match misfit(plan, second) {
        None => "response_format: the model was asked twice until its answer was the JSON that was asked for",
        Some(_) => "response_format: the answer is not the JSON that was asked for, nor was the one before it",
    }
    .into()
}

/// The same conversation, with the answer and what is wrong with it.
///
/// # Errors
/// If the request cannot be written.
pub fn body(request: &Bytes, answer: &str, problem: &str) -> Result<Bytes, Error> {
    let internal = |error: serde_json::Error| {
        Error::new(
            Kind::Internal,
            "The gateway could not ask for a better answer.",
        )
        .with_detail(error.to_string())
    };
    let mut request: Value = serde_json::from_slice(request).map_err(internal)?;
    let answer = if answer.trim().is_empty() {
        "."
    } else {
        answer.trim_end()
    };
    let text = format!(
        "That answer is not acceptable: {problem}. Answer again, with the corrected JSON and nothing else."
    );
    if let Some(messages) = request["messages"].as_array_mut() {
        // A prefill was ours, and is part of the answer now.
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
