//! Finish reason and usage of a reply.

use std::sync::Arc;

use serde_json::Value;

use super::{guardrail, plan::ReplyPlan};
use crate::{
    bedrock::reply::{PerformanceConfig, PromptRouterTrace, ServiceTier, TokenUsage},
    call::Warnings,
    catalogue,
    error::{Error, Kind, RetryAdvice},
    model::Target,
    money::{Cost, Price, Tier, Usage},
    openai::completion::FinishReason,
};

/// Maps `stopReason` to OpenAI's `finish_reason`. Unknown values add a warning, because the service adds values without
/// notice. `tools` means that the reply has calls for the client, `empty` that it has neither text nor calls.
///
/// # Errors
/// If the stop reason means that there is no answer.
pub fn finish_reason(
    stop_reason: &str,
    tools: bool,
    empty: bool,
    legacy: bool,
    warnings: &Warnings,
) -> Result<FinishReason, Error> {
    let stop = match (tools, legacy) {
        (true, true) => FinishReason::FunctionCall,
        (true, false) => FinishReason::ToolCalls,
        (false, _) => FinishReason::Stop,
    };
    Ok(match stop_reason {
        "end_turn" | "stop_sequence" | "tool_use" => stop,
        "max_tokens" => FinishReason::Length,
        "model_context_window_exceeded" if empty => {
            return Err(Error::new(
                Kind::InvalidRequest,
                "The input is longer than the model's context window. Shorten it.",
            )
            .with_code("context_length_exceeded")
            // Bedrock has processed the input, and the model may have reasoned.
            .may_be_billed());
        }
        "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" => {
            warnings
                .add("finish_reason: a guardrail intervened (the text is the guardrail's message)");
            FinishReason::ContentFilter
        }
        "content_filtered" => FinishReason::ContentFilter,
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
            let shown: String = other
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(64)
                .collect();
            warnings.add(format!(
                "finish_reason: unknown stop reason '{shown}' of Bedrock"
            ));
            stop
        }
    })
}

/// The size of an answer in bytes, for usage estimates.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplySize {
    /// All output, including reasoning and tool arguments.
    pub reply_bytes: usize,
    /// Reasoning text.
    pub reasoning_bytes: usize,
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

/// Returns the usage that the service reports, or an estimate, with its cost.
pub fn usage(
    reported: Option<TokenUsage>,
    terms: Terms<'_>,
    reasoning: Option<u64>,
    size: ReplySize,
    plan: &ReplyPlan,
) -> Usage {
    let mut usage = reported
        .map(from_reported)
        .filter(Usage::is_plausible)
        .unwrap_or_else(|| estimate(plan.request_bytes, size.reply_bytes));
    usage.video_seconds = plan.video_seconds;
    // Estimates four bytes per token if the service does not report reasoning tokens.
    let estimated = || size.reasoning_bytes.div_ceil(4) as u64;
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
    let tier = match tier.as_ref().map(|tier| tier.kind.as_str()) {
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        Some("default" | "reserved") if plan.tier != Tier::Optimized => Tier::Standard,
        _ => plan.tier,
    };
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
    let cost = price.and_then(|price: Arc<Price>| price.cost(&usage, tier));
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

/// Returns the number of reasoning tokens, if the model reports it in its own usage member.
pub fn reasoning_tokens(fields: Option<&Value>) -> Option<u64> {
    let details = fields?.pointer("/usage/output_tokens_details")?;
    ["thinking_tokens", "reasoning_tokens"]
        .iter()
        .find_map(|name| details.get(name)?.as_u64())
}

/// Converts the reported token counts. Negative counts, which the service model does not allow, become zero.
fn from_reported(usage: TokenUsage) -> Usage {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let cached =
        |documented: Option<i64>, other: Option<i64>| count(documented.or(other).unwrap_or(0));
    let cache_write = cached(
        usage.cache_write_input_tokens,
        usage.cache_write_input_token_count,
    );
    let details = usage.cache_details.unwrap_or_default();
    let hour: u64 = details
        .iter()
        .filter(|detail| detail.ttl == "1h")
        .map(|detail| count(detail.input_tokens))
        .fold(0, u64::saturating_add);
    Usage {
        input: count(usage.input_tokens),
        cache_read: cached(
            usage.cache_read_input_tokens,
            usage.cache_read_input_token_count,
        ),
        cache_write,
        cache_write_1h: hour.min(cache_write),
        output: count(usage.output_tokens),
        server_tool_uses: usage
            .server_tool_usage
            .into_values()
            .map(count)
            .fold(0, u64::saturating_add),
        ..Usage::default()
    }
}

/// Estimates the usage at four bytes per token.
fn estimate(request_bytes: usize, reply_bytes: usize) -> Usage {
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    Usage {
        input: tokens(request_bytes),
        output: tokens(reply_bytes),
        estimated: true,
        ..Usage::default()
    }
}
