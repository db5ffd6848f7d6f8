//! Server-sent events of the OpenAI-compatible endpoints, and how they break.

use axum::{http::HeaderValue, response::Response};
use bytes::Bytes;

use super::{
    fault::{Break, Plan},
    parts::in_parts,
};

/// A stream of `events`, broken as the plan says. `error` writes the event of an error.
pub fn stream(mut events: Vec<Bytes>, plan: &Plan, error: impl Fn(&str) -> Bytes) -> Response {
    let middle = (events.len() / 2).max(2).min(events.len() - 1);
    match &plan.breaks {
        Some(Break::Exception(name)) => {
            events.truncate(middle);
            events.push(error(name));
        }
        Some(Break::FirstException(name)) => events = vec![error(name)],
        Some(Break::BadCrc | Break::BadLength) => {
            events[middle] = Bytes::from_static(b"data: {\"choices\": [\n\n");
        }
        Some(Break::Truncate) => {
            events[middle] = events[middle].slice(..events[middle].len() / 2);
            events.truncate(middle + 1);
        }
        Some(Break::Stall | Break::Reset | Break::Cut) => events.truncate(middle),
        _ => {}
    }
    let reset = plan.breaks == Some(Break::Reset);
    let mut response = in_parts(events, plan.breaks.as_ref(), plan.pace, reset);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    response
}
