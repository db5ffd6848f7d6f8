//! Writes replies of Messages, whole and as server-sent events.

use axum::{http::HeaderValue, response::Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::simulator::{
    fault::{Break, Plan},
    invoke::chat::{Outcome, replies, report_guardrail},
    parts::in_parts,
    reply::whole_body,
};

fn is_blocked(outcome: &Outcome<'_>) -> bool {
    outcome.answer.stop_reason == "guardrail_intervened"
}

pub fn whole(model: &str, outcome: &Outcome<'_>, plan: &Plan) -> Response {
    let mut body = replies::anthropic(outcome);
    body["model"] = model.into();
    report_guardrail(&mut body, outcome.answer, is_blocked(outcome));
    if plan.breaks == Some(Break::NoMetadata) {
        body["usage"] = json!({});
    }
    whole_body(&body, plan)
}

pub fn stream(model: &str, outcome: &Outcome<'_>, plan: &Plan) -> Response {
    let (mut events, stop) = replies::anthropic_events(outcome);
    events[0]["message"]["model"] = model.into();
    if let Some(last) = events.last_mut() {
        report_guardrail(last, outcome.answer, is_blocked(outcome));
    }
    match plan.breaks {
        // Neither the stop reason nor the end.
        Some(Break::NoStop) => events.truncate(stop),
        // The stop reason, but not the end.
        Some(Break::NoDone) => events.truncate(stop + 1),
        Some(Break::NoMetadata) => {
            events[0]["message"]["usage"] = json!({});
            events[stop]["usage"] = json!({});
        }
        _ => {}
    }
    // Pings may come anywhere, and are no content.
    events.insert(1, json!({"type": "ping"}));
    let mut parts: Vec<Bytes> = events.iter().map(event).collect();
    let middle = (parts.len() / 2).max(2);
    let error = |name: &str| {
        event(
            &json!({"type": "error", "error": {"type": name, "message": "requested by a directive"}}),
        )
    };
    match &plan.breaks {
        Some(Break::Exception(name)) => {
            parts.truncate(middle);
            parts.push(error(name));
        }
        Some(Break::FirstException(name)) => parts = vec![error(name)],
        Some(Break::BadCrc | Break::BadLength) => {
            parts[middle] =
                Bytes::from_static(b"event: content_block_delta\ndata: {\"type\": \n\n");
        }
        Some(Break::Truncate) => {
            parts[middle] = parts[middle].slice(..parts[middle].len() / 2);
            parts.truncate(middle + 1);
        }
        Some(Break::Stall | Break::Reset | Break::Cut) => parts.truncate(middle),
        _ => {}
    }
    let reset = plan.breaks == Some(Break::Reset);
    let mut response = in_parts(parts, plan.breaks.as_ref(), plan.pace, reset);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    response
}

fn event(event: &Value) -> Bytes {
    let name = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
}
