//! Replies on the wire.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    Scripted,
    answer::{Answer, Block, pieces},
    cache::Cached,
    fault::{Break, Plan},
    frames::{encode_event, encode_exception},
};

pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Set on the way out by a reply whose connection must be reset rather than closed.
#[derive(Clone, Default)]
pub struct ResetOnDrop(pub Arc<AtomicBool>);

pub fn whole(request: &Value, answer: &Answer, cached: Cached, plan: &Plan) -> Response {
    let mut body = json!({
        "metrics": {"latencyMs": 1},
        "output": {"message": {"content": content(answer), "role": "assistant"}},
        "stopReason": answer.stop_reason,
        "usage": usage(answer, cached),
    });
    if let Some(trace) = &answer.trace {
        body["trace"] = json!({"guardrail": trace});
    }
    terms(request, &mut body);
    if let Some(stop) = told_stop(request, answer, "/stop_sequence") {
        body["additionalModelResponseFields"] = json!({"stop_sequence": stop});
    }
    let body = body.to_string();
    let mut response = match plan.breaks {
        // Half of the body, then the end of the connection.
        Some(Break::Reset | Break::Cut | Break::Truncate) => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            broken(
                vec![half],
                Some(&Break::Cut),
                None,
                plan.breaks == Some(Break::Reset),
            )
        }
        _ => with_request_id(200, Body::from(body)),
    };
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// On what terms the request is served: as it asked.
fn terms(request: &Value, reply: &mut Value) {
    for member in ["serviceTier", "performanceConfig"]
        .into_iter()
        .filter(|member| request[*member].is_object())
    {
        reply[member] = request[member].clone();
    }
}

/// The stop sequence that was met, for a request that wants to know.
fn told_stop<'a>(request: &Value, answer: &'a Answer, path: &str) -> Option<&'a str> {
    let paths = request["additionalModelResponseFieldPaths"].as_array()?;
    answer
        .stop_sequence
        .as_deref()
        .filter(|_| paths.iter().any(|asked| asked == path))
}

fn content(answer: &Answer) -> Vec<Value> {
    let block = |block: &Block| match block {
        Block::Text(text) => json!({"text": text}),
        Block::Reasoning { text, signature } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
        Block::ToolUse { id, name, input } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input}})
        }
        Block::ServerToolUse { id, name, input } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input, "type": "server_tool_use"}})
        }
        Block::ServerToolResult { id, text } => {
            json!({"toolResult": {"toolUseId": id, "content": [{"text": text}], "status": "success", "type": "web_search"}})
        }
        Block::Cited { text, citation } => {
            json!({"citationsContent": {"content": [{"text": text}], "citations": [citation]}})
        }
    };
    answer.blocks.iter().map(block).collect()
}

/// What a block looks like in a stream: how it starts, and its deltas.
fn deltas(block: &Block) -> (Option<Value>, Vec<Value>) {
    let texts = |text: &str| {
        pieces(text)
            .map(|piece| json!({"text": piece}))
            .collect::<Vec<_>>()
    };
    match block {
        Block::Text(text) => (None, texts(text)),
        Block::Reasoning { text, signature } => {
            let mut deltas: Vec<Value> = texts(text)
                .into_iter()
                .map(|delta| json!({"reasoningContent": delta}))
                .collect();
            deltas.push(json!({"reasoningContent": {"signature": signature}}));
            (None, deltas)
        }
        Block::ToolUse { id, name, input } => {
            let input = input.to_string();
            // In the middle of the text, wherever that may be; the first piece is often empty.
            let at = (input.len() / 2..=input.len())
                .find(|at| input.is_char_boundary(*at))
                .unwrap_or(0);
            let fragments = ["", &input[..at], &input[at..]];
            let deltas = fragments
                .map(|fragment| json!({"toolUse": {"input": fragment}}))
                .to_vec();
            (
                Some(json!({"toolUse": {"toolUseId": id, "name": name}})),
                deltas,
            )
        }
        Block::ServerToolUse { id, name, input } => {
            let deltas = vec![json!({"toolUse": {"input": input.to_string()}})];
            (
                Some(
                    json!({"toolUse": {"toolUseId": id, "name": name, "type": "server_tool_use"}}),
                ),
                deltas,
            )
        }
        Block::ServerToolResult { id, text } => {
            let start =
                json!({"toolResult": {"toolUseId": id, "status": "success", "type": "web_search"}});
            (Some(start), vec![json!({"toolResult": [{"text": text}]})])
        }
        Block::Cited { text, citation } => {
            let mut deltas = vec![json!({"citation": citation})];
            deltas.extend(texts(text));
            (None, deltas)
        }
    }
}

pub fn stream(request: &Value, answer: &Answer, cached: Cached, plan: &Plan) -> Response {
    let mut frames = Vec::new();
    let mut padding = 0;
    let mut event = |event_type: &str, mut payload: Value| {
        // The service pads every event with a member of varying length.
        padding = (padding + 7) % 52;
        payload["p"] =
            Value::from(&"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[..=padding]);
        encode_event(event_type, &payload.to_string())
    };
    frames.push(event("messageStart", json!({"role": "assistant"})));
    for (index, block) in answer.blocks.iter().enumerate() {
        let (start, deltas) = deltas(block);
        frames.extend(start.map(|start| {
            event(
                "contentBlockStart",
                json!({"contentBlockIndex": index, "start": start}),
            )
        }));
        for delta in deltas {
            frames.push(event(
                "contentBlockDelta",
                json!({"contentBlockIndex": index, "delta": delta}),
            ));
        }
        frames.push(event(
            "contentBlockStop",
            json!({"contentBlockIndex": index}),
        ));
    }
    let mut stop = json!({"stopReason": answer.stop_reason});
    if let Some(met) = told_stop(request, answer, "/delta/stop_sequence") {
        stop["additionalModelResponseFields"] = json!({"delta": {"stop_sequence": met}});
    }
    frames.push(event("messageStop", stop));
    let mut metadata = json!({"metrics": {"latencyMs": 1}, "usage": usage(answer, cached)});
    if let Some(trace) = &answer.trace {
        metadata["trace"] = json!({"guardrail": trace});
    }
    terms(request, &mut metadata);
    frames.push(event("metadata", metadata));
    let middle = (frames.len() / 2).max(2);
    match &plan.breaks {
        Some(Break::Exception(name)) => {
            frames.truncate(middle);
            frames.push(encode_exception(
                name,
                r#"{"message":"asked for by the request"}"#,
            ));
        }
        Some(Break::FirstException(name)) => {
            frames = vec![encode_exception(
                name,
                r#"{"message":"asked for by the request"}"#,
            )];
        }
        Some(Break::NoStop) => frames.retain(|frame| !contains(frame, b"messageStop")),
        Some(Break::NoMetadata) => frames.retain(|frame| !contains(frame, b"metadata")),
        Some(Break::BadCrc) => frames[middle] = damaged(&frames[middle]),
        Some(Break::BadLength) => frames[middle] = absurd_prelude(),
        Some(Break::Truncate) => {
            frames[middle] = frames[middle].slice(..frames[middle].len() / 2);
            frames.truncate(middle + 1);
        }
        Some(Break::Stall | Break::Reset | Break::Cut) => frames.truncate(middle),
        None => {}
    }
    let reset = plan.breaks == Some(Break::Reset);
    let mut response = broken(frames, plan.breaks.as_ref(), plan.pace, reset);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(EVENT_STREAM));
    response
}

pub fn scripted(scripted: Scripted) -> Response {
    let mut response = broken(scripted.body, None, None, false);
    *response.status_mut() =
        StatusCode::from_u16(scripted.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &scripted.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A whole reply of an operation that does not stream.
pub fn json(body: &Value) -> Response {
    let mut response = with_request_id(200, Body::from(body.to_string()));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// Every reply of the service has an id, in the form of a UUID.
pub fn with_request_id(status: u16, body: Body) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = format!(
        "00000000-0000-4000-8000-{:012x}",
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

pub fn usage(answer: &Answer, cached: Cached) -> Value {
    let Answer {
        input_tokens,
        output_tokens,
        ..
    } = answer;
    let mut usage = json!({
        "inputTokens": input_tokens, "outputTokens": output_tokens,
        "totalTokens": input_tokens + output_tokens + cached.total(), "serverToolUsage": {},
    });
    let searches = answer
        .blocks
        .iter()
        .filter(|block| matches!(block, Block::ServerToolUse { .. }))
        .count();
    if searches > 0 {
        usage["serverToolUsage"] = json!({"webSearchRequests": searches});
    }
    if cached != Cached::default() {
        usage["inputTokens"] = input_tokens.saturating_sub(cached.total()).into();
        if let (Some(usage), Value::Object(cache)) = (usage.as_object_mut(), cached.usage()) {
            usage.extend(cache);
        }
    }
    usage
}

fn contains(frame: &[u8], text: &[u8]) -> bool {
    frame.windows(text.len()).any(|window| window == text)
}

/// Announces a frame of 4 GiB; the checksum of the prelude is right.
fn absurd_prelude() -> Bytes {
    let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.into()
}

/// One bit of the payload differs.
fn damaged(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    bytes.into()
}

fn broken(
    parts: Vec<Bytes>,
    breaks: Option<&Break>,
    pace: Option<Duration>,
    reset: bool,
) -> Response {
    let end = match breaks {
        Some(Break::Stall) => End::Never,
        Some(Break::Reset | Break::Cut) => End::Abrupt,
        _ => End::Proper,
    };
    let flag = ResetOnDrop::default();
    let body = Parts {
        parts: parts.into_iter(),
        pace,
        timer: None,
        end,
        reset: reset.then(|| flag.clone()),
    };
    let mut response = with_request_id(200, Body::new(body));
    response.extensions_mut().insert(flag);
    response
}

#[derive(Clone, Copy)]
enum End {
    Proper,
    /// The connection ends, the body does not.
    Abrupt,
    Never,
}

/// A body that comes part by part, and ends as it was told.
struct Parts {
    parts: std::vec::IntoIter<Bytes>,
    pace: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    end: End,
    reset: Option<ResetOnDrop>,
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
        }
        // What was given is on its way when the next part, or the end, is asked for.
        let pause = self
            .pace
            .or_else(|| matches!(self.end, End::Abrupt).then_some(Duration::from_millis(1)));
        self.timer = pause.map(|pause| Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        if let Some(part) = self.parts.next() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        match self.end {
            End::Proper => Poll::Ready(None),
            End::Never => {
                // Nobody wakes this up but the end of the connection.
                self.timer = Some(Box::pin(sleep(Duration::from_secs(24 * 3600))));
                Poll::Pending
            }
            End::Abrupt => {
                if let Some(ResetOnDrop(flag)) = &self.reset {
                    flag.store(true, Ordering::Relaxed);
                }
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
        }
    }
}
