//! Amazon Nova: the body of `messages-v1`, which has the blocks of Converse.
//! <https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html>

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Writer,
    body::Body,
    reply::{Counts, Reader, Reply},
};
use crate::{
    bedrock::{
        content::{CachePointBlock, ContentBlock, ConversationRole},
        event::{ContentBlockDelta, ContentBlockStart, ContentBlockStop, MessageStop},
        reply::{ConverseReply, Metadata, TokenUsage},
        request::{ConverseRequest, InferenceConfig, SystemContentBlock},
    },
    call::Warnings,
    error::Error,
    upstream::{
        converse::{finish, reply::add_block, stream},
        invoke::parse,
    },
};

#[derive(Serialize)]
struct Message<'a> {
    role: ConversationRole,
    content: Vec<Block<'a>>,
}

/// A block of Converse, or a text that ends a prefix to cache.
#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Same(&'a ContentBlock<'a>),
    #[serde(rename_all = "camelCase")]
    Cached {
        text: &'a str,
        cache_point: CachePointBlock,
    },
}

/// Returns the body of a request.
///
/// # Errors
/// If the request cannot be serialized.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let mut body = Body::default();
    body.set("schemaVersion", "messages-v1")?;
    let messages = request.messages.iter().map(|message| Message {
        role: message.role,
        content: blocks(&message.content, writer.warnings),
    });
    body.set("messages", &messages.collect::<Vec<_>>())?;
    body.set_list("system", &system(request))?;
    let mut fields = request.additional_model_request_fields.clone();
    if let Some(config) = &request.inference_config {
        body.set("inferenceConfig", &inference_config(config, &mut fields))?;
    }
    body.set_some("toolConfig", request.tool_config.as_ref())?;
    body.extend(&fields)?;
    Ok(body)
}

/// Returns the blocks of a turn. A cache point is a member of the text before it.
fn blocks<'r>(content: &'r [ContentBlock<'r>], warnings: &Warnings) -> Vec<Block<'r>> {
    let mut blocks = Vec::with_capacity(content.len());
    for block in content {
        match (block, blocks.last()) {
            (ContentBlock::CachePoint(point), Some(Block::Same(ContentBlock::Text(text)))) => {
                blocks.pop();
                blocks.push(Block::Cached {
                    text,
                    cache_point: *point,
                });
            }
            (ContentBlock::CachePoint(_), _) => warnings.add(
                "cache_control: a point was left out (this model accepts points only after text on InvokeModel)",
            ),
            _ => blocks.push(Block::Same(block)),
        }
    }
    blocks
}

fn system(request: &ConverseRequest<'_>) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    for block in &request.system {
        match block {
            SystemContentBlock::Text(text) => blocks.push(json!({"text": text})),
            SystemContentBlock::CachePoint(point) => {
                if let Some(last) = blocks.last_mut() {
                    last["cachePoint"] = serde_json::to_value(point).unwrap_or_default();
                }
            }
            // The translation makes none.
            SystemContentBlock::GuardContent(_) => {}
        }
    }
    blocks
}

/// Returns `inferenceConfig` with the additional fields that belong there.
fn inference_config(
    config: &InferenceConfig<'_>,
    fields: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = match serde_json::to_value(config) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    if let Some(Value::Object(more)) = fields.remove("inferenceConfig") {
        merged.extend(more);
    }
    if let Some(reasoning) = fields.remove("reasoningConfig") {
        merged.insert("reasoningConfig".to_owned(), reasoning);
    }
    merged
}

/// Reads the replies of Nova.
pub struct Nova;

/// One event: the name of an event of Converse, and its payload.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event<'a> {
    #[serde(borrow)]
    content_block_start: Option<ContentBlockStart<'a>>,
    #[serde(borrow)]
    content_block_delta: Option<ContentBlockDelta<'a>>,
    content_block_stop: Option<ContentBlockStop>,
    #[serde(borrow)]
    message_stop: Option<MessageStop<'a>>,
    metadata: Option<Metadata>,
}

impl Reader for Nova {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let whole: ConverseReply = parse(body)?;
        for (index, block) in (0..).zip(whole.output.message.content) {
            add_block(block, index, &mut reply.answer, &mut reply.chunks);
            reply.block_stop(index);
        }
        stop(
            &whole.stop_reason,
            whole.additional_model_response_fields.as_ref(),
            reply,
        );
        count(whole.usage, reply);
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let event: Event<'_> = stream::parse(event)?;
        if let Some(event) = &event.content_block_start {
            stream::start(event, &mut reply.answer, &mut reply.chunks);
        }
        if let Some(event) = event.content_block_delta {
            stream::delta(event, &mut reply.answer, &mut reply.chunks);
        }
        if let Some(event) = event.content_block_stop {
            reply.block_stop(event.content_block_index);
        }
        if let Some(event) = &event.message_stop {
            let fields = event.additional_model_response_fields.as_ref();
            stop(&event.stop_reason, fields, reply);
        }
        count(event.metadata.and_then(|metadata| metadata.usage), reply);
        Ok(())
    }
}

fn stop(reason: &str, fields: Option<&Value>, reply: &mut Reply) {
    reply.stop(reason, finish::stop_sequence(fields));
}

fn count(usage: Option<TokenUsage>, reply: &mut Reply) {
    if let Some(usage) = usage {
        let details = usage.cache_details.unwrap_or_default();
        let hour = details.iter().find(|detail| detail.ttl == "1h");
        let hour = hour.map(|detail| detail.input_tokens);
        let uses = usage.server_tool_usage.into_values();
        reply.count(Counts {
            input: Some(usage.input_tokens),
            output: Some(usage.output_tokens),
            cache_read: usage
                .cache_read_input_tokens
                .or(usage.cache_read_input_token_count),
            cache_write: usage
                .cache_write_input_tokens
                .or(usage.cache_write_input_token_count),
            cache_write_1h: hour.filter(|tokens| *tokens > 0),
            server_tool_uses: uses.reduce(i64::saturating_add),
        });
    }
}
