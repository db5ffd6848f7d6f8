//! Writes replies of chat completions, whole and as server-sent events.

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Host,
    rules::{Family, ReasoningForm},
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
    pub host: &'a Host,
    pub request: &'a Value,
    /// The number of messages of the request.
    pub turn: usize,
    pub usage: Value,
}

impl Terms<'_> {
    fn tags_reasoning(&self) -> bool {
        self.family.reasoning == ReasoningForm::Tag && *self.host == Host::Runtime
    }

    /// The deltas of the answer, in order.
    fn deltas(&self, answer: &Answer) -> Vec<Value> {
        let mut deltas = Vec::new();
        let mut calls = 0;
        for block in &answer.blocks {
            match block {
                Block::Reasoning { text, .. } if self.tags_reasoning() => {
                    let text = format!("<reasoning>{text}</reasoning>");
                    // Cuts the element's name.
                    let (head, tail) = text.split_at("<reason".len());
                    deltas.push(json!({"content": head}));
                    deltas.extend(pieces(tail).map(|piece| json!({"content": piece})));
                }
                Block::Reasoning { text, .. } => {
                    if self.family.reasoning != ReasoningForm::Hidden {
                        deltas.extend(pieces(text).map(|piece| json!({"reasoning": piece})));
                    }
                }
                Block::Text(text) | Block::Cited { text, .. } => {
                    deltas.extend(pieces(text).map(|piece| json!({"content": piece})));
                }
                Block::ToolUse { name, input, .. } => {
                    let id = match self.family.positional_ids {
                        true => format!("call_{calls}"),
                        false => format!("call_{}{calls:020}", self.turn),
                    };
                    let arguments = input.to_string();
                    let at = (arguments.len() / 2..=arguments.len())
                        .find(|at| arguments.is_char_boundary(*at))
                        .unwrap_or(0);
                    let (head, tail) = arguments.split_at(at);
                    let start = json!({"index": calls, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
                    deltas.push(json!({"tool_calls": [start]}));
                    for part in [head, tail] {
                        let more = json!({"index": calls, "function": {"arguments": part}});
                        deltas.push(json!({"tool_calls": [more]}));
                    }
                    calls += 1;
                }
                Block::ServerToolUse { .. } | Block::ServerToolResult { .. } => {}
            }
        }
        deltas
    }

    /// The message that the deltas build.
    fn message(&self, deltas: &[Value]) -> Value {
        let join = |name: &str| -> Option<String> {
            let texts: Vec<&str> = deltas
                .iter()
                .filter_map(|delta| delta[name].as_str())
                .collect();
            (!texts.is_empty()).then(|| texts.concat())
        };
        let mut calls: Vec<Value> = Vec::new();
        for delta in deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)) {
            if delta["id"].is_string() {
                let mut call = delta.clone();
                if let Some(call) = call.as_object_mut() {
                    call.shift_remove("index");
                }
                calls.push(call);
            } else if let Some(call) = calls.last_mut() {
                let so_far = call["function"]["arguments"].as_str().unwrap_or_default();
                let more = delta["function"]["arguments"].as_str().unwrap_or_default();
                call["function"]["arguments"] = format!("{so_far}{more}").into();
            }
        }
        let mut message = json!({"role": "assistant", "content": join("content"), "refusal": null});
        if let Some(reasoning) = join("reasoning") {
            message["reasoning"] = reasoning.into();
        }
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        message
    }

    fn finish_reason(&self, answer: &Answer) -> &'static str {
        match answer.stop_reason {
            "max_tokens" => "length",
            "tool_use" => "tool_calls",
            _ => "stop",
        }
    }

    /// The members of every object: a whole completion, or a chunk.
    fn object(&self, answer: &Answer, kind: &str) -> Value {
        let is_blocked = answer.stop_reason == "guardrail_intervened";
        let id = match is_blocked {
            true => "bedrock-guardrails-simulated",
            false => "chatcmpl-simulated",
        };
        let mut object = json!({
            "id": id, "object": kind, "created": 1_764_000_000, "model": self.request["model"],
            "choices": [], "service_tier": self.request["service_tier"].as_str().unwrap_or("standard"),
        });
        if answer.guardrail.trace.is_some() || is_blocked {
            let action = if is_blocked { "INTERVENED" } else { "NONE" };
            object["amazon-bedrock-guardrailAction"] = action.into();
        }
        object
    }

    pub fn whole(&self, answer: &Answer, plan: &Plan) -> Response {
        let mut body = self.object(answer, "chat.completion");
        let message = self.message(&self.deltas(answer));
        body["choices"] = json!([{
            "index": 0, "message": message, "finish_reason": self.finish_reason(answer), "logprobs": null,
        }]);
        body["usage"] = self.usage.clone();
        if let Some(trace) = &answer.guardrail.trace {
            body["amazon-bedrock-trace"] = trace_of(trace);
        }
        whole_body(&body, plan)
    }

    pub fn stream(&self, answer: &Answer, plan: &Plan) -> Response {
        let event = |choices: Value, more: &[(&str, Value)]| {
            let mut chunk = self.object(answer, "chat.completion.chunk");
            chunk["choices"] = choices;
            for (name, value) in more {
                chunk[*name] = value.clone();
            }
            Bytes::from(format!("data: {chunk}\n\n"))
        };
        let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}]);
        let mut parts = vec![event(
            choice(json!({"role": "assistant", "content": ""}), None),
            &[],
        )];
        for delta in self.deltas(answer) {
            parts.push(event(choice(delta, None), &[]));
        }
        // Usage comes twice, and the last one is right.
        let early = json!({"prompt_tokens": self.usage["prompt_tokens"], "completion_tokens": 1, "total_tokens": 1});
        let finish = choice(json!({}), Some(self.finish_reason(answer)));
        if plan.breaks != Some(Break::NoStop) {
            let early = match plan.breaks {
                Some(Break::NoMetadata) => Value::Null,
                _ => early,
            };
            parts.push(event(finish, &[("usage", early)]));
        }
        if plan.breaks != Some(Break::NoMetadata) {
            let trace = answer.guardrail.trace.as_ref().map(trace_of);
            let mut more = vec![("usage", self.usage.clone())];
            more.extend(trace.map(|trace| ("amazon-bedrock-trace", trace)));
            parts.push(event(json!([]), &more));
        }
        parts.push(Bytes::from_static(b"data: [DONE]\n\n"));
        if plan.breaks == Some(Break::NoDone) {
            // The finish reason is the last event.
            parts.truncate(parts.len() - 2);
        }
        let error = |name: &str| {
            let error = json!({"error": {"message": "requested by a directive", "type": name}});
            Bytes::from(format!("event: error\ndata: {error}\n\n"))
        };
        sse::stream(parts, plan, error)
    }
}

/// The trace of the guardrail, in the form of InvokeModel.
fn trace_of(trace: &Value) -> Value {
    let outputs = trace["outputAssessments"].as_object().into_iter().flatten();
    let outputs: Vec<Value> = outputs
        .flat_map(|(id, all)| {
            all.as_array()
                .into_iter()
                .flatten()
                .map(move |one| json!({id: one}))
        })
        .collect();
    json!({"guardrail": {"input": trace["inputAssessment"], "outputs": outputs}})
}
