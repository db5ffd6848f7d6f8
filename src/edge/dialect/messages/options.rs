//! Converts the options of a request: thinking, effort, structured output and the service tier.

use super::super::chat_completions::check_tools;
use crate::{
    anthropic::request::{MessagesRequest, OutputConfig, OutputFormat, Thinking},
    call::Warnings,
    error::Error,
    openai::chat::{JsonSchema, ResponseFormat},
    operation::chat::{Amount, ReasoningRequest, SCALE},
};

/// Returns the effort of the next answer: that of the last message which sets one, or that of the whole request.
pub fn effort(request: &MessagesRequest) -> Option<String> {
    let own = |one: &Option<OutputConfig>| one.as_ref().and_then(|config| config.effort.clone());
    let mut messages = request.messages.iter().rev();
    messages
        .find_map(|message| own(&message.output_config))
        .or_else(|| own(&request.output_config))
}

/// Returns the reasoning that the client requests, or `None` if it requests none.
///
/// # Errors
/// 400 if a value is unknown.
pub fn reasoning(
    thinking: Option<&Thinking>,
    effort: Option<&str>,
    warnings: &Warnings,
) -> Result<Option<ReasoningRequest>, Error> {
    const EFFORT: &str = "output_config.effort";
    let effort = effort
        .map(|effort| known(effort).ok_or_else(|| unknown_effort(EFFORT)))
        .transpose()?;
    let ignore_effort = |why: &str| {
        if effort.is_some() {
            warnings.add(format!("{EFFORT}: ignored ({why})"));
        }
    };
    let request = |param, amount| Some(ReasoningRequest { param, amount });
    let kind = thinking.map(|thinking| thinking.kind.as_str());
    let budget = thinking.and_then(|thinking| thinking.budget_tokens);
    Ok(match (kind, budget, effort) {
        (None | Some("adaptive"), _, Some(effort)) => request(EFFORT, Amount::Effort(effort)),
        (None, _, None) => None,
        (Some("adaptive"), _, None) => request("thinking", Amount::Default),
        // The latter is the least of models that cannot turn thinking off.
        (Some("disabled" | "between_tools"), _, _) => {
            ignore_effort("thinking is disabled");
            request("thinking", Amount::Effort("none"))
        }
        (Some("enabled"), Some(budget), _) if budget > 0 => {
            ignore_effort("`thinking.budget_tokens` takes precedence");
            request("thinking", Amount::Budget(budget))
        }
        (Some("enabled"), _, _) => {
            let text = "Thinking of type 'enabled' needs 'budget_tokens'.";
            return Err(Error::invalid("thinking.budget_tokens", text)
                .with_code("missing_required_parameter"));
        }
        _ => {
            let text = "'type' must be 'enabled', 'adaptive' or 'disabled'.";
            return Err(Error::invalid("thinking.type", text));
        }
    })
}

fn known(effort: &str) -> Option<&'static str> {
    SCALE.into_iter().find(|known| *known == effort)
}

fn unknown_effort(param: &'static str) -> Error {
    let text = format!("'{param}' must be one of {}.", SCALE.join(", "));
    Error::invalid(param, text)
}

/// Reports whether the client wants no thinking text.
pub fn hides_thinking(thinking: Option<&Thinking>) -> bool {
    thinking.is_some_and(|thinking| thinking.display.as_deref() == Some("omitted"))
}

/// Returns the format of a structured answer.
///
/// # Errors
/// 400 if the schema is missing or too large.
pub fn response_format(format: Option<OutputFormat>) -> Result<Option<ResponseFormat>, Error> {
    let Some(OutputFormat { kind, schema }) = format else {
        return Ok(None);
    };
    if kind != "json_schema" || schema.is_none() {
        let text = "'format' must have the type 'json_schema', and a 'schema'.";
        return Err(Error::invalid("output_config.format", text));
    }
    let json_schema = JsonSchema {
        name: "answer".to_owned(),
        description: None,
        schema,
        strict: Some(true),
    };
    check_tools::schema(&json_schema, "output_config.format")?;
    Ok(Some(ResponseFormat {
        kind: "json_schema".to_owned(),
        json_schema: Some(json_schema),
    }))
}

/// Returns the tier in OpenAI's terms.
pub fn service_tier(tier: Option<String>) -> Option<String> {
    match tier?.as_str() {
        "auto" => None,
        "standard_only" | "standard" => Some("default".to_owned()),
        other => Some(other.to_owned()),
    }
}
