//! Requests that the service model allows and single models reject.

use std::{collections::HashSet, sync::LazyLock};

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ServiceError,
    schema_rules::{self, StrictLimits},
};

#[derive(Deserialize)]
struct File {
    families: Vec<Family>,
}

#[derive(Deserialize)]
struct Family {
    /// How the base model's id begins.
    r#match: String,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    refuses: Vec<String>,
    #[serde(default)]
    max_stop: Option<usize>,
    /// What a stop sequence may be, as a regular expression.
    #[serde(default)]
    stop_pattern: Option<String>,
    #[serde(default)]
    strict_limits: Option<StrictLimits>,
    #[serde(default)]
    min_tokens: Option<u64>,
    #[serde(default)]
    signed_reasoning: bool,
}

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    // The file is part of the program: a test reads it.
    serde_json::from_str::<File>(include_str!("families.json"))
        .map(|file| file.families)
        .unwrap_or_default()
});

/// The base model's id inside a profile id or an ARN.
pub fn base(model_id: &str) -> &str {
    let id = model_id.rsplit('/').next().unwrap_or(model_id);
    match id.split_once('.') {
        Some((geo, rest))
            if rest.contains('.')
                && geo.len() <= 6
                && rest.contains(|c: char| c.is_ascii_alphabetic()) =>
        {
            let vendors = ["deepseek", "openai", "zai", "xai", "minimax", "google"];
            if vendors.contains(&geo) { id } else { rest }
        }
        _ => id,
    }
}

/// Checks a Converse request by the rules of its model.
///
/// # Errors
/// `ValidationException`, in about the words of the service.
pub fn check(model_id: &str, request: &Value, stream: bool) -> Result<(), ServiceError> {
    let id = base(model_id);
    let families = FAMILIES.iter().filter(|family| {
        id.starts_with(&family.r#match)
            && !family
                .except
                .iter()
                .any(|except| id.starts_with(except.as_str()))
    });
    let mut refuses = HashSet::new();
    let mut rules = Rules::default();
    for family in families {
        refuses.extend(family.refuses.iter().map(String::as_str));
        rules.max_stop = family.max_stop.or(rules.max_stop);
        rules.stop_pattern = family.stop_pattern.as_deref().or(rules.stop_pattern);
        rules.strict_limits = family.strict_limits.or(rules.strict_limits);
        rules.min_tokens = family.min_tokens.or(rules.min_tokens);
        rules.signed |= family.signed_reasoning;
    }
    schema_rules::check(request, &refuses, rules.strict_limits)
        .map_err(ServiceError::validation)?;
    let traits = traits(request, stream, &rules);
    match traits
        .into_iter()
        .find(|(what, present, _)| *present && (what.is_empty() || refuses.contains(what)))
    {
        Some((_, _, message)) => Err(ServiceError::validation(message)),
        None => Ok(()),
    }
}

/// The rules of a model that have a number or a pattern.
#[derive(Default)]
struct Rules<'f> {
    max_stop: Option<usize>,
    stop_pattern: Option<&'f str>,
    strict_limits: Option<StrictLimits>,
    min_tokens: Option<u64>,
    signed: bool,
}

/// Lists what models may reject: a name, whether the request has it, and the message. Every model rejects an empty name.
fn traits(
    request: &Value,
    stream: bool,
    rules: &Rules<'_>,
) -> Vec<(&'static str, bool, &'static str)> {
    let (config, fields) = (
        &request["inferenceConfig"],
        &request["additionalModelRequestFields"],
    );
    let has = |value: &Value| !value.is_null();
    let (temperature, top_p) = (has(&config["temperature"]), has(&config["topP"]));
    let stops: Vec<&str> = config["stopSequences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (tools, choice) = (
        has(&request["toolConfig"]),
        &request["toolConfig"]["toolChoice"],
    );
    let forced = has(&choice["any"])
        || has(&choice["tool"])
        || matches!(fields["tool_choice"]["type"].as_str(), Some("any" | "tool"));
    let thinking = &fields["thinking"];
    let on = matches!(thinking["type"].as_str(), Some("enabled" | "adaptive"));
    let budget = thinking["budget_tokens"].as_u64();
    let max_tokens = config["maxTokens"].as_u64();
    let blocks = |kind: &str| {
        let messages = request["messages"].as_array().into_iter().flatten();
        let found: Vec<Value> = messages
            .flat_map(|message| message["content"].as_array().into_iter().flatten())
            .filter_map(|block| block.get(kind).cloned())
            .collect();
        found
    };
    let in_list = |list: &Value| {
        list.as_array()
            .is_some_and(|items| items.iter().any(|item| has(&item["cachePoint"])))
    };
    let tool_points = in_list(&request["toolConfig"]["tools"]);
    let points = tool_points || in_list(&request["system"]) || !blocks("cachePoint").is_empty();
    let last = request["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    let temperature_is_one = config["temperature"]
        .as_f64()
        .is_some_and(|value| (value - 1.0).abs() < f64::EPSILON);
    let unsigned = blocks("reasoningContent").iter().any(|block| {
        has(&block["reasoningText"])
            && block["reasoningText"]["signature"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
    });
    vec![
        (
            "sampling",
            temperature || top_p,
            "`temperature` and `top_p` are not supported by this model.",
        ),
        (
            "both_samplings",
            temperature && top_p,
            "`temperature` and `top_p` cannot both be specified for this model.",
        ),
        (
            "stop",
            !stops.is_empty(),
            "This model doesn't support the stopSequences field. Remove stopSequences and try again.",
        ),
        (
            "blank_stop",
            stops.iter().any(|stop| stop.trim().is_empty()),
            "stop_sequences: each must contain non-whitespace",
        ),
        (
            "",
            rules.max_stop.is_some_and(|max| stops.len() > max),
            "Too many stop sequences.",
        ),
        (
            "",
            rules.stop_pattern.is_some_and(|pattern| {
                let pattern = Regex::new(&format!("^(?:{pattern})$"));
                !pattern.is_ok_and(|pattern| stops.iter().all(|stop| pattern.is_match(stop)))
            }),
            "Malformed input request: string does not match the pattern of stop sequences.",
        ),
        (
            "",
            rules
                .min_tokens
                .zip(max_tokens)
                .is_some_and(|(min, tokens)| tokens < min),
            "maxTokens is below the minimum.",
        ),
        ("tools", tools, "This model doesn't support tool use."),
        (
            "tools_in_stream",
            tools && stream,
            "This model doesn't support tool use in streaming mode.",
        ),
        (
            "forced_choice",
            forced,
            "tool_choice forces tool use, which this model does not support.",
        ),
        (
            "system",
            request["system"].as_array().is_some_and(|s| !s.is_empty()),
            "This model doesn't support system messages.",
        ),
        (
            "images",
            !blocks("image").is_empty(),
            "This model doesn't support the image content block.",
        ),
        (
            "documents",
            !blocks("document").is_empty(),
            "This model doesn't support documents.",
        ),
        (
            "cache_points",
            points,
            "You invoked an unsupported model or your request did not allow prompt caching.",
        ),
        (
            "cache_in_tools",
            tool_points,
            "This model does not allow cache points in tools.",
        ),
        (
            "text_format",
            has(&request["outputConfig"]["textFormat"]),
            "output_config.format: not supported by this model.",
        ),
        (
            "prefill",
            last.is_some_and(|last| last["role"] == "assistant"),
            "This model does not support assistant message prefill.",
        ),
        ("thinking", on, "thinking is not supported by this model."),
        (
            "thinking_budget",
            budget.is_some(),
            "thinking.budget_tokens is not supported by this model.",
        ),
        (
            "thinking_off",
            thinking["type"] == "disabled",
            "thinking cannot be disabled for this model.",
        ),
        (
            "reasoning_effort",
            has(&fields["reasoning_effort"]),
            "reasoning_effort is not supported by this model.",
        ),
        (
            "long_tool_ids",
            blocks("toolUse")
                .iter()
                .any(|b| b["toolUseId"].as_str().is_none_or(|id| id.len() != 9)),
            "Tool call id must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        (
            "",
            budget.is_some_and(|budget| budget < 1024),
            "thinking.budget_tokens: must be at least 1024",
        ),
        (
            "",
            budget.zip(max_tokens).is_some_and(|(b, max)| b >= max),
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        (
            "",
            on && forced,
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            "",
            on && temperature && !temperature_is_one,
            "`temperature` may only be set to 1 when thinking is enabled.",
        ),
        (
            "",
            on && thinking["type"] == "enabled" && lost_thinking(request),
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.",
        ),
        (
            "reasoning",
            !blocks("reasoningContent").is_empty(),
            "reasoningContent is not supported in messages by this model.",
        ),
        (
            "",
            rules.signed && unsigned,
            "messages: thinking.signature: Field required",
        ),
        (
            "",
            has(&fields["tool_choice"]["type"]) && has(choice),
            "tool_choice: Extra inputs are not permitted",
        ),
    ]
}

/// The last assistant turn calls a tool without its thinking, and the results follow.
fn lost_thinking(request: &Value) -> bool {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let [.., assistant, user] = messages else {
        return false;
    };
    let has = |message: &Value, kind: &str| {
        message["content"]
            .as_array()
            .is_some_and(|blocks| blocks.iter().any(|block| !block[kind].is_null()))
    };
    has(user, "toolResult")
        && has(assistant, "toolUse")
        && assistant["content"][0]["reasoningContent"].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_ids_are_taken_apart() {
        assert!(FAMILIES.len() > 20);
        for (id, expected) in [
            (
                "us.anthropic.claude-sonnet-5-5",
                "anthropic.claude-sonnet-5-5",
            ),
            ("anthropic.claude-sonnet-5-5", "anthropic.claude-sonnet-5-5"),
            ("sa.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
            ("deepseek.v3.2", "deepseek.v3.2"),
            ("us.deepseek.r1-v1:0", "deepseek.r1-v1:0"),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-lite-v1:0",
                "amazon.nova-lite-v1:0",
            ),
        ] {
            assert_eq!(base(id), expected);
        }
    }
}
