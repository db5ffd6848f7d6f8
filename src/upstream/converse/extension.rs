//! Bedrock-specific features: the `bedrock` member of a request, and managed prompts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Context, guardrail};
use crate::{
    bedrock::request::{ConverseRequest, OrderedMap, PerformanceConfig, PromptVariable},
    error::Error,
    operation::chat::{
        Chat,
        bedrock_options::{self, MAX_PATHS, PATHS},
    },
};

/// Applies the request's `bedrock` member and the operator's guardrail policy.
///
/// # Errors
/// 400 with the path of the member that is not valid.
pub fn apply<'a>(
    converse: &mut ConverseRequest<'a>,
    request: &'a Chat,
    cx: &Context<'a>,
) -> Result<(), Error> {
    let options = request.bedrock.as_ref();
    guardrail::apply(
        converse,
        options.and_then(|options| options.guardrail.as_ref()),
        request.stream,
        cx,
    );
    if let Some(options) = options {
        bedrock_options::check(options)?;
        if let Some(fields) = &options.additional_model_request_fields {
            merge(&mut converse.additional_model_request_fields, fields);
        }
        add_response_paths(
            converse,
            options
                .additional_model_response_field_paths
                .as_deref()
                .unwrap_or_default(),
        )?;
        if let Some(latency) = options.performance.as_deref() {
            converse.performance_config = Some(PerformanceConfig { latency });
        }
        if let Some(variables) = &options.prompt_variables {
            let variables = variables
                .iter()
                .map(|(name, text)| (Cow::Borrowed(name.as_str()), PromptVariable { text }));
            converse.prompt_variables = Some(OrderedMap(variables.collect()));
        }
    }
    managed_prompt(converse, request, cx)
}

/// Merges the client's members into the gateway's, recursively. The client's value wins.
fn merge(ours: &mut Map<String, Value>, theirs: &Map<String, Value>) {
    for (name, value) in theirs {
        match (ours.get_mut(name), value) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => merge(ours, theirs),
            _ => {
                ours.insert(name.clone(), value.clone());
            }
        }
    }
}

fn add_response_paths<'a>(
    converse: &mut ConverseRequest<'a>,
    requested: &'a [String],
) -> Result<(), Error> {
    let paths = &mut converse.additional_model_response_field_paths;
    for path in requested {
        paths.push(Cow::Borrowed(path));
    }
    match paths.len() > MAX_PATHS {
        true => Err(Error::invalid(
            PATHS,
            format!("At most {MAX_PATHS} paths are allowed."),
        )),
        false => Ok(()),
    }
}

/// Rejects parameters that a managed prompt defines itself, because Bedrock rejects requests that also set them.
fn managed_prompt(
    converse: &mut ConverseRequest<'_>,
    request: &Chat,
    cx: &Context<'_>,
) -> Result<(), Error> {
    let is_prompt = cx.model.target().is_prompt();
    if !is_prompt {
        return match &converse.prompt_variables {
            Some(_) => Err(Error::invalid(
                "bedrock.prompt_variables",
                "This model is not a managed prompt.",
            )),
            None => Ok(()),
        };
    }
    let given = [
        ("messages", !converse.system.is_empty()),
        ("tools", converse.tool_config.is_some()),
        ("temperature", request.temperature.is_some()),
        ("top_p", request.top_p.is_some()),
        ("max_tokens", request.max_tokens.is_some()),
        (
            "max_completion_tokens",
            request.max_completion_tokens.is_some(),
        ),
        ("stop", request.stop.is_some()),
        (
            "bedrock.additional_model_request_fields",
            !converse.additional_model_request_fields.is_empty(),
        ),
    ];
    if let Some((param, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(Error::invalid(
            param,
            "A managed prompt defines its own system text, tools and sampling parameters. Remove this parameter.",
        ));
    }
    converse.inference_config = None;
    Ok(())
}
