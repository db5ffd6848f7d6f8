//! Reads whole messages and `message_*` events.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::citations::converse_citation;
use crate::{
    error::Error,
    upstream::{
        failure,
        invoke::{
            chat::reply::{Counts, Reader, Reply},
            parse,
        },
    },
};

/// Reads the replies of Claude.
pub struct Anthropic;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    usage: Usage,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: String,
    name: String,
    input: Option<Box<RawValue>>,
    citations: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_read_input_tokens: Option<i64>,
    cache_creation_input_tokens: Option<i64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

/// An event. Its members depend on `type`; each is absent in the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    index: u32,
    message: Option<Message>,
    content_block: Option<Block>,
    delta: Delta,
    usage: Usage,
    error: Failure,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Reader for Anthropic {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let message: Message = parse(body)?;
        for (index, mut block) in (0..).zip(message.content) {
            let input = block.input.take();
            start(index, block, reply);
            if let Some(input) = input {
                reply.tool_input(index, input.get().to_owned());
            }
            reply.block_stop(index);
        }
        count(message.usage, reply);
        reply.stop_details(message.stop_details);
        if let Some(reason) = &message.stop_reason {
            stop(reason, message.stop_sequence, reply);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let event: Event = parse(event)?;
        match event.kind.as_str() {
            "message_start" => count(event.message.unwrap_or_default().usage, reply),
            "content_block_start" => {
                start(event.index, event.content_block.unwrap_or_default(), reply);
            }
            "content_block_delta" => delta(event.index, event.delta, reply),
            "content_block_stop" => reply.block_stop(event.index),
            "message_delta" => {
                count(event.usage, reply);
                reply.stop_details(event.delta.stop_details);
                if let Some(reason) = &event.delta.stop_reason {
                    stop(reason, event.delta.stop_sequence, reply);
                }
            }
            "error" => {
                let Failure { kind, message } = event.error;
                return Err(failure::from_error_frame(&kind, &message));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Starts a block. In a stream, the input of a tool call follows in deltas.
fn start(index: u32, block: Block, reply: &mut Reply) {
    match block.kind.as_str() {
        "text" => {
            for citation in block.citations.unwrap_or_default() {
                reply.answer.citation(index, converse_citation(&citation));
            }
            reply.text(block.text.unwrap_or_default());
        }
        "thinking" => {
            reply.thinking(index, &block.thinking.unwrap_or_default());
            let signature = block.signature.unwrap_or_default();
            reply.answer.signature(index, &signature);
        }
        "redacted_thinking" => {
            let data = block.data.unwrap_or_default();
            reply.answer.redacted(index, &data);
        }
        "tool_use" => reply.tool_start(index, &block.id, &block.name),
        _ => reply.unknown(),
    }
}

fn delta(index: u32, delta: Delta, reply: &mut Reply) {
    if let Some(text) = delta.text {
        reply.text(text);
    }
    if let Some(thinking) = delta.thinking {
        reply.thinking(index, &thinking);
    }
    if let Some(signature) = delta.signature {
        reply.answer.signature(index, &signature);
    }
    if let Some(fragment) = delta.partial_json {
        reply.tool_input(index, fragment);
    }
    if let Some(citation) = delta.citation {
        reply.answer.citation(index, converse_citation(&citation));
    }
}

fn stop(reason: &str, sequence: Option<String>, reply: &mut Reply) {
    let reason = match reason {
        // The server's own tools, which this route does not send, would continue after a pause.
        "pause_turn" => "end_turn",
        same => same,
    };
    reply.stop(reason, sequence);
}

fn count(usage: Usage, reply: &mut Reply) {
    reply.count(Counts {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cache_read: usage.cache_read_input_tokens,
        cache_write: usage.cache_creation_input_tokens,
        cache_write_1h: usage
            .cache_creation
            .and_then(|written| written.ephemeral_1h_input_tokens)
            .filter(|tokens| *tokens > 0),
        ..Counts::default()
    });
    let details = usage.output_tokens_details;
    reply.count_reasoning(details.and_then(|details| details.thinking_tokens));
}
