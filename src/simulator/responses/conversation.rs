//! A request, as the simulated model reads it: in the form of Converse.

use serde_json::{Value, json};

use super::items::full_name;
use crate::simulator::answer::pieces;

/// The number of tokens of the simulated model's reasoning, which the limit of the output includes.
const THOUGHTS: &str = "The user said something. I repeat it.";

/// Returns the request in the form of Converse.
pub fn as_converse(request: &Value) -> Value {
    let mut system: Vec<Value> = request["instructions"]
        .as_str()
        .map(|text| json!({"text": text}))
        .into_iter()
        .collect();
    let mut turns: Vec<Value> = Vec::new();
    if let Some(text) = request["input"].as_str() {
        add(&mut turns, "user", vec![json!({"text": text})]);
    }
    for item in request["input"].as_array().into_iter().flatten() {
        match item["type"].as_str().unwrap_or("message") {
            "function_call" | "custom_tool_call" => {
                let name = full_name(&item["namespace"], &item["name"]);
                let call = json!({"toolUseId": item["call_id"], "name": name});
                add(&mut turns, "assistant", vec![json!({"toolUse": call})]);
            }
            "function_call_output" | "custom_tool_call_output" => {
                let content = blocks(&item["output"]);
                let result = json!({"toolUseId": item["call_id"], "content": content});
                add(&mut turns, "user", vec![json!({"toolResult": result})]);
            }
            "message" => match item["role"].as_str().unwrap_or_default() {
                "system" | "developer" => system.extend(blocks(&item["content"])),
                role => add(&mut turns, role, blocks(&item["content"])),
            },
            // Reasoning counts nothing here.
            _ => {}
        }
    }
    let effort = match &request["reasoning"] {
        Value::Object(reasoning) => reasoning
            .get("effort")
            .and_then(Value::as_str)
            .unwrap_or("medium"),
        _ => "none",
    };
    let thoughts = match effort {
        "none" => 0,
        _ => pieces(THOUGHTS).count() as u64,
    };
    let limit = request["max_output_tokens"].as_u64().unwrap_or(u64::MAX);
    let mut converse = json!({
        "system": system, "messages": turns,
        "inferenceConfig": {"maxTokens": limit.saturating_sub(thoughts)},
        "additionalModelRequestFields": {"reasoning": {"effort": effort}},
    });
    if let Some(tools) = request["tools"].as_array() {
        let spaces = tools.iter().flat_map(|tool| match &tool["tools"] {
            Value::Array(inner) => inner.iter().map(|one| (&tool["name"], one)).collect(),
            _ => vec![(&Value::Null, tool)],
        });
        let tools = spaces.map(|(namespace, tool)| {
            let name = full_name(namespace, &tool["name"]);
            let schema = match tool["type"] == "custom" {
                true => json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}),
                false => tool["parameters"].clone(),
            };
            json!({"toolSpec": {"name": name, "description": tool["description"], "inputSchema": {"json": schema}}})
        });
        converse["toolConfig"] = json!({"tools": tools.collect::<Vec<_>>()});
        let choice = &request["tool_choice"];
        if choice == "required" {
            converse["toolConfig"]["toolChoice"] = json!({"any": {}});
        } else if choice.is_object() {
            converse["toolConfig"]["toolChoice"] = json!({"tool": {"name": choice["name"]}});
        }
    }
    let format = &request["text"]["format"];
    if format["type"] == "json_schema" {
        let schema = format["schema"].to_string();
        converse["outputConfig"] =
            json!({"textFormat": {"structure": {"jsonSchema": {"schema": schema}}}});
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
                Some("input_text" | "output_text") => json!({"text": part["text"]}),
                _ => json!({"image": {}}),
            };
            parts.iter().map(block).collect()
        }
        _ => Vec::new(),
    }
}
