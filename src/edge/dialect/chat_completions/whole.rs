//! Writes the `chat.completion` object.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::ReplyContext;
use crate::{
    call::{Passage, Retrieval},
    error::{Error, Kind},
    money::Usage,
    openai::{
        completion::{
            AssistantMessage, ChatCompletion, Choice, FinishReason, FunctionCall, Indexed,
            Logprobs, ReasoningDetail, ToolCall, ToolCallKind,
        },
        knowledge_base::{KbReply, PassageObject},
        usage as wire,
    },
    operation::chat::{Chunk, WholeReply},
};

/// Serializes a whole reply. `model` is the name that the client requested.
///
/// # Errors
/// 500 if the reply cannot be serialized, which is a bug in the gateway.
pub fn to_json(
    id: &str,
    model: &str,
    reply: WholeReply,
    cx: ReplyContext<'_>,
) -> Result<Vec<u8>, Error> {
    let answers: Vec<_> = reply
        .choices
        .into_iter()
        .map(|chunks| (logprobs(&chunks), assistant_message(chunks)))
        .collect();
    let choices = (0..)
        .zip(&answers)
        .map(|(index, (logprobs, (message, finish_reason)))| Choice {
            index,
            message,
            logprobs: Logprobs::of(logprobs),
            finish_reason: *finish_reason,
        });
    let completion = ChatCompletion {
        id,
        object: "chat.completion",
        created: cx.created,
        model,
        choices: choices.collect(),
        service_tier: reply.usage.service_tier,
        usage: usage(&reply.usage),
        bedrock_guardrail: reply.guardrail.as_ref(),
        kb: cx.trace.retrieval().map(|retrieval| kb(retrieval)),
    };
    serde_json::to_vec(&completion).map_err(unwritable)
}

/// Creates the error for a reply that cannot be serialized.
pub fn unwritable(error: serde_json::Error) -> Error {
    Error::new(
        Kind::Internal,
        "The gateway could not serialize its response.",
    )
    .with_detail(error.to_string())
}

/// Returns the `kb` object of a reply, which describes the retrieval.
pub fn kb(retrieval: &Retrieval) -> KbReply<'_> {
    let object = |(index, passage)| passage_object(index, passage, retrieval.include_passages);
    let passages = || (1..).zip(&retrieval.passages).map(object).collect();
    KbReply {
        name: &retrieval.names,
        used: retrieval.used(),
        passages: retrieval.include_sources.then(passages),
        context_chars: retrieval.context_chars,
        reason: retrieval.reason,
    }
}

fn passage_object(index: usize, passage: &Passage, with_text: bool) -> PassageObject<'_> {
    let Passage {
        kb,
        text,
        source,
        score,
        metadata,
        location,
        ..
    } = passage;
    PassageObject {
        index,
        kb,
        source,
        text: with_text.then_some(text),
        score: *score,
        metadata,
        location: location.as_ref(),
    }
}

/// Returns OpenAI's `usage` object. Every kind of token is reported, including zeros.
pub fn usage(usage: &Usage) -> wire::Usage {
    let written = usage.cache_write > 0;
    wire::Usage {
        prompt_tokens: usage.prompt(),
        completion_tokens: usage.output,
        total_tokens: usage.total(),
        prompt_tokens_details: wire::PromptTokensDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            cache_write_5m_tokens: written.then(|| usage.cache_write_5m()),
            cache_write_1h_tokens: written.then_some(usage.cache_write_1h),
            audio_tokens: 0,
        },
        completion_tokens_details: wire::CompletionTokensDetails {
            reasoning_tokens: usage.reasoning,
            reasoning_tokens_estimated: usage.reasoning_estimated,
            ..wire::CompletionTokensDetails::default()
        },
        server_tool_uses: Some(usage.server_tool_uses).filter(|uses| *uses > 0),
        cost: cost(usage),
        estimated: usage.estimated,
    }
}

/// Returns the exact cost of a call in US dollars, or `None` if a price is unknown.
pub fn cost(usage: &Usage) -> Option<Box<RawValue>> {
    usage
        .cost
        .and_then(|cost| RawValue::from_string(cost.total().to_string()).ok())
}

/// Joins the log probabilities of a choice.
fn logprobs(chunks: &[Chunk]) -> String {
    let entries = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Logprobs(entries) => Some(entries.as_str()),
        _ => None,
    });
    entries.collect::<Vec<_>>().join(",")
}

/// Assembles the chunks of one choice into a message and its finish reason.
pub fn assistant_message(chunks: Vec<Chunk>) -> (AssistantMessage, FinishReason) {
    let mut content = String::new();
    let mut reasoning = String::new();
    let mut message = AssistantMessage::default();
    let mut calls: BTreeMap<u32, ToolCall> = BTreeMap::new();
    let mut finish_reason = FinishReason::Stop;
    for chunk in chunks {
        match chunk {
            Chunk::Content(text) if content.is_empty() => content = text,
            Chunk::Content(text) => content.push_str(&text),
            Chunk::CitedContent(text, annotations) => {
                content.push_str(&text);
                message.annotations.extend(annotations);
            }
            Chunk::ReasoningContent(text) => reasoning.push_str(&text),
            Chunk::Thinking(block) => {
                let index = u32::try_from(message.thinking_blocks.len()).unwrap_or(u32::MAX);
                let entry = ReasoningDetail::from(&block);
                message.reasoning_details.push(Indexed { index, entry });
                message.thinking_blocks.push(block);
            }
            Chunk::ServerTool(block) => message.server_tool_blocks.push(block),
            Chunk::StopSequence(stop) => message.stop_sequence = stop,
            Chunk::Annotations(annotations) => message.annotations.extend(annotations),
            Chunk::Image(image) => message.images.push(image),
            Chunk::ToolCall { index, id, name } => {
                let function = FunctionCall {
                    name: name.to_string(),
                    arguments: String::new(),
                };
                let kind = ToolCallKind::Function { function };
                calls.insert(
                    index,
                    ToolCall {
                        id: id.to_string(),
                        kind,
                    },
                );
            }
            Chunk::ToolArguments { index, fragment } => {
                if let Some(ToolCall {
                    kind: ToolCallKind::Function { function },
                    ..
                }) = calls.get_mut(&index)
                {
                    function.arguments.push_str(&fragment);
                }
            }
            Chunk::CustomToolCall {
                index, id, call, ..
            } => {
                let kind = ToolCallKind::Custom { custom: call };
                calls.insert(
                    index,
                    ToolCall {
                        id: id.to_string(),
                        kind,
                    },
                );
            }
            Chunk::FunctionCall(name) => {
                message.function_call = Some(FunctionCall {
                    name: name.to_string(),
                    arguments: String::new(),
                });
            }
            Chunk::FunctionArguments(fragment) => {
                if let Some(call) = &mut message.function_call {
                    call.arguments.push_str(&fragment);
                }
            }
            Chunk::Finish(reason) => finish_reason = reason,
            Chunk::ToolCallEnd { .. }
            | Chunk::CustomToolStart { .. }
            | Chunk::CustomToolInput { .. }
            | Chunk::Logprobs(_)
            | Chunk::StopDetails(_)
            | Chunk::WindowExceeded
            | Chunk::Blocked
            | Chunk::Guardrail(_)
            | Chunk::Usage(_) => {}
        }
    }
    message.tool_calls = calls.into_values().collect();
    let calls = !message.tool_calls.is_empty() || message.function_call.is_some();
    message.content = (!content.is_empty() || !calls).then_some(content);
    message.reasoning_content = (!reasoning.is_empty()).then_some(reasoning);
    (message, finish_reason)
}
