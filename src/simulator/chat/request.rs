//! A chat completions request, as the simulated model reads it: in the form of Converse.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

/// Returns the request in the form of Converse.
pub fn as_converse(request: &Value, headers: &HeaderMap) -> Value {
    let mut system = Vec::new();
    let mut turns: Vec<Value> = Vec::new();
    for message in request["messages"].as_array().into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        let mut blocks = blocks(&message["content"]);
        match role {
            "system" => {
                system.append(&mut blocks);
                continue;
            }
            "tool" => {
                let id = &message["tool_call_id"];
                let result = json!({"toolResult": {"toolUseId": id, "content": blocks}});
                add(&mut turns, "user", vec![result]);
            }
            role => {
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                blocks.extend(calls.map(|call| {
                    let function = &call["function"];
                    json!({"toolUse": {"toolUseId": call["id"], "name": function["name"]}})
                }));
                add(&mut turns, role, blocks);
            }
        }
    }
    let limit = request["max_tokens"].as_u64();
    let limit = limit.or(request["max_completion_tokens"].as_u64());
    let stops = match &request["stop"] {
        Value::String(stop) => json!([stop]),
        other => other.clone(),
    };
    let mut converse = json!({
        "system": system, "messages": turns,
        "inferenceConfig": {"maxTokens": limit, "stopSequences": stops},
        "additionalModelRequestFields": {},
    });
    let effort = request["reasoning_effort"].as_str();
    if let Some(effort) = effort.filter(|effort| *effort != "none") {
        converse["additionalModelRequestFields"]["reasoning_effort"] = effort.into();
    }
    if let Some(tools) = request["tools"].as_array() {
        let tools = tools.iter().map(|tool| {
            let function = &tool["function"];
            json!({"toolSpec": {"name": function["name"], "description": function["description"], "inputSchema": {"json": function["parameters"]}}})
        });
        converse["toolConfig"] = json!({"tools": tools.collect::<Vec<_>>()});
        let choice = &request["tool_choice"];
        if choice == "required" {
            converse["toolConfig"]["toolChoice"] = json!({"any": {}});
        } else if choice.is_object() {
            let name = &choice["function"]["name"];
            converse["toolConfig"]["toolChoice"] = json!({"tool": {"name": name}});
        }
    }
    if request["response_format"]["type"] == "json_schema" {
        let schema = request["response_format"]["json_schema"]["schema"].to_string();
        converse["outputConfig"] =
            json!({"textFormat": {"structure": {"jsonSchema": {"schema": schema}}}});
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(id) = header("x-amzn-bedrock-guardrailidentifier") {
        let mut guardrail = Map::new();
        guardrail.insert("guardrailIdentifier".to_owned(), id.into());
        if header("x-amzn-bedrock-trace").is_some() {
            guardrail.insert("trace".to_owned(), "enabled".into());
        }
        converse["guardrailConfig"] = Value::Object(guardrail);
    }
    converse
}

fn add(turns: &mut Vec<Value>, role: &str, blocks: Vec<Value>) {
    let last = turns.last_mut().filter(|turn| turn["role"] == role);
    match last.and_then(|turn| turn["content"].as_array_mut()) {
        Some(content) => content.extend(blocks),
        None => turns.push(json!({"role": role, "content": blocks})),
    }
}

fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"text": text})],
        Value::Array(parts) => {
            let block = |part: &Value| match part["type"].as_str() {
                Some("text") => json!({"text": part["text"]}),
                _ => json!({"image": {}}),
            };
            parts.iter().map(block).collect()
        }
        _ => Vec::new(),
    }
}
