//! Bedrock-specific features: guardrails, the `bedrock` member of a request, and managed prompts.

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

/// The service's limit on the number of response field paths.
const MAX_PATHS: usize = 10;
/// The service's limit on a path, in characters.
const MAX_PATH: usize = 256;

/// Members that clients may not set in `additional_model_request_fields`, because they would change limits, cost or
/// policy after the gateway has checked them.
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
    guardrail(
        converse,
        options.and_then(|options| options.guardrail.as_ref()),
        request.stream,
        cx,
    )?;
    if let Some(options) = options {
        if let Some(fields) = &options.additional_model_request_fields {
            check_fields(fields)?;
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
            if !["standard", "optimized"].contains(&latency) {
                return Err(Error::invalid(
                    "bedrock.performance",
                    "'performance' must be 'standard' or 'optimized'.",
                ));
            }
            converse.performance_config = Some(PerformanceConfig { latency });
        }
        if options
            .cache
            .as_deref()
            .is_some_and(|cache| cache != "auto")
        {
            return Err(Error::invalid("bedrock.cache", "'cache' must be 'auto'."));
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

/// Sets the guardrail. The key's guardrail takes precedence over the model's, and both over the client's.
fn guardrail<'a>(
    converse: &mut ConverseRequest<'a>,
    options: Option<&'a GuardrailOptions>,
    stream: bool,
    cx: &Context<'a>,
) -> Result<(), Error> {
    let policy: Option<&Guardrail> = cx.caller.guardrail.as_ref().or(cx
        .model
        .options
        .guardrail
        .as_ref());
    if let Some(options) = options {
        check_guardrail(options)?;
        // `guard` narrows what is evaluated, so a client may not apply it to the operator's guardrail.
        if policy.is_none() {
            apply_guard(converse, options.guard.as_deref(), cx.warnings);
        }
    }
    converse.guardrail_config = match (policy, options) {
        (Some(policy), options) => {
            if options.is_some_and(|options| {
                options.identifier != policy.identifier || options.version != policy.version
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
        (None, Some(options)) => Some(GuardrailConfig {
            guardrail_identifier: &options.identifier,
            guardrail_version: &options.version,
            trace: options.trace.as_deref(),
            stream_processing_mode: options.stream_processing_mode.as_deref().filter(|_| stream),
        }),
        (None, None) => None,
    };
    Ok(())
}

fn check_guardrail(options: &GuardrailOptions) -> Result<(), Error> {
    let at = |member: &str| format!("bedrock.guardrail.{member}");
    let one_of = |member: &str, value: Option<&str>, values: &[&str]| match value {
        Some(value) if !values.contains(&value) => Err(Error::invalid(
            at(member),
            format!("'{member}' must be one of {}.", values.join(", ")),
        )),
        _ => Ok(()),
    };
    let version = &options.version;
    if version != "DRAFT"
        && !((1..=8).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Error::invalid(
            at("version"),
            "'version' must be 'DRAFT' or a number.",
        ));
    }
    // GuardrailIdentifier of the service model: an id or an ARN.
    let plain = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let of_arn = options
        .identifier
        .strip_prefix("arn:aws")
        .and_then(|arn| arn.split_once(":guardrail/"));
    if options.identifier.len() > 2048
        || !(plain(&options.identifier) || of_arn.is_some_and(|(_, id)| plain(id)))
    {
        return Err(Error::invalid(
            at("identifier"),
            "'identifier' must be the id or the ARN of a guardrail.",
        ));
    }
    one_of(
        "trace",
        options.trace.as_deref(),
        &["enabled", "disabled", "enabled_full"],
    )?;
    one_of(
        "stream_processing_mode",
        options.stream_processing_mode.as_deref(),
        &["sync", "async"],
    )?;
    one_of(
        "guard",
        options.guard.as_deref(),
        &["explicit", "last_user", "all_user", "tool_results"],
    )
}

/// Marks the blocks that the guardrail evaluates. Once any block is marked, Bedrock evaluates no others.
fn apply_guard(converse: &mut ConverseRequest<'_>, which: Option<&str>, warnings: &Warnings) {
    let users = converse
        .messages
        .iter_mut()
        .rev()
        .filter(|message| message.role == ConversationRole::User);
    match which {
        Some("last_user") => users
            .take(1)
            .for_each(|message| guard_text_and_images(message, warnings)),
        Some("all_user") => users.for_each(|message| guard_text_and_images(message, warnings)),
        Some("tool_results") => users.for_each(|message| copy_results_to_guard(message, warnings)),
        _ => {}
    }
}

fn guard_text_and_images(message: &mut Message<'_>, warnings: &Warnings) {
    for block in &mut message.content {
        match block {
            ContentBlock::Text(text) => *block = guarded(std::mem::take(text)),
            ContentBlock::Image(image) if can_be_guarded(image) => {
                *block =
                    ContentBlock::GuardContent(GuardrailConverseContentBlock::Image(image.clone()));
            }
            ContentBlock::Image(_) => {
                warnings.add(
                    "bedrock.guardrail.guard: an image is not evaluated (only inline PNG and JPEG can be)",
                );
            }
            _ => {}
        }
    }
}

/// Adds a guarded copy of the text of tool results, because Converse has no guarded content inside a tool result.
fn copy_results_to_guard(message: &mut Message<'_>, warnings: &Warnings) {
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
        warnings.add("bedrock.guardrail.guard: the text of tool results was sent twice (a guardrail cannot evaluate it in place)");
        message.content.extend(copies);
    }
}

fn guarded(text: Cow<'_, str>) -> ContentBlock<'_> {
    ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(
        GuardrailConverseTextBlock { text },
    ))
}

/// Returns whether a guardrail can evaluate the image: GuardrailConverseImageBlock of the service model allows inline
/// PNG and JPEG.
fn can_be_guarded(image: &MediaBlock<'_>) -> bool {
    matches!(image.format, "png" | "jpeg") && matches!(image.source, MediaSource::Bytes(_))
}

fn check_fields(fields: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in fields {
        if FORBIDDEN.contains(&name.as_str()) || name.starts_with("amazon-bedrock-") {
            return Err(Error::invalid(
                format!("bedrock.additional_model_request_fields.{name}"),
                "This member is reserved for the gateway because it affects limits, cost or policy.",
            ));
        }
        if let Value::Object(inner) = value {
            check_fields(inner)?;
        }
    }
    Ok(())
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
    const PARAM: &str = "bedrock.additional_model_response_field_paths";
    let paths = &mut converse.additional_model_response_field_paths;
    for path in requested {
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
