//! The guardrail of a Converse call: its configuration, and the blocks that it evaluates.

use serde::Deserialize;
use serde_json::Value;

use super::{Context, grounding};
use crate::{
    bedrock::{
        content::{ContentBlock, Message, ToolResultContentBlock},
        guardrail::GuardrailUsage,
        request::{ConverseRequest, GuardrailConfig},
    },
    call::{Guardrails, Warnings},
    catalogue,
    model::Guardrail,
    money::{GuardrailFees, NanoUsd},
    openai::extension::GuardrailOptions,
    operation::chat::Chat,
};
use grounding::{guard, guarded, users};

/// The trace that is requested unless operator or client set one, because only a trace reports the units that are billed.
const TRACE: Option<&str> = Some("enabled");

/// Reports whether the client may see the trace: whoever set the guardrail asked for it, and the operator shows it.
pub fn is_shown(chat: &Chat, cx: &Context<'_>) -> bool {
    let own = chat.bedrock.as_ref().and_then(|own| own.guardrail.as_ref());
    let (trace, may_see) = match (cx.caller.guardrails_for(cx.model).in_call, own) {
        (Some(policy), _) => (&policy.trace, policy.show_trace),
        (None, Some(own)) => (&own.trace, true),
        // A managed prompt can bring a guardrail of its own.
        (None, None) => return true,
    };
    may_see && trace.as_deref().is_some_and(|trace| trace != "disabled")
}

/// Returns the cost of the guardrail of a call by the units in its trace. What the trace does not report costs `most`.
pub fn cost(trace: Option<&Value>, most: GuardrailFees, output_tokens: u64) -> NanoUsd {
    if most == GuardrailFees::default() {
        return NanoUsd::default();
    }
    let price = catalogue::guardrail_price();
    let billed = |assessment: &Value| {
        let usage = assessment.pointer("/invocationMetrics/usage")?;
        price.plausible_cost(&GuardrailUsage::deserialize(usage).ok()?)
    };
    let by_id = |member| {
        let all = trace?.get(member)?.as_object()?;
        (!all.is_empty()).then_some(all)
    };
    let input = by_id("inputAssessment");
    // The guardrail evaluates no answer if it blocks the input.
    let is_answered = output_tokens > 0 && !input.is_some_and(|all| all.values().any(is_blocked));
    let input = input.and_then(|all| all.values().map(billed).sum());
    let output = by_id("outputAssessments").and_then(|all| {
        let all = all.values().filter_map(Value::as_array).flatten();
        all.map(billed).sum()
    });
    let unreported = match is_answered {
        true => most.per_output_token.times(output_tokens),
        false => NanoUsd::default(),
    };
    input.unwrap_or(most.fixed) + output.unwrap_or(unreported)
}

/// Reports whether a finding of the assessment blocks the text.
fn is_blocked(assessment: &Value) -> bool {
    match assessment {
        Value::Object(members) => {
            let mut members = members.iter();
            members
                .any(|(name, value)| (name == "action" && value == "BLOCKED") || is_blocked(value))
        }
        Value::Array(items) => items.iter().any(is_blocked),
        _ => false,
    }
}

/// Sets the guardrail. An operator's guardrail takes precedence over the client's.
pub fn apply<'a>(
    converse: &mut ConverseRequest<'a>,
    options: Option<&'a GuardrailOptions>,
    stream: bool,
    cx: &Context<'a>,
) {
    let policies = cx.caller.guardrails_for(cx.model);
    let is_policed = !policies.is_empty();
    let policy = policies.in_call;
    if policy.is_some() || (!is_policed && options.is_some()) {
        // `guard` narrows what is evaluated, so a client may not apply it to the operator's guardrail.
        let guard = options
            .filter(|_| !is_policed)
            .and_then(|options| options.guard.as_deref());
        match guard {
            None | Some("explicit") => grounding::mark_all(converse, cx),
            guard => apply_guard(converse, guard, cx),
        }
    }
    if let Some(options) = options.filter(|_| is_policed) {
        warn_of_policy(options, &policies, cx.warnings);
    }
    converse.guardrail_config = config(options, stream, cx);
}

/// Returns the guardrail that the call to the model carries. An operator's guardrail takes precedence over the client's.
pub fn config<'a>(
    options: Option<&'a GuardrailOptions>,
    stream: bool,
    cx: &Context<'a>,
) -> Option<GuardrailConfig<'a>> {
    let policies = cx.caller.guardrails_for(cx.model);
    match (policies.in_call, options) {
        (Some(policy), _) => Some(GuardrailConfig {
            guardrail_identifier: &policy.identifier,
            guardrail_version: &policy.version,
            trace: policy.trace.as_deref().or(TRACE),
            stream_processing_mode: policy.stream_processing_mode.as_deref().filter(|_| stream),
        }),
        (None, Some(options)) if policies.is_empty() => Some(GuardrailConfig {
            guardrail_identifier: &options.identifier,
            guardrail_version: &options.version,
            trace: options.trace.as_deref().or(TRACE),
            stream_processing_mode: options.stream_processing_mode.as_deref().filter(|_| stream),
        }),
        _ => None,
    }
}

/// Reports what an operator's guardrail makes of the client's.
pub fn warn_of_policy(options: &GuardrailOptions, policies: &Guardrails<'_>, warnings: &Warnings) {
    let own = [policies.in_call, policies.input, policies.output];
    let is_same = |policy: &Guardrail| {
        options.identifier == policy.identifier && options.version == policy.version
    };
    if !own.into_iter().flatten().any(is_same) {
        warnings.dropped("bedrock.guardrail", "the operator's guardrail is used");
        return;
    }
    let members = [
        ("trace", &options.trace),
        ("stream_processing_mode", &options.stream_processing_mode),
        ("guard", &options.guard),
    ];
    for (member, value) in members {
        if value.is_some() {
            let param = format!("bedrock.guardrail.{member}");
            warnings.dropped(param, "the operator's settings of this guardrail are used");
        }
    }
}

/// Marks the blocks that the guardrail evaluates. Once any block is marked, Bedrock evaluates no others.
fn apply_guard(converse: &mut ConverseRequest<'_>, guard: Option<&str>, cx: &Context<'_>) {
    let turns = match guard {
        Some("last_user") => 1,
        Some("all_user") => usize::MAX,
        Some("tool_results") => {
            return users(converse).for_each(|message| copy_results_to_guard(message, cx.warnings));
        }
        _ => return,
    };
    users(converse)
        .take(turns)
        .for_each(|message| guard_text_and_images(message, cx.warnings));
    grounding::qualify_or_warn(converse, cx);
}

fn guard_text_and_images(message: &mut Message<'_>, warnings: &Warnings) {
    let images = |block: &ContentBlock<'_>| matches!(block, ContentBlock::Image(_));
    guard(message);
    if message.content.iter().any(images) {
        warnings.add(
            "bedrock.guardrail.guard: an image is not evaluated (only inline PNG and JPEG can be)",
        );
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
