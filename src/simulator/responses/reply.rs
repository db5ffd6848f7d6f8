//! Writes replies, whole and as server-sent events, whose names and members are those of OpenAI's SDK.

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Family,
    items::{declared, encrypted, resolved},
};
use crate::simulator::{
    answer::{Answer, Block, pieces},
    fault::{Break, Plan},
    reply::whole_body,
    sse,
};

/// What the reply depends on, beside the answer.
pub struct Terms<'a> {
    pub family: &'a Family,
    pub request: &'a Value,
    pub usage: Value,
}

impl Terms<'_> {
    /// The items of the output.
    fn items(&self, answer: &Answer) -> Vec<Value> {
        let turn = self.request["input"].as_array().map_or(1, Vec::len);
        let item = |(nth, block): (usize, &Block)| match block {
            Block::Reasoning { text, .. } => {
                Some(self.reasoning(&format!("rs_{turn}_{nth}"), text))
            }
            Block::Text(text) | Block::Cited { text, .. } => {
                let part =
                    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
                let status = match answer.stop_reason {
                    "max_tokens" => "incomplete",
                    _ => "completed",
                };
                Some(json!({
                    "id": format!("msg_{turn}_{nth}"), "type": "message", "status": status, "role": "assistant", "content": [part],
                }))
            }
            Block::ToolUse { name, input, .. } => {
                let (namespace, name) = resolved(self.request, name);
                let call_id = format!("call_{turn:010}{nth:010}");
                let mut call = match self.is_custom(name) {
                    true => {
                        json!({"id": format!("ctc_{turn}_{nth}"), "type": "custom_tool_call", "status": "completed",
                        "call_id": call_id, "name": name, "input": input["input"]})
                    }
                    false => {
                        json!({"id": format!("fc_{turn}_{nth}"), "type": "function_call", "status": "completed",
                        "call_id": call_id, "name": name, "arguments": input.to_string()})
                    }
                };
                if let Some(namespace) = namespace {
                    call["namespace"] = namespace.into();
                }
                Some(call)
            }
            Block::ServerToolUse { .. } | Block::ServerToolResult { .. } => None,
        };
        answer.blocks.iter().enumerate().filter_map(item).collect()
    }

    /// Reports whether the tool has text as input.
    fn is_custom(&self, name: &str) -> bool {
        declared(self.request).any(|tool| tool["name"] == name && tool["type"] == "custom")
    }

    fn reasoning(&self, id: &str, text: &str) -> Value {
        if !self.family.encrypted {
            let content = json!([{"type": "reasoning_text", "text": text}]);
            return json!({"id": id, "type": "reasoning", "summary": [], "content": content});
        }
        // Two parts.
        let at = text.find(". ").map_or(text.len(), |at| at + 1);
        let summary = match self.request["reasoning"]["summary"].is_string() {
            true => [&text[..at], text[at..].trim()]
                .iter()
                .map(|text| json!({"type": "summary_text", "text": text}))
                .collect(),
            false => Vec::new(),
        };
        let summary = Value::Array(summary);
        let mut item = json!({"id": id, "type": "reasoning", "summary": summary});
        if self.request["include"].is_array() {
            item["encrypted_content"] = encrypted(id, &item["summary"]).into();
        }
        item
    }

    /// The reply with its output.
    fn response(&self, status: &str, output: &[Value], usage: &Value, answer: &Answer) -> Value {
        let cause = match (status, answer.stop_reason) {
            ("incomplete", "max_tokens") => json!({"reason": "max_output_tokens"}),
            ("incomplete", _) => json!({"reason": "content_filter"}),
            _ => Value::Null,
        };
        let request = self.request;
        json!({
            "id": "resp_simulated", "object": "response", "created_at": 1_764_000_000, "status": status, "background": false,
            "error": null, "incomplete_details": cause, "instructions": request["instructions"],
            "max_output_tokens": request["max_output_tokens"], "model": request["model"], "output": output,
            "parallel_tool_calls": true, "previous_response_id": null, "reasoning": request["reasoning"],
            "service_tier": request["service_tier"].as_str().unwrap_or("default"), "store": false, "temperature": 1.0,
            "text": {"format": {"type": "text"}}, "tool_choice": request["tool_choice"].as_str().unwrap_or("auto"),
            "tools": request["tools"].as_array().cloned().unwrap_or_default(), "top_p": 1.0, "truncation": "disabled",
            "usage": usage, "metadata": {},
        })
    }

    fn status(answer: &Answer) -> &'static str {
        match answer.stop_reason {
            "max_tokens" | "content_filtered" => "incomplete",
            _ => "completed",
        }
    }

    pub fn whole(&self, answer: &Answer, plan: &Plan) -> Response {
        let output = self.items(answer);
        let body = self.response(Self::status(answer), &output, &self.usage, answer);
        whole_body(&body, plan)
    }

    pub fn stream(&self, answer: &Answer, plan: &Plan) -> Response {
        let output = self.items(answer);
        let begun = self.response("in_progress", &[], &Value::Null, answer);
        let mut events = vec![
            json!({"type": "response.created", "response": begun}),
            json!({"type": "response.in_progress", "response": begun}),
        ];
        for (index, item) in output.iter().enumerate() {
            events.extend(item_events(index, item));
        }
        let usage = match plan.breaks {
            Some(Break::NoMetadata) => &Value::Null,
            _ => &self.usage,
        };
        if plan.breaks != Some(Break::NoStop) {
            let status = Self::status(answer);
            let response = self.response(status, &output, usage, answer);
            events.push(json!({"type": format!("response.{status}"), "response": response}));
        }
        let events = (0..)
            .zip(events)
            .map(|(number, event)| written(event, number));
        let error = |name: &str| {
            let message = "requested by a directive";
            let error = match plan.breaks {
                Some(Break::FirstException(_)) => {
                    let mut failed = self.response("failed", &[], &Value::Null, answer);
                    failed["error"] = json!({"code": name, "message": message});
                    json!({"type": "response.failed", "response": failed})
                }
                _ => json!({"type": "error", "code": name, "message": message, "param": null}),
            };
            written(error, 0)
        };
        sse::stream(events.collect(), plan, error)
    }
}

fn written(mut event: Value, number: usize) -> Bytes {
    event["sequence_number"] = number.into();
    let name = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
}

/// The events of one item: its beginning without content, the content in pieces, and the whole item.
fn item_events(index: usize, item: &Value) -> Vec<Value> {
    let event = |kind: &str, more: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "item_id": item["id"], "output_index": index});
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    let mut empty = item.clone();
    empty["status"] = "in_progress".into();
    for list in ["content", "summary"] {
        if empty[list].is_array() {
            empty[list] = json!([]);
        }
    }
    for member in ["arguments", "input"] {
        if empty[member].is_string() {
            empty[member] = "".into();
        }
    }
    let mut events =
        vec![json!({"type": "response.output_item.added", "output_index": index, "item": empty})];
    for (list, place) in [("summary", "summary_index"), ("content", "content_index")] {
        for (nth, part) in item[list].as_array().into_iter().flatten().enumerate() {
            let kind = part["type"].as_str().unwrap_or_default();
            let (part_name, text_name) = match kind {
                "summary_text" => ("reasoning_summary_part", "reasoning_summary_text"),
                "reasoning_text" => ("content_part", "reasoning_text"),
                _ => ("content_part", "output_text"),
            };
            let text = part["text"].as_str().unwrap_or_default();
            let mut blank = part.clone();
            blank["text"] = "".into();
            let added = json!({place: nth, "part": blank});
            events.push(event(&format!("{part_name}.added"), added));
            for piece in pieces(text) {
                let mut delta = json!({place: nth, "delta": piece});
                if kind == "output_text" {
                    delta["logprobs"] = json!([]);
                }
                events.push(event(&format!("{text_name}.delta"), delta));
            }
            let mut done = json!({place: nth, "text": text});
            if kind == "output_text" {
                done["logprobs"] = json!([]);
            }
            events.push(event(&format!("{text_name}.done"), done));
            let done = json!({place: nth, "part": part});
            events.push(event(&format!("{part_name}.done"), done));
        }
    }
    if let Some(arguments) = item["arguments"].as_str() {
        let at = (arguments.len() / 2..=arguments.len())
            .find(|at| arguments.is_char_boundary(*at))
            .unwrap_or(0);
        let (head, tail) = arguments.split_at(at);
        let deltas = [head, tail].map(|delta| json!({"delta": delta}));
        let name = "function_call_arguments";
        events.extend(deltas.map(|delta| event(&format!("{name}.delta"), delta)));
        let done = json!({"arguments": arguments, "name": item["name"]});
        events.push(event(&format!("{name}.done"), done));
    }
    if let Some(input) = item["input"].as_str() {
        let name = "custom_tool_call_input";
        for piece in pieces(input) {
            events.push(event(&format!("{name}.delta"), json!({"delta": piece})));
        }
        events.push(event(&format!("{name}.done"), json!({"input": input})));
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    events
}
