//! Members that no dialect defines. They come from other APIs and from clients' own formats. Most are dropped with a
//! warning, because the answer is only poorer without them. This table has the exceptions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{call::Warnings, error::Error};

/// The number of unknown members that warnings name; further ones are only counted.
const MAX_NAMED: usize = 8;

/// The number of members that are checked for an empty value. Bounds the work, because each check scans the body.
const MAX_CHECKED: usize = 8;

/// The longest path in a warning, in characters.
const MAX_PATH: usize = 80;

/// Members without effect on the answer. They are dropped silently.
const HARMLESS: [&str; 53] = [
    // Bookkeeping of clients and proxies.
    "allowed_openai_params",
    "anthropic_version",
    "api_version",
    "chat_id",
    "client_metadata",
    "custom_llm_provider",
    "drop_params",
    "extra_headers",
    "litellm_call_id",
    "litellm_metadata",
    "litellm_session_id",
    "litellm_trace_id",
    "num_retries",
    "request_id",
    "request_timeout",
    "session_id",
    "tags",
    "timeout",
    "trace",
    // Options of local servers for what Bedrock does by itself.
    "add_generation_prompt",
    "cache_prompt",
    "cache_salt",
    "continue_final_message",
    "keep_alive",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "stream_tool_calls",
    "tool_stream",
    "ttl",
    "reasoning.generate_summary",
    "tool_choice.allowed_tools.tools[].type",
    // What clients add to messages that they store.
    "messages[].additional_kwargs",
    "messages[].citations",
    "messages[].created_at",
    "messages[].createdAt",
    "messages[].extra_content",
    "messages[].id",
    "messages[].metadata",
    "messages[].model",
    "messages[].parsed",
    "messages[].partial",
    "messages[].prefix",
    "messages[].provider_specific_fields",
    "messages[].reasoning",
    "messages[].response_metadata",
    "messages[].status",
    "messages[].timestamp",
    "messages[].type",
    "messages[].usage",
    "messages[].tool_calls[].extra_content",
    "messages[].tool_calls[].function.parsed_arguments",
    "messages[].tool_calls[].function.provider_specific_fields",
    "messages[].tool_calls[].provider_specific_fields",
];

/// Members without which the answer would be wrong, and what to send instead. They are rejected.
const WRONG: [(&[&str], &str); 23] = [
    (
        &[
            "system",
            "instructions",
            "system_prompt",
            "systemPrompt",
            "system_instruction",
            "systemInstruction",
            "preamble",
            "preset",
            "system_message",
            "system_prompts",
        ],
        "send the system prompt as the first of the 'messages' of a chat, with the role 'system'",
    ),
    (
        &[
            "messages",
            "input",
            "prompt",
            "prompt_id",
            "contents",
            "message",
            "chat_history",
            "history",
        ],
        "send a conversation as the 'messages' of a chat",
    ),
    (
        &[
            "previous_response_id",
            "conversation",
            "thread_id",
            "assistant_id",
        ],
        "the gateway stores no conversations, so send all of it in 'messages'",
    ),
    (
        &[
            "documents",
            "files",
            "file_ids",
            "attachments",
            "image",
            "images",
            "video",
            "videos",
            "messages[].documents",
            "messages[].files",
            "messages[].file_ids",
            "messages[].attachments",
            "messages[].experimental_attachments",
        ],
        "send files as content parts of the types 'file' and 'image_url'",
    ),
    (
        &["data_sources", "dataSources"],
        "set 'kb' to answer from a Knowledge Base",
    ),
    (
        &[
            "plugins",
            "search_parameters",
            "enable_search",
            "web_search",
        ],
        "set 'web_search_options' for web search, or 'kb' to search a Knowledge Base",
    ),
    (
        &["mcp_servers"],
        "the gateway calls no MCP servers, so declare their tools in 'tools'",
    ),
    (
        &[
            "toolChoice",
            "toolConfig",
            "tool_config",
            "function_declarations",
            "functionDeclarations",
        ],
        "send 'tools' and 'tool_choice'",
    ),
    (
        &[
            "tools[].function.input_schema",
            "tools[].function.inputSchema",
            "tools[].function.parametersJsonSchema",
            "functions[].input_schema",
        ],
        "send the schema as 'parameters'",
    ),
    (
        &["messages[].tool_results", "messages[].toolInvocations"],
        "send calls in 'tool_calls' and their results in messages of the role 'tool'",
    ),
    (
        &[
            "guided_json",
            "format",
            "json_schema",
            "structured_outputs",
            "response_schema",
            "responseSchema",
            "response_mime_type",
            "responseMimeType",
            "output_format",
            "output_config.format",
        ],
        "send 'response_format'",
    ),
    (&["text"], "send 'response_format' and 'verbosity'"),
    (
        &["response_format.schema"],
        "send the type 'json_schema', with the schema in 'response_format.json_schema.schema'",
    ),
    (
        &[
            "guided_regex",
            "guided_choice",
            "guided_grammar",
            "grammar",
            "regex",
        ],
        "Bedrock constrains answers by a JSON schema only, so send 'response_format'",
    ),
    (
        &[
            "max_output_tokens",
            "maxOutputTokens",
            "max_new_tokens",
            "max_tokens_to_sample",
            "maxTokens",
        ],
        "send 'max_completion_tokens'",
    ),
    (&["stop_sequences", "stopSequences"], "send 'stop'"),
    (
        &[
            "inferenceConfig",
            "inference_config",
            "generationConfig",
            "generation_config",
        ],
        "send its members at the top level, by OpenAI's names",
    ),
    (
        &["extra_body"],
        "send its members at the top level, as OpenAI's SDKs do",
    ),
    (
        &[
            "additionalModelRequestFields",
            "additional_model_request_fields",
        ],
        "set 'bedrock.additional_model_request_fields'",
    ),
    (
        &[
            "guardrail",
            "guardrails",
            "guardrail_id",
            "guardrailIdentifier",
            "guardrailConfig",
            "guardrail_config",
        ],
        "set 'bedrock.guardrail'",
    ),
    (
        &["promptVariables", "prompt_variables"],
        "set 'bedrock.prompt_variables'",
    ),
    (&["prompt_logprobs"], "Bedrock returns no log probabilities"),
    (&["suffix"], "the models cannot insert text"),
];

/// The unknown members of one body.
#[derive(Default)]
pub struct UnknownMembers {
    named: Vec<String>,
    more: usize,
    wrong: Vec<(String, &'static str)>,
}

impl UnknownMembers {
    /// Adds the member at `path`, as serde_ignored reports it: `messages.0.?.name`.
    pub fn add(&mut self, path: &serde_ignored::Path<'_>) {
        // serde_ignored writes `.?` after each optional member of the path.
        let path = path.to_string().replace(".?", "");
        let general = general_form(&path);
        if HARMLESS.contains(&general.as_str()) {
            return;
        }
        let mut wrong = WRONG.iter();
        if let Some((_, advice)) = wrong.find(|(members, _)| members.contains(&general.as_str())) {
            if self.wrong.len() < MAX_CHECKED {
                self.wrong.push((path, advice));
            }
        } else if self.named.len() < MAX_NAMED {
            self.named.push(path);
        } else {
            self.more += 1;
        }
    }

    /// Warns about the members, or rejects the request because of them. `body` is the whole body.
    ///
    /// # Errors
    /// 400 with the path of a member without which the answer would be wrong, and what to send instead.
    pub fn report(self, body: &[u8], warnings: &Warnings) -> Result<(), Error> {
        if self.wrong.is_empty() && self.named.is_empty() {
            return Ok(());
        }
        let members = serde_json::from_slice::<Members<'_>>(body);
        let members = members.unwrap_or_default();
        for (path, advice) in self.wrong {
            if !is_empty(value_at(&members, &path)) {
                let path = shown(&path);
                let text = format!("'{path}' is not supported here: {advice}.");
                return Err(Error::invalid(path, text).with_code("unsupported_parameter"));
            }
        }
        for path in self.named {
            if value_at(&members, &path).is_none_or(|value| value.get() != "null") {
                warnings.dropped(shown(&path), "unknown to this gateway");
            }
        }
        if self.more > 0 {
            let more = self.more;
            warnings.add(format!("{more} more unknown members were ignored"));
        }
        Ok(())
    }
}

/// The members of an object.
#[derive(Default, Deserialize)]
struct Members<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

/// Returns the path as errors and warnings write it, `messages[0].name`, and cut off if it is too long.
fn shown(path: &str) -> String {
    let mut shown = String::with_capacity(path.len() + 2);
    for segment in path.split('.') {
        if is_index(segment) {
            shown.push_str(&format!("[{segment}]"));
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(segment);
        }
    }
    shown.chars().take(MAX_PATH).collect()
}

/// Returns the path with `[]` for each index: `messages[].name`.
fn general_form(path: &str) -> String {
    let mut general = String::with_capacity(path.len());
    for segment in path.split('.') {
        if is_index(segment) {
            general.push_str("[]");
        } else {
            if !general.is_empty() {
                general.push('.');
            }
            general.push_str(segment);
        }
    }
    general
}

fn is_index(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reports whether a value is null, false or empty, so that nothing is lost with it.
fn is_empty(value: Option<&RawValue>) -> bool {
    let Some(value) = value else { return false };
    let text: String = value.get().split_ascii_whitespace().take(3).collect();
    ["null", "false", "\"\"", "[]", "{}"].contains(&text.as_str())
}

/// Returns the value at `path` in the object with these members.
fn value_at<'a>(members: &Members<'a>, path: &str) -> Option<&'a RawValue> {
    let mut segments = path.split('.');
    let mut value = members.0.get(segments.next()?).copied()?;
    for segment in segments {
        value = if is_index(segment) {
            let list = serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?;
            list.get(segment.parse::<usize>().ok()?).copied()?
        } else {
            let Members(inner) = serde_json::from_str(value.get()).ok()?;
            inner.get(segment).copied()?
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_member_is_in_the_table_once() {
        let wrong = WRONG.iter().flat_map(|(members, _)| members.iter());
        let all: Vec<&&str> = HARMLESS.iter().chain(wrong).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn null_and_empty_members_lose_nothing() {
        let body =
            br#"{"a": null, "b": [{"c": {}}, {"c": [ ], "d": {"e": ""}}], "f": 0, "g": [null]}"#;
        let members = serde_json::from_slice(body).unwrap();
        for path in ["a", "b.0.c", "b.1.c", "b.1.d.e"] {
            assert!(is_empty(value_at(&members, path)), "{path}");
        }
        for path in ["b", "b.1.d", "f", "g", "h", "b.7", "a.b"] {
            assert!(!is_empty(value_at(&members, path)), "{path}");
        }
    }

    #[test]
    fn indexes_are_left_out_of_the_general_form() {
        assert_eq!(
            general_form("messages.12.content.0.x"),
            "messages[].content[].x"
        );
        assert_eq!(general_form("system"), "system");
    }
}
