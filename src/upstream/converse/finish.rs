//! Finish reason and usage of a reply.

use std::sync::Arc;

use serde_json::Value;

use super::{
    guardrail,
    plan::ReplyPlan,
    reported::{Estimate, Reported},
};
use crate::{
    bedrock::reply::{PerformanceConfig, PromptRouterTrace, ServiceTier},
    call::Warnings,
    catalogue,
    error::{Error, Kind, RetryAdvice},
    model::Target,
    money::{Cost, Price, Tier, Usage},
    openai::completion::FinishReason,
};

/// The reason of an answer that ended because the context window is full.
pub const WINDOW_EXCEEDED: &str = "model_context_window_exceeded";

/// The reason of an answer that ended early, of which no more is known.
pub const INCOMPLETE: &str = "incomplete";

/// How the service ended an answer.
#[derive(Clone, Debug, Default)]
pub struct Stop<'a> {
    /// Converse's `stopReason`.
    pub reason: &'a str,
    /// The stop sequence that ended it, if the service reports it.
    pub sequence: Option<String>,
    /// Why the model refused, if the service reports it.
    pub details: Option<Value>,
    /// What the guardrail did, for the reason `guardrail_intervened`.
    pub intervention: Option<Intervention>,
}

/// What a guardrail in the call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intervention {
    /// It changed the model's text, and did not replace it.
    Masked,
    /// It blocked the input, so that the model was not asked.
    Input,
    /// It blocked the answer, or the service does not say what it blocked.
    Other,
}

impl<'a> Stop<'a> {
    /// Creates the end for a reason about which nothing more is known. `trace` is that of the guardrail.
    pub fn new(reason: &'a str, trace: Option<&Value>) -> Self {
        let intervention = || match trace {
            Some(trace) if has_block(&trace["inputAssessment"]) => Intervention::Input,
            Some(trace) if !has_block(trace) && has_assessment(trace) => Intervention::Masked,
            _ => Intervention::Other,
        };
        Self {
            reason,
            intervention: (reason == "guardrail_intervened").then(intervention),
            ..Self::default()
        }
    }
}

/// Reports whether any policy in the assessments of a trace blocked the text.
fn has_block(trace: &Value) -> bool {
    match trace {
        Value::Object(members) => members.iter().any(|(name, value)| match name.as_str() {
            "action" => value == "BLOCKED",
            _ => has_block(value),
        }),
        Value::Array(list) => list.iter().any(has_block),
        _ => false,
    }
}

fn has_assessment(trace: &Value) -> bool {
    ["inputAssessment", "outputAssessments"]
        .iter()
        .any(|member| trace.get(member).is_some())
}

/// Maps `stopReason` to OpenAI's `finish_reason`. Unknown values add a warning, because the service adds values without
/// notice. `tools` means that the reply has calls for the client, `empty` that it has neither text nor calls.
///
/// # Errors
/// If the stop reason means that there is no answer.
pub fn finish_reason(
    end: &Stop<'_>,
    tools: bool,
    empty: bool,
    legacy: bool,
    warnings: &Warnings,
) -> Result<FinishReason, Error> {
    let stop_reason = end.reason;
    let stop = match (tools, legacy) {
        (true, true) => FinishReason::FunctionCall,
        (true, false) => FinishReason::ToolCalls,
        (false, _) => FinishReason::Stop,
    };
    Ok(match stop_reason {
        "end_turn" | "stop_sequence" | "tool_use" => stop,
        "max_tokens" | INCOMPLETE => FinishReason::Length,
        WINDOW_EXCEEDED if empty => {
            return Err(Error::new(
                Kind::InvalidRequest,
                "The input is longer than the model's context window. Shorten it.",
            )
            .with_code("context_length_exceeded")
            // Bedrock has processed the input, and the model may have reasoned.
            .may_be_billed());
        }
        WINDOW_EXCEEDED => FinishReason::Length,
        "guardrail_intervened" => {
            let what = match end.intervention {
                Some(Intervention::Masked) => "it masked parts of the text",
                _ => "the text is the guardrail's message",
            };
            warnings.add(format!("finish_reason: a guardrail intervened ({what})"));
            FinishReason::ContentFilter
        }
        "content_filtered" | "refusal" => FinishReason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" if empty => {
            return Err(Error::new(
                Kind::Upstream,
                "The model's output was malformed. Try again.",
            )
            .with_code("malformed_model_output")
            .with_detail(format!("stopReason {stop_reason}"))
            .with_retry_advice(RetryAdvice::Once)
            .may_be_billed());
        }
        "malformed_model_output" | "malformed_tool_use" => {
            warnings.add(
                "finish_reason: Bedrock reports that the end of the model's output is malformed",
            );
            stop
        }
        other => {
            warnings.add(format!(
                "finish_reason: unknown stop reason '{}' of Bedrock",
                shown(other)
            ));
            stop
        }
    })
}

/// Returns a word of the service as a warning can show it.
pub fn shown(word: &str) -> String {
    let graphic = word.chars().filter(|c| c.is_ascii_graphic());
    graphic.take(64).collect()
}

/// The size of an answer in bytes, for usage estimates.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplySize {
    /// All output of the model, including reasoning, calls, and text that the client does not get.
    pub reply_bytes: usize,
    /// Reasoning text.
    pub reasoning_bytes: usize,
    /// The text is not that of the model, or there is none, because a guardrail or a filter intervened.
    pub is_blocked: bool,
}

impl ReplySize {
    /// Reports whether a stop reason means that the model need not have written anything.
    pub fn is_blocked_by(&self, stop_reason: &str) -> bool {
        match stop_reason {
            "guardrail_intervened" => true,
            "content_filtered" | "refusal" => self.reply_bytes == 0,
            _ => false,
        }
    }
}

/// The members of a reply that determine its price. Absent if the service does not report them.
#[derive(Debug, Default)]
pub struct Terms<'a> {
    /// The service tier that answered.
    pub tier: Option<ServiceTier>,
    /// The latency mode that answered.
    pub performance: Option<PerformanceConfig>,
    /// The model that a prompt router chose.
    pub router: Option<&'a PromptRouterTrace>,
    /// The trace of the guardrail.
    pub guardrail: Option<&'a Value>,
}

/// Returns the usage that the service reports, or an estimate if there is none or it is impossible, with its cost.
pub fn usage(
    reported: &Reported,
    terms: Terms<'_>,
    reasoning: Option<u64>,
    size: ReplySize,
    plan: &ReplyPlan,
) -> Usage {
    // Four bytes per token.
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    let estimate = Estimate {
        input: tokens(plan.request_bytes),
        output: tokens(size.reply_bytes).max(plan.unseen),
    };
    let mut usage = reported.usage(reasoning, size, estimate);
    usage.video_seconds = plan.video_seconds;
    let estimated = || tokens(size.reasoning_bytes);
    usage.reasoning = reasoning.unwrap_or_else(estimated).min(usage.output);
    usage.reasoning_estimated = reasoning.is_none() && usage.reasoning > 0;
    let Terms {
        tier,
        performance,
        router,
        guardrail,
    } = terms;
    usage.service_tier = match tier.as_ref().map(|tier| tier.kind.as_str()) {
        Some("flex") => Some("flex"),
        Some("priority") => Some("priority"),
        Some("reserved") => Some("scale"),
        Some("default") => Some("default"),
        _ => None,
    };
    let kind = tier.as_ref().map(|tier| tier.kind.as_str());
    let tier = match kind {
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        Some("default" | "reserved") if plan.tier != Tier::Optimized => Tier::Standard,
        _ => plan.tier,
    };
    // A tier of another name may cost more than any known one.
    let is_unknown = kind.is_some_and(|kind| {
        !["", "auto", "default", "flex", "priority", "reserved"].contains(&kind)
    });
    usage.estimated |= is_unknown;
    // Optimized latency has a separate quota. Beyond it, the service answers at standard latency and bills that price.
    let tier = match performance.map(|performance| performance.latency == "optimized") {
        Some(true) => Tier::Optimized,
        Some(false) if tier == Tier::Optimized => Tier::Standard,
        _ => tier,
    };
    let invoked = router.and_then(|router| router.invoked_model_id.as_deref());
    let price = match invoked {
        Some(invoked) => catalogue::lookup(&Target::new(invoked, &plan.region))
            .price
            .or_else(|| plan.price.clone()),
        None => plan.price.clone(),
    };
    let more = Cost {
        guardrails: guardrail::cost(guardrail, plan.guardrail, usage.output),
        ..Cost::default()
    };
    let cost = price.and_then(|price: Arc<Price>| match is_unknown {
        true => price.dearest_cost(&usage),
        false => price.cost(&usage, tier),
    });
    usage.cost = cost.map(|cost| cost + more);
    usage
}

/// Returns the stop sequence that ended the answer, if the model reports it.
pub fn stop_sequence(fields: Option<&Value>) -> Option<String> {
    let fields = fields?;
    let found = ["/stop_sequence", "/delta/stop_sequence"]
        .iter()
        .find_map(|path| fields.pointer(path)?.as_str());
    found.map(str::to_owned)
}

/// Returns why the model refused, if it reports that.
pub fn stop_details(fields: Option<&Value>) -> Option<Value> {
    let fields = fields?;
    let found = ["/stop_details", "/delta/stop_details"]
        .iter()
        .find_map(|path| fields.pointer(path));
    found.filter(|details| details.is_object()).cloned()
}

/// Returns the number of reasoning tokens, if the model reports it in its own usage member.
pub fn reasoning_tokens(fields: Option<&Value>) -> Option<u64> {
    let details = fields?.pointer("/usage/output_tokens_details")?;
    ["thinking_tokens", "reasoning_tokens"]
        .iter()
        .find_map(|name| details.get(name)?.as_u64())
}
