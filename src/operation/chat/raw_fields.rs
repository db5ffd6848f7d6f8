//! The members of `bedrock.additional_model_request_fields`, which go to the model as they are.

use serde_json::{Map, Value};

use crate::error::Error;

/// Members that clients may not set at any depth, because they would change limits, cost or policy after the gateway has
/// checked them.
const FORBIDDEN: [&str; 24] = [
    "max_tokens",
    "maxTokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "max_gen_len",
    "maxTokenCount",
    "max_tokens_to_sample",
    "n",
    "best_of",
    "num_return_sequences",
    "num_generations",
    "numResults",
    "service_tier",
    "serviceTier",
    "speed",
    "metadata",
    "cache_control",
    "cachePoint",
    "tools",
    "tool_config",
    "toolConfig",
    "mcp_servers",
];

/// Members that are text for the model outside the conversation, at any depth. Guardrails, limits and logs would miss it.
const CONVERSATION: [&str; 11] = [
    "system",
    "messages",
    "documents",
    "prompt",
    "inputText",
    "message",
    "chat_history",
    "preamble",
    "tool_results",
    "inputPrompt",
    "mediaSource",
];

/// Members that cannot change the price of a call or the size of its input and output.
const BOUNDED: [&str; 32] = [
    "temperature",
    "top_p",
    "top_k",
    "topK",
    "p",
    "k",
    "min_p",
    "seed",
    "stop",
    "stop_sequences",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "length_penalty",
    "logit_bias",
    "thinking",
    "reasoning",
    "reasoning_effort",
    "reasoning_config",
    "reasoningConfig",
    "enable_thinking",
    "chat_template_kwargs",
    "output_config",
    "inferenceConfig",
    "tool_choice",
    "parallel_tool_calls",
    "verbosity",
    "safe_prompt",
    "response_format",
    "structured_outputs",
    "logprobs",
    "top_logprobs",
];

/// Rejects members that are reserved for the gateway, and text for the model.
///
/// # Errors
/// 400 with the member.
pub fn check(fields: &Map<String, Value>) -> Result<(), Error> {
    check_at(fields, "bedrock.additional_model_request_fields")
}

/// Checks the fields at the path `at`.
///
/// # Errors
/// As [`check`].
pub fn check_at(fields: &Map<String, Value>, at: &str) -> Result<(), Error> {
    let mut open: Vec<&Value> = Vec::new();
    let mut members = Some(fields);
    loop {
        for (name, value) in members.take().into_iter().flatten() {
            let text = if FORBIDDEN.contains(&name.as_str()) || name.starts_with("amazon-bedrock-")
            {
                "This member is reserved for the gateway because it affects limits, cost or policy."
            } else if CONVERSATION.contains(&name.as_str()) {
                "This member is text for the model. Send it in 'messages'."
            } else {
                open.push(value);
                continue;
            };
            let at = format!("{at}.{name}");
            return Err(Error::invalid(at, text));
        }
        match open.pop() {
            Some(Value::Object(inner)) => members = Some(inner),
            Some(Value::Array(list)) => open.extend(list),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// Returns the members that may change what a call costs.
pub fn unbounded(fields: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = fields.keys().map(String::as_str);
    names.filter(|name| !BOUNDED.contains(name))
}

/// Returns the first member that may change what a call costs, unless `allowed` accepts it.
pub fn first_unbounded(
    fields: &Map<String, Value>,
    allowed: impl Fn(&str) -> bool,
) -> Option<&str> {
    unbounded(fields).find(|name| !allowed(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reserved_members_are_found_at_any_depth() {
        for fields in [
            json!({"max_output_tokens": 1}),
            json!({"a": {"b": [{"c": [[{"cache_control": {}}]]}]}}),
            json!({"x": [1, {"tools": []}]}),
            json!({"amazon-bedrock-guardrailConfig": {}}),
        ] {
            assert!(check(fields.as_object().unwrap()).is_err(), "{fields}");
        }
        let fine =
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}, "list": [[], {}]});
        assert!(check(fine.as_object().unwrap()).is_ok());
        assert_eq!(
            first_unbounded(fine.as_object().unwrap(), |_| false),
            Some("list")
        );
        assert_eq!(
            first_unbounded(fine.as_object().unwrap(), |name| name == "list"),
            None
        );
    }
}
