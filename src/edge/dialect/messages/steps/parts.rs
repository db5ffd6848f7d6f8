//! Converts what is whole when it arrives: token counts, images, and tools that AWS runs.

use serde_json::{Value, json};

use crate::{
    anthropic::reply::{
        CacheCreation, ContentBlock, ImageSource, OutputTokensDetails, ServerToolUse, Usage,
    },
    edge::dialect::chat_completions::cost,
    money,
};

/// Returns the usage in Anthropic's terms, where input excludes what the prompt cache holds.
pub fn wire_usage(usage: &money::Usage) -> Usage {
    let web_search_requests = usage.server_tool_uses;
    Usage {
        input_tokens: usage.input,
        cache_creation_input_tokens: usage.cache_write,
        cache_read_input_tokens: usage.cache_read,
        cache_creation: CacheCreation {
            ephemeral_5m_input_tokens: usage.cache_write_5m(),
            ephemeral_1h_input_tokens: usage.cache_write_1h,
        },
        output_tokens: usage.output,
        output_tokens_details: OutputTokensDetails {
            thinking_tokens: usage.reasoning,
        },
        server_tool_use: (web_search_requests > 0).then_some(ServerToolUse {
            web_search_requests,
        }),
        service_tier: usage.service_tier.map(|tier| match tier {
            "default" => "standard",
            other => other,
        }),
        cost: cost(usage),
        estimated: usage.estimated,
    }
}

/// Returns the block for a call of a tool that AWS runs, or for its result.
pub fn server_tool(block: &Value) -> Option<ContentBlock> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(call) = block.get("toolUse") {
        return Some(ContentBlock::ServerToolUse {
            id: text(&call["toolUseId"]),
            name: text(&call["name"]),
            input: call["input"].clone(),
        });
    }
    let result = block.get("toolResult")?;
    let content = result["content"].as_array().into_iter().flatten();
    let content = content.map(|part| match part["text"].as_str() {
        Some(text) => json!({"type": "text", "text": text}),
        None => json!({"type": "text", "text": part["json"].to_string()}),
    });
    Some(ContentBlock::WebSearchToolResult {
        tool_use_id: text(&result["toolUseId"]),
        content: content.collect(),
    })
}

/// Splits the data URL of an image.
pub fn image(url: &str) -> Option<ImageSource> {
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(ImageSource {
        r#type: "base64",
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    })
}
