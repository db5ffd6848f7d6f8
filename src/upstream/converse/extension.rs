//! What only Bedrock has: guardrails, the `bedrock` member of a request, and managed prompts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Context;
use crate::{
    bedrock::{
        content::{
            ContentBlock, ConversationRole, GuardrailConverseContentBlock,
            GuardrailConverseTextBlock, MediaBlock, MediaSource, Message, ToolResultContentBlock,
        },
        request::{
            ConverseRequest, GuardrailConfig, OrderedMap, PerformanceConfig, PromptVariable,
        },
    },
    call::Warnings,
    error::Error,
    model::Guardrail,
    openai::extension::GuardrailOptions,
    operation::chat::Chat,
};

/// The service takes ten, of 1 to 256 characters.
const MAX_PATHS: usize = 10;
const MAX_PATH: usize = 256;

/// Members that would change what a call costs or what guards it, behind the back of what was checked.
const FORBIDDEN: [&str; 12] = [
    "max_tokens",
    "maxTokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_gen_len",
    "maxTokenCount",
    "max_tokens_to_sample",
    "n",
    "num_generations",
    "numResults",
    "service_tier",
    "metadata",
];

/// Adds what the request's `bedrock` member and the operator's policy say.
///
/// # Errors
/// A 400 that names the member.
pub fn apply<'a>(
    converse: &mut ConverseRequest<'a>,
    request: &'a Chat,
    cx: &Context<'a>,
) -> Result<(), Error> {
    let own = request.bedrock.as_ref();
    guardrail(
        converse,
        own.and_then(|own| own.guardrail.as_ref()),
        request.stream,
        cx,
    )?;
    if let Some(own) = own {
        if let Some(fields) = &own.additional_model_request_fields {
            check(fields)?;
            merge(&mut converse.additional_model_request_fields, fields);
        }
        paths(
            converse,
            own.additional_model_response_field_paths
                .as_deref()
                .unwrap_or_default(),
        )?;
        if let Some(latency) = own.performance.as_deref() {
            if !["standard", "optimized"].contains(&latency) {
                return Err(Error::invalid(
                    "bedrock.performance",
                    "'performance' must be 'standard' or 'optimized'.",
                ));
            }
            converse.performance_config = Some(PerformanceConfig { latency });
        }
        if own.cache.as_deref().is_some_and(|cache| cache != "auto") {
            return Err(Error::invalid("bedrock.cache", "'cache' must be 'auto'."));
        }
        if let Some(variables) = &own.prompt_variables {
            let variables = variables
                .iter()
                .map(|(name, text)| (Cow::Borrowed(name.as_str()), PromptVariable { text }));
            converse.prompt_variables = Some(OrderedMap(variables.collect()));
        }
    }
    managed_prompt(converse, request, cx)
}

/// The key's guardrail goes before the model's, and either before the client's.
fn guardrail<'a>(
    converse: &mut ConverseRequest<'a>,
    own: Option<&'a GuardrailOptions>,
    stream: bool,
    cx: &Context<'a>,
) -> Result<(), Error> {
    let policy: Option<&Guardrail> = cx.caller.guardrail.as_ref().or(cx
        .model
        .options
        .guardrail
        .as_ref());
    if let Some(own) = own {
        check_guardrail(own)?;
        // To choose what is evaluated would weaken the operator's.
        if policy.is_none() {
            guard(converse, own.guard.as_deref(), cx.warnings);
        }
    }
    converse.guardrail_config = match (policy, own) {
        (Some(policy), own) => {
            if own.is_some_and(|own| {
                own.identifier != policy.identifier || own.version != policy.version
            }) {
                cx.warnings
                    .dropped("bedrock.guardrail", "the operator's guardrail is used");
            }
            Some(GuardrailConfig {
                guardrail_identifier: &policy.identifier,
                guardrail_version: &policy.version,
                trace: policy.trace.as_deref(),
                stream_processing_mode: policy.stream_processing_mode.as_deref().filter(|_| stream),
            })
        }
        (None, Some(own)) => Some(GuardrailConfig {
            guardrail_identifier: &own.identifier,
            guardrail_version: &own.version,
            trace: own.trace.as_deref(),
            stream_processing_mode: own.stream_processing_mode.as_deref().filter(|_| stream),
        }),
        (None, None) => None,
    };
    Ok(())
}

fn check_guardrail(own: &GuardrailOptions) -> Result<(), Error> {
    let at = |member: &str| format!("bedrock.guardrail.{member}");
    let one_of = |member: &str, value: Option<&str>, values: &[&str]| match value {
        Some(value) if !values.contains(&value) => Err(Error::invalid(
            at(member),
            format!("'{member}' must be one of {}.", values.join(", ")),
        )),
        _ => Ok(()),
    };
    let version = &own.version;
    if version != "DRAFT"
        && !((1..=8).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Error::invalid(
            at("version"),
            "'version' must be 'DRAFT' or a number.",
        ));
    }
    // The service model's GuardrailIdentifier: an id, or an ARN.
    let plain = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let of_arn = own
        .identifier
        .strip_prefix("arn:aws")
        .and_then(|arn| arn.split_once(":guardrail/"));
    if own.identifier.len() > 2048
        || !(plain(&own.identifier) || of_arn.is_some_and(|(_, id)| plain(id)))
    {
        return Err(Error::invalid(
            at("identifier"),
            "'identifier' must be the id or the ARN of a guardrail.",
        ));
    }
    one_of(
        "trace",
        own.trace.as_deref(),
        &["enabled", "disabled", "enabled_full"],
    )?;
    one_of(
        "stream_processing_mode",
        own.stream_processing_mode.as_deref(),
        &["sync", "async"],
    )?;
    one_of(
        "guard",
        own.guard.as_deref(),
        &["explicit", "last_user", "all_user", "tool_results"],
    )
}

/// Once a block is marked for the guardrail, the others are not evaluated.
fn guard(converse: &mut ConverseRequest<'_>, which: Option<&str>, warnings: &Warnings) {
    let users = converse
        .messages
        .iter_mut()
        .rev()
        .filter(|message| message.role == ConversationRole::User);
    match which {
        Some("last_user") => users
            .take(1)
            .for_each(|message| guard_turn(message, warnings)),
        Some("all_user") => users.for_each(|message| guard_turn(message, warnings)),
        Some("tool_results") => users.for_each(|message| guard_results(message, warnings)),
        _ => {}
    }
}

fn guard_turn(message: &mut Message<'_>, warnings: &Warnings) {
    for block in &mut message.content {
        match block {
            ContentBlock::Text(text) => *block = guarded(std::mem::take(text)),
            ContentBlock::Image(image) if may_be_guarded(image) => {
                *block =
                    ContentBlock::GuardContent(GuardrailConverseContentBlock::Image(image.clone()));
            }
            ContentBlock::Image(_) => {
                warnings.add(
                    "bedrock.guardrail.guard: an image is not evaluated, only PNG and JPEG can be",
                );
            }
            _ => {}
        }
    }
}

/// A tool result has no form for it, so its text stands beside it once more.
fn guard_results(message: &mut Message<'_>, warnings: &Warnings) {
    let mut copies = Vec::new();
    for block in &message.content {
        let ContentBlock::ToolResult(result) = block else {
            continue;
        };
        copies.extend(result.content.iter().filter_map(|content| match content {
            ToolResultContentBlock::Text(text) => Some(guarded(text.clone())),
            _ => None,
        }));
    }
    if !copies.is_empty() {
        warnings.add("bedrock.guardrail.guard: the text of tool results was sent twice, because only so it is evaluated");
        message.content.extend(copies);
    }
}

fn guarded(text: Cow<'_, str>) -> ContentBlock<'_> {
    ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(
        GuardrailConverseTextBlock { text },
    ))
}

/// The service model's GuardrailConverseImageBlock: PNG or JPEG, as bytes.
fn may_be_guarded(image: &MediaBlock<'_>) -> bool {
    matches!(image.format, "png" | "jpeg") && matches!(image.source, MediaSource::Bytes(_))
}

fn check(fields: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in fields {
        if FORBIDDEN.contains(&name.as_str()) || name.starts_with("amazon-bedrock-") {
            return Err(Error::invalid(
                format!("bedrock.additional_model_request_fields.{name}"),
                "This member is the gateway's own: it is about limits, cost or policy.",
            ));
        }
        if let Value::Object(inner) = value {
            check(inner)?;
        }
    }
    Ok(())
}

/// The client's members go into ours, object by object.
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

fn paths<'a>(converse: &mut ConverseRequest<'a>, own: &'a [String]) -> Result<(), Error> {
    const PARAM: &str = "bedrock.additional_model_response_field_paths";
    let paths = &mut converse.additional_model_response_field_paths;
    for path in own {
        if !(1..=MAX_PATH).contains(&path.chars().count()) || !path.starts_with('/') {
            return Err(Error::invalid(
                PARAM,
                "A path is a JSON pointer of 1 to 256 characters, such as '/stop_sequence'.",
            ));
        }
        paths.push(Cow::Borrowed(path));
    }
    match paths.len() > MAX_PATHS {
        true => Err(Error::invalid(
            PARAM,
            format!("{MAX_PATHS} paths are the most."),
        )),
        false => Ok(()),
    }
}

/// A managed prompt has these settings of its own, and the service refuses them beside it.
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
            "A managed prompt brings its own system text, tools and sampling: leave them out.",
        ));
    }
    converse.inference_config = None;
    Ok(())
}
