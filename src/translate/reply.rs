//! A whole Converse reply into OpenAI's message.

use crate::{
    call::{Notes, Usage, WholeReply},
    converse::reply::{ContentBlock, ConverseReply, TokenUsage, ToolUseBlock},
    error::{Error, Kind},
    openai::completion::{AssistantMessage, FinishReason, FunctionCall, FunctionKind, ToolCall},
};

/// What AWS calls and answers itself is never the client's call.
pub const SERVER_TOOL_USE: &str = "server_tool_use";

/// # Errors
/// Where the model produced nothing that could be passed on.
pub fn whole_reply(reply: ConverseReply, request_bytes: usize, notes: &Notes) -> Result<WholeReply, Error> {
    let mut text = String::new();
    let mut reasoning = String::new();
    let mut tool_calls = Vec::new();
    for block in reply.output.message.content {
        let ContentBlock { text: plain, tool_use, reasoning_content, citations_content, tool_result } = block;
        text.push_str(plain.as_deref().unwrap_or_default());
        for generated in citations_content.into_iter().flat_map(|block| block.content) {
            text.push_str(&generated.text);
        }
        reasoning.push_str(&reasoning_content.and_then(|block| block.reasoning_text).unwrap_or_default().text);
        match tool_use {
            Some(call) if call.kind.as_deref() == Some(SERVER_TOOL_USE) => {
                notes.add("the reply: a server-side tool call was left out")
            }
            Some(call) => tool_calls.push(tool_call(call)),
            None => {}
        }
        if tool_result.is_some() {
            notes.add("the reply: the result of a server-side tool was left out");
        }
    }
    let empty = text.is_empty() && tool_calls.is_empty();
    let finish_reason = finish_reason(&reply.stop_reason, !tool_calls.is_empty(), empty, notes)?;
    let usage = reply.usage.map(usage).unwrap_or_else(|| estimate(request_bytes, text.len() + reasoning.len()));
    let content = (!text.is_empty() || tool_calls.is_empty()).then_some(text);
    let reasoning_content = (!reasoning.is_empty()).then_some(reasoning);
    let message = AssistantMessage { content, reasoning_content, tool_calls, ..AssistantMessage::default() };
    Ok(WholeReply { message, finish_reason, usage })
}

fn tool_call(call: ToolUseBlock) -> ToolCall {
    let arguments = call.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
    ToolCall {
        id: call.tool_use_id,
        kind: FunctionKind::Function,
        function: FunctionCall { name: call.name, arguments },
    }
}

/// `stopReason` is an open enum. `tools`: the reply holds calls for the client; `empty`: it holds nothing at all.
///
/// # Errors
/// Where the stop reason says that there is no answer.
pub fn finish_reason(stop_reason: &str, tools: bool, empty: bool, notes: &Notes) -> Result<FinishReason, Error> {
    let stop = if tools { FinishReason::ToolCalls } else { FinishReason::Stop };
    Ok(match stop_reason {
        "end_turn" | "stop_sequence" | "tool_use" => stop,
        "max_tokens" => FinishReason::Length,
        "model_context_window_exceeded" if empty => {
            return Err(Error::invalid(
                "messages",
                "The conversation is longer than the model's context window. Shorten it.",
            )
            .with_code("context_length_exceeded"));
        }
        "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" if empty => {
            return Err(Error::new(Kind::Upstream, "The model's output was malformed. Try again.")
                .with_code("malformed_model_output")
                .with_detail(format!("stopReason {stop_reason}")));
        }
        other => {
            let shown: String = other.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
            notes.add(format!("finish_reason: Bedrock stopped with '{shown}'"));
            stop
        }
    })
}

/// Negative counts, which the service model allows nowhere, become zero.
pub fn usage(usage: TokenUsage) -> Usage {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let cached = |documented: Option<i64>, other: Option<i64>| count(documented.or(other).unwrap_or(0));
    Usage {
        input: count(usage.input_tokens),
        cache_read: cached(usage.cache_read_input_tokens, usage.cache_read_input_token_count),
        cache_write: cached(usage.cache_write_input_tokens, usage.cache_write_input_token_count),
        output: count(usage.output_tokens),
        estimated: false,
    }
}

/// The service told no usage: about four bytes a token, marked as an estimate.
pub fn estimate(request_bytes: usize, reply_bytes: usize) -> Usage {
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    Usage { input: tokens(request_bytes), output: tokens(reply_bytes), estimated: true, ..Usage::default() }
}
