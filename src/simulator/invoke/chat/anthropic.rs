//! Bodies of Claude and Nova, as Converse requests.

use serde_json::{Map, Value, json};

use crate::simulator::ServiceError;

/// Members of the body that Converse has in `additionalModelRequestFields`.
const FIELDS: [&str; 3] = ["thinking", "top_k", "tool_choice"];

/// The media types of images.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Returns the Converse request for a body of Claude.
///
/// # Errors
/// `ValidationException` for a block that Claude rejects.
pub fn converse(body: &Value) -> Result<Value, ServiceError> {
    let mut messages = Vec::new();
    let mut calls: Vec<String> = Vec::new();
    for (at, message) in list(&body["messages"]).iter().enumerate() {
        let mut content = Vec::new();
        let mut own_calls = Vec::new();
        for (nth, one) in content_of(&message["content"]).iter().enumerate() {
            let place = format!("messages.{at}.content.{nth}");
            match one["type"].as_str() {
                Some("tool_use") => own_calls.push(text(&one["id"])),
                Some("tool_result") if !calls.contains(&text(&one["tool_use_id"])) => {
                    return Err(invalid(&format!(
                        "{place}: unexpected `tool_use_id` found in `tool_result` blocks"
                    )));
                }
                _ => {}
            }
            content.push(block(one, &place)?);
            content.extend(cache_point(one));
        }
        calls = own_calls;
        messages.push(json!({"role": message["role"], "content": content}));
    }
    let mut system = Vec::new();
    for one in &content_of(&body["system"]) {
        system.push(json!({"text": one["text"]}));
        system.extend(cache_point(one));
    }
    let mut fields = Map::new();
    for name in FIELDS {
        if !body[name].is_null() {
            fields.insert(name.to_owned(), body[name].clone());
        }
    }
    let mut request = json!({
        "messages": messages,
        "system": system,
        "inferenceConfig": {"maxTokens": body["max_tokens"]},
        "additionalModelRequestFields": fields,
    });
    if !body["stop_sequences"].is_null() {
        request["inferenceConfig"]["stopSequences"] = body["stop_sequences"].clone();
    }
    let mut tools = Vec::new();
    for tool in list(&body["tools"]) {
        tools.push(json!({"toolSpec": {"name": tool["name"], "description": tool["description"], "inputSchema": {"json": tool["input_schema"]}}}));
        tools.extend(cache_point(tool));
    }
    if !tools.is_empty() {
        request["toolConfig"] = json!({"tools": tools});
    }
    let format = &body["output_config"]["format"];
    if format.is_object() {
        let schema = format["schema"].to_string();
        request["outputConfig"] =
            json!({"textFormat": {"structure": {"jsonSchema": {"schema": schema}}}});
    }
    Ok(request)
}

/// Returns the blocks of content, which may be a text.
fn content_of(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        content => list(content).to_vec(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::validation(message)
}

fn cache_point(block: &Value) -> Option<Value> {
    let control = &block["cache_control"];
    if control["type"] != "ephemeral" {
        return None;
    }
    let mut point = json!({"type": "default"});
    if !control["ttl"].is_null() {
        point["ttl"] = control["ttl"].clone();
    }
    Some(json!({"cachePoint": point}))
}

/// The members of each type of block.
fn members(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "text" => &["text"],
        "image" => &["source"],
        "document" => &["source", "title", "context", "citations"],
        "search_result" => &["source", "title", "content", "citations"],
        "thinking" => &["thinking", "signature"],
        "redacted_thinking" => &["data"],
        "tool_use" => &["id", "name", "input"],
        "tool_result" => &["tool_use_id", "content", "is_error"],
        "tool_reference" => &["tool_name"],
        _ => return None,
    })
}

fn block(block: &Value, place: &str) -> Result<Value, ServiceError> {
    let kind = block["type"].as_str().unwrap_or_default();
    let Some(allowed) = members(kind) else {
        return Err(invalid(&format!("{place}: Input tag '{kind}' is unknown")));
    };
    let unknown = block.as_object().into_iter().flatten().find(|(name, _)| {
        !["type", "cache_control"].contains(&name.as_str()) && !allowed.contains(&name.as_str())
    });
    if let Some((name, _)) = unknown {
        return Err(invalid(&format!(
            "{place}.{kind}.{name}: Extra inputs are not permitted"
        )));
    }
    Ok(match kind {
        "text" if text(&block["text"]).trim().is_empty() => {
            return Err(invalid("messages: text content blocks must be non-empty"));
        }
        "text" => json!({"text": block["text"]}),
        "image" => {
            let source = &block["source"];
            let media_type = text(&source["media_type"]);
            if source["type"] != "base64" || !IMAGES.contains(&media_type.as_str()) {
                return Err(invalid(&format!("{place}.image.source: is not supported")));
            }
            json!({"image": {"format": media_type.trim_start_matches("image/"), "source": {"bytes": source["data"]}}})
        }
        "document" => {
            let source = &block["source"];
            let is_pdf = source["type"] == "base64" && source["media_type"] == "application/pdf";
            let is_text = source["type"] == "text" && source["media_type"] == "text/plain";
            if !is_pdf && !is_text {
                return Err(invalid(&format!(
                    "{place}.document.source: is not supported"
                )));
            }
            json!({"document": {"name": block["title"], "source": {"bytes": source["data"]}, "citations": block["citations"]}})
        }
        "tool_use" => {
            json!({"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}})
        }
        "tool_result" => {
            let content = content_of(&block["content"]);
            let content: Result<Vec<Value>, ServiceError> = content
                .iter()
                .enumerate()
                .map(|(nth, one)| self::block(one, &format!("{place}.content.{nth}")))
                .collect();
            json!({"toolResult": {"toolUseId": block["tool_use_id"], "content": content?}})
        }
        "thinking" if text(&block["signature"]).is_empty() => {
            return Err(invalid(&format!(
                "{place}.thinking.signature: Field required"
            )));
        }
        "thinking" => {
            json!({"reasoningContent": {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}})
        }
        "tool_reference" => json!({"text": block["tool_name"]}),
        "redacted_thinking" => json!({"reasoningContent": {"redactedContent": block["data"]}}),
        _ => json!({"searchResult": {"content": block["content"]}}),
    })
}

/// Returns the Converse request for a body of Nova, whose blocks are the same.
pub fn converse_of_nova(body: &Value) -> Value {
    let split = |blocks: &Value| -> Vec<Value> {
        let mut out = Vec::new();
        for block in list(blocks) {
            let mut block = block.clone();
            let point = block
                .as_object_mut()
                .and_then(|members| members.remove("cachePoint"));
            out.push(block);
            out.extend(point.map(|point| json!({"cachePoint": point})));
        }
        out
    };
    let messages: Vec<Value> = list(&body["messages"])
        .iter()
        .map(|message| json!({"role": message["role"], "content": split(&message["content"])}))
        .collect();
    let mut request = json!({
        "messages": messages,
        "system": split(&body["system"]),
        "inferenceConfig": body["inferenceConfig"],
        "additionalModelRequestFields": {"reasoningConfig": body["inferenceConfig"]["reasoningConfig"]},
    });
    if body["toolConfig"].is_object() {
        request["toolConfig"] = body["toolConfig"].clone();
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_may_be_a_text() {
        let read = |content: Value| {
            let messages = json!([{"role": "user", "content": content}]);
            converse(&json!({"messages": messages, "system": "Be brief", "max_tokens": 9})).unwrap()
        };
        let blocks = read(json!([{"type": "text", "text": "Hi"}]));
        assert_eq!(read(json!("Hi")), blocks);
        assert_eq!(blocks["system"], json!([{"text": "Be brief"}]));
    }
}
