//! A whole Converse reply into OpenAI's message.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use super::{answer::Answer, finish, plan::ReplyPlan};
use crate::{
    call::{Chunk, Notes, Usage, WholeChoice},
    converse::reply::{ContentBlock, ConverseReply},
    error::Error,
    openai::completion::{AssistantMessage, FinishReason, FunctionCall, ToolCall, ToolCallKind},
};

/// What a whole reply comes to: the steps of the same answer as a stream.
#[derive(Debug)]
pub struct Read {
    /// Ends with `Finish`, then perhaps `Guardrail`, then `Usage`.
    pub chunks: VecDeque<Chunk>,
    /// The model that a prompt router picked.
    pub invoked_model: Option<String>,
}

impl Read {
    /// What the reply has cost.
    pub fn usage(&self) -> Option<Usage> {
        self.chunks.iter().rev().find_map(|chunk| {
            if let Chunk::Usage(usage) = chunk {
                Some(*usage)
            } else {
                None
            }
        })
    }
}

/// # Errors
/// Where the model produced nothing that could be passed on.
pub fn whole_reply(
    reply: ConverseReply,
    plan: &Arc<ReplyPlan>,
    notes: &Notes,
) -> Result<Read, Error> {
    let mut answer = Answer::new(plan.clone(), notes.clone());
    let mut chunks = VecDeque::new();
    if matches!(
        reply.stop_reason.as_str(),
        "guardrail_intervened" | "content_filtered"
    ) {
        answer.is_blocked();
    }
    for (index, block) in (0..).zip(reply.output.message.content) {
        take(block, index, &mut answer, &mut chunks);
        answer.block_stop(index, &mut chunks);
    }
    let fields = reply.additional_model_response_fields.as_ref();
    answer.finish(
        &reply.stop_reason,
        finish::stop_sequence(fields),
        &mut chunks,
    )?;
    let reasoning = finish::reasoning_tokens(fields);
    let trace = reply.trace.unwrap_or_default();
    let usage = finish::usage(
        reply.usage,
        finish::Terms {
            tier: reply.service_tier,
            performance: reply.performance_config,
            router: trace.prompt_router.as_ref(),
        },
        reasoning,
        answer.written,
        plan,
    );
    if let Some(guardrail) = trace.guardrail.filter(|_| plan.show_guardrail) {
        chunks.push_back(Chunk::Guardrail(guardrail));
    }
    chunks.push_back(Chunk::Usage(usage));
    Ok(Read {
        chunks,
        invoked_model: trace
            .prompt_router
            .and_then(|router| router.invoked_model_id),
    })
}

fn take(block: ContentBlock, index: u32, answer: &mut Answer, out: &mut VecDeque<Chunk>) {
    if block.is_unknown() {
        answer.unknown("a kind of content that this version does not know");
    }
    if let Some(cited) = block.citations_content {
        for citation in cited.citations {
            answer.citation(
                index,
                serde_json::from_str(citation.get()).unwrap_or(Value::Null),
            );
        }
        for generated in cited.content {
            answer.text(generated.text, out);
        }
    }
    if let Some(text) = block.text {
        answer.text(text, out);
    }
    if let Some(reasoning) = block.reasoning_content {
        if let Some(text) = reasoning.reasoning_text {
            answer.reasoning(index, &text.text, out);
            answer.signature(index, text.signature.as_deref().unwrap_or_default());
        }
        if let Some(data) = reasoning.redacted_content {
            answer.redacted(index, &data);
        }
    }
    if let Some(call) = block.tool_use {
        answer.tool_start(
            index,
            &call.tool_use_id,
            &call.name,
            call.kind.as_deref(),
            out,
        );
        let input = call
            .input
            .map(|input| input.get().to_owned())
            .unwrap_or_default();
        answer.tool_input(index, input, out);
    }
    if let Some(image) = block.image {
        answer.image_start(index, &image.format);
        answer.image_data(index, image.source.bytes.as_deref(), image.error.is_some());
    }
    if let Some(result) = block.tool_result {
        answer.server_result(index, result.tool_use_id, result.kind, result.status);
        answer.server_result_content(index, result.content);
    }
    for (what, present) in [
        ("a document", block.document.is_some()),
        ("audio", block.audio.is_some()),
        ("a video", block.video.is_some()),
    ] {
        if present {
            answer.unknown(what);
        }
    }
}

/// The steps of one answer as a message, with what comes after it.
#[derive(Debug)]
pub struct Folded {
    pub choice: WholeChoice,
    pub usage: Usage,
    pub guardrail: Option<Value>,
}

/// Puts the steps of one answer together.
pub fn fold(chunks: impl IntoIterator<Item = Chunk>) -> Folded {
    let mut content = String::new();
    let mut reasoning = String::new();
    let mut message = AssistantMessage::default();
    let mut calls: BTreeMap<u32, ToolCall> = BTreeMap::new();
    let (mut finish_reason, mut usage, mut guardrail) =
        (FinishReason::Stop, Usage::default(), None);
    for chunk in chunks {
        match chunk {
            Chunk::Content(text) if content.is_empty() => content = text,
            Chunk::Content(text) => content.push_str(&text),
            Chunk::CitedContent(text, annotations) => {
                content.push_str(&text);
                message.annotations.extend(annotations);
            }
            Chunk::ReasoningContent(text) => reasoning.push_str(&text),
            Chunk::Thinking(block) => message.thinking_blocks.push(block),
            Chunk::ServerTool(block) => message.server_tool_blocks.push(block),
            Chunk::StopSequence(stop) => message.stop_sequence = Some(stop),
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
            Chunk::CustomToolCall { index, id, call } => {
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
            Chunk::Guardrail(trace) => guardrail = Some(trace),
            Chunk::Usage(counted) => usage = counted,
        }
    }
    message.tool_calls = calls.into_values().collect();
    let calls = !message.tool_calls.is_empty() || message.function_call.is_some();
    message.content = (!content.is_empty() || !calls).then_some(content);
    message.reasoning_content = (!reasoning.is_empty()).then_some(reasoning);
    Folded {
        choice: WholeChoice {
            message,
            finish_reason,
        },
        usage,
        guardrail,
    }
}
