//! The most that a request of an AWS SDK can cost.

use super::{Passthrough, SdkOperation, units};
use crate::{
    call::Caller,
    model::Model,
    money::{GuardrailFees, WorstCase},
    operation::chat::{
        MAX_VIDEO_SECONDS, guard,
        worst_case::{MESSAGE, TEMPLATE, TOOL, TOOLS_TEMPLATE, UNKNOWN, all_output, window},
    },
};

pub use crate::operation::chat::worst_case::LIKELY_IMAGE;

/// Returns the worst case. Counts one token per byte of the body, as for chats.
pub fn of(request: &Passthrough, model: &Model, caller: &Caller) -> WorstCase {
    let (facts, size) = (&model.facts, &request.size);
    let guardrail = guardrail(request, model, caller);
    if request.operation == SdkOperation::InvokeModel && facts.is_not_for_chats() {
        return WorstCase {
            guardrail,
            ..units::worst_case(request, facts)
        };
    }
    let template = if size.tools > 0 {
        TOOLS_TEMPLATE
    } else {
        TEMPLATE
    };
    let overhead = template + MESSAGE * size.messages + TOOL * size.tools;
    let known = size.text + overhead + size.images * facts.image_tokens;
    let is_prompt = model.target().is_prompt();
    let window = window(
        model,
        size.has_fields || request.operation == SdkOperation::InvokeModel,
    );
    let is_unbounded = size.unbounded_media || size.server_tools || is_prompt;
    let input = match is_unbounded {
        true => window
            .unwrap_or(UNKNOWN)
            .max(known.min(window.unwrap_or(u64::MAX))),
        false => known.min(window.unwrap_or(u64::MAX)),
    };
    WorstCase {
        input_tokens: input,
        output_tokens: output_tokens(request, model),
        requests: 1,
        may_cache: facts.cache.is_none() || size.marked,
        tier: size.tier,
        server_tools: size.server_tools && facts.web_search.is_some(),
        video_seconds: match &facts.invoke {
            Some(invoke) if invoke.family.bills_video() => MAX_VIDEO_SECONDS,
            _ => 0,
        },
        guardrail,
        ..WorstCase::default()
    }
}

/// Estimates the tokens of the input, at four bytes per token.
pub fn likely_input(request: &Passthrough) -> u64 {
    let size = &request.size;
    size.text.saturating_sub(size.media) / 4 + size.images * LIKELY_IMAGE
}

/// Returns the most output, in tokens.
pub fn output_tokens(request: &Passthrough, model: &Model) -> u64 {
    let facts = &model.facts;
    if request.operation == SdkOperation::InvokeModel && facts.is_not_for_chats() {
        return 0;
    }
    request
        .cap(model)
        .map_or_else(|| all_output(facts), u64::from)
}

/// The most that the guardrail in the call can cost: the operator's, or else the client's.
fn guardrail(request: &Passthrough, model: &Model, caller: &Caller) -> GuardrailFees {
    let size = &request.size;
    let policies = caller.guardrails_for(model);
    match policies.in_call.is_some() || size.guardrail {
        true => guard::fees(size.text, size.texts, size.images, size.compared),
        false => GuardrailFees::default(),
    }
}
