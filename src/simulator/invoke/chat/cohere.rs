//! Command R: a message, the turns before it, tools with the results of the last calls, and documents.

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::simulator::{
    ServiceError,
    answer::{Answer, Block, pieces},
    invoke::chat::replies::text,
};

/// The types of parameters.
const TYPES: [&str; 7] = ["str", "int", "float", "bool", "List", "Dict", "Any"];

/// Returns the Converse request that means the same as the body.
///
/// # Errors
/// `ValidationException` for members that do not fit together.
pub fn converse(body: &Value) -> Result<Value, ServiceError> {
    if let Some(p) = body["p"].as_f64().filter(|p| !(0.01..=0.99).contains(p)) {
        return Err(invalid(&format!("#/p: {p} is not between 0.01 and 0.99")));
    }
    let turn = |role: &str, text: &Value| json!({"role": role, "content": [{"text": text}]});
    let mut messages: Vec<Value> = list(&body["chat_history"])
        .map(|own| match own["role"].as_str() {
            Some("CHATBOT") => turn("assistant", &own["message"]),
            _ => turn("user", &own["message"]),
        })
        .collect();
    messages.push(turn("user", &body["message"]));
    documents(body, &mut messages);
    results(body, &mut messages)?;
    let mut request = json!({
        "messages": messages,
        "inferenceConfig": {"maxTokens": body["max_tokens"]},
    });
    let tools: Vec<Value> = list(&body["tools"]).map(tool).collect::<Result<_, _>>()?;
    if !tools.is_empty() {
        request["toolConfig"] = json!({"tools": tools});
    }
    if body["preamble"].is_string() {
        request["system"] = json!([{"text": body["preamble"]}]);
    }
    if body["stop_sequences"].is_array() {
        request["inferenceConfig"]["stopSequences"] = body["stop_sequences"].clone();
    }
    Ok(request)
}

fn list(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn invalid(what: &str) -> ServiceError {
    ServiceError::validation(format!(
        "Malformed input request: {what}, please reformat your input and try again."
    ))
}

/// Adds the documents to the last turn. The model always cites them.
fn documents(body: &Value, messages: &mut [Value]) {
    let Some(Value::Array(content)) = messages.last_mut().map(|last| last["content"].take()) else {
        return;
    };
    let found = list(&body["documents"]).map(
        |document| json!({"document": {"name": document["title"], "citations": {"enabled": true}}}),
    );
    let content: Vec<Value> = content.into_iter().chain(found).collect();
    if let Some(last) = messages.last_mut() {
        last["content"] = content.into();
    }
}

/// Adds the turn with the calls and the turn with their results.
fn results(body: &Value, messages: &mut Vec<Value>) -> Result<(), ServiceError> {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for (nth, result) in list(&body["tool_results"]).enumerate() {
        let call = &result["call"];
        if !list(&body["tools"]).any(|tool| tool["name"] == call["name"]) {
            return Err(invalid("#/tool_results: the called tool is not in tools"));
        }
        let id = format!("tooluse_{nth}");
        calls.push(json!({"toolUse": {"toolUseId": id, "name": call["name"], "input": call["parameters"]}}));
        let content: Vec<Value> = list(&result["outputs"])
            .map(|output| json!({"text": output["text"]}))
            .collect();
        results.push(json!({"toolResult": {"toolUseId": id, "content": content}}));
    }
    if !calls.is_empty() {
        messages.push(json!({"role": "assistant", "content": calls}));
        messages.push(json!({"role": "user", "content": results}));
    }
    Ok(())
}

fn tool(own: &Value) -> Result<Value, ServiceError> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let parameters = own["parameter_definitions"].as_object();
    for (name, definition) in parameters.into_iter().flatten() {
        let kind = definition["type"].as_str().unwrap_or_default();
        if !TYPES.contains(&kind) {
            return Err(invalid(&format!("#/tools: '{kind}' is no type of Python")));
        }
        let members = definition.as_object().into_iter().flatten();
        for (member, value) in members {
            let is_valid = match member.as_str() {
                "type" | "description" => value.is_string(),
                "required" => value.is_boolean(),
                _ => false,
            };
            if !is_valid {
                return Err(invalid(&format!("#/tools: extraneous key [{member}]")));
            }
        }
        let kind = match kind {
            "int" => "integer",
            "float" => "number",
            "bool" => "boolean",
            "List" => "array",
            "Dict" => "object",
            _ => "string",
        };
        properties.insert(name.clone(), json!({"type": kind}));
        if definition["required"] == true {
            required.push(name.clone());
        }
    }
    let schema = json!({"type": "object", "properties": properties, "required": required});
    Ok(
        json!({"toolSpec": {"name": own["name"], "description": own["description"], "inputSchema": {"json": schema}}}),
    )
}

fn reason(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "MAX_TOKENS",
        _ => "COMPLETE",
    }
}

fn calls(answer: &Answer) -> Vec<Value> {
    let calls = answer.blocks.iter().filter_map(|block| match block {
        Block::ToolUse { name, input, .. } => Some(json!({"name": name, "parameters": input})),
        _ => None,
    });
    calls.collect()
}

/// Cites the whole text.
fn citations(outcome: &Outcome<'_>) -> Vec<Value> {
    let text = text(outcome);
    let cited = outcome
        .answer
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Cited { citation, .. } => Some(&citation["location"]["documentPage"]),
            _ => None,
        });
    cited
        .map(|page| {
            let id = format!("doc_{}", page["documentIndex"]);
            json!({"start": 0, "end": text.chars().count(), "text": text, "document_ids": [id]})
        })
        .collect()
}

pub fn whole(outcome: &Outcome<'_>) -> Value {
    let mut body = json!({"response_id": "simulated", "generation_id": "simulated", "text": text(outcome),
           "chat_history": [], "finish_reason": reason(outcome.answer)});
    let calls = calls(outcome.answer);
    if !calls.is_empty() {
        body["tool_calls"] = calls.into();
    }
    let citations = citations(outcome);
    if !citations.is_empty() {
        body["citations"] = citations.into();
    }
    body
}

/// The events of a stream, and the index of the first that ends the message.
pub fn events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let text = text(outcome);
    let mut events = vec![
        json!({"event_type": "stream-start", "is_finished": false, "generation_id": "simulated"}),
    ];
    events.extend(pieces(&text).map(
        |piece| json!({"event_type": "text-generation", "is_finished": false, "text": piece}),
    ));
    events.extend(citations(outcome).into_iter().map(
        |one| json!({"event_type": "citation-generation", "is_finished": false, "citations": [one]}),
    ));
    let calls = calls(outcome.answer);
    if !calls.is_empty() {
        events.push(
            json!({"event_type": "tool-calls-generation", "is_finished": false,
                           "text": text, "tool_calls": calls}),
        );
    }
    let end = events.len();
    events.push(json!({"event_type": "stream-end", "is_finished": true,
                       "finish_reason": reason(outcome.answer), "response": whole(outcome)}));
    (events, end)
}
