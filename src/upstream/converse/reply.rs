//! Translates a whole Converse reply into the chunks of an answer.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{answer::Answer, finish, plan::ReplyPlan};
use crate::{
    bedrock::reply::{ContentBlock, ConverseReply},
    call::Warnings,
    operation::chat::Chunk,
    upstream::{BilledError, chat::decoder::WholeAnswer},
};

/// Translates `reply` according to `plan`.
///
/// # Errors
/// If the stop reason means that there is no answer. The error has the usage of the reply.
pub fn whole_reply(
    reply: ConverseReply,
    plan: &Arc<ReplyPlan>,
    warnings: &Warnings,
) -> Result<WholeAnswer, BilledError> {
    let mut answer = Answer::new(plan.clone(), warnings.clone());
    let mut chunks = VecDeque::new();
    if matches!(
        reply.stop_reason.as_str(),
        "guardrail_intervened" | "content_filtered" | "refusal"
    ) {
        answer.skip_prefix();
    }
    for (index, block) in (0..).zip(reply.output.message.content) {
        add_block(block, index, &mut answer, &mut chunks);
        answer.block_stop(index, &mut chunks);
    }
    let fields = reply.additional_model_response_fields.as_ref();
    let trace = reply.trace.unwrap_or_default();
    let stop = finish::Stop {
        sequence: finish::stop_sequence(fields),
        details: finish::stop_details(fields),
        ..finish::Stop::new(&reply.stop_reason, trace.guardrail.as_ref())
    };
    let finished = answer.finish(stop, &mut chunks);
    let reasoning = finish::reasoning_tokens(fields);
    let usage = finish::usage(
        &reply.usage.into(),
        finish::Terms {
            tier: reply.service_tier,
            performance: reply.performance_config,
            router: trace.prompt_router.as_ref(),
            guardrail: trace.guardrail.as_ref(),
        },
        reasoning,
        answer.size,
        plan,
    );
    finished.map_err(|error| BilledError::new(error, usage))?;
    if let Some(guardrail) = trace.guardrail.filter(|_| plan.show_guardrail) {
        chunks.push_back(Chunk::Guardrail(guardrail));
    }
    chunks.push_back(Chunk::Usage(usage));
    Ok(WholeAnswer {
        chunks,
        invoked_model: trace
            .prompt_router
            .and_then(|router| router.invoked_model_id),
    })
}

/// Adds a whole content block to the answer.
pub fn add_block(block: ContentBlock, index: u32, answer: &mut Answer, out: &mut VecDeque<Chunk>) {
    if block.is_unknown() {
        answer.unknown("content of a type unknown to this version");
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
