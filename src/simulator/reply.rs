//! Writes replies in the wire format of the service.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    ScriptedReply,
    answer::{Answer, Block, pieces},
    cache::CacheUsage,
    fault::{Break, Plan},
    frames::{encode_event, encode_exception},
    parts::in_parts,
    request_id::with_request_id,
};

pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

pub fn whole(request: &Value, answer: &Answer, cached: CacheUsage, plan: &Plan) -> Response {
    let mut body = json!({
        "metrics": {"latencyMs": 1},
        "output": {"message": {"content": content(answer), "role": "assistant"}},
        "stopReason": answer.stop_reason,
        "usage": usage(answer, cached),
    });
    if let Some(trace) = &answer.guardrail.trace {
        body["trace"] = json!({"guardrail": trace});
    }
    terms(request, &mut body);
    if let Some(stop) = requested_stop(request, answer, "/stop_sequence") {
        body["additionalModelResponseFields"] = json!({"stop_sequence": stop});
    }
    whole_body(&body, plan)
}

/// A reply in one piece, unless the request asks for a broken one.
pub fn whole_body(body: &Value, plan: &Plan) -> Response {
    let body = body.to_string();
    let mut response = match plan.breaks {
        // Half of the body, then the end of the connection.
        Some(Break::Reset | Break::Cut | Break::Truncate) => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            in_parts(
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

/// Echoes the service tier and the performance configuration of the request.
fn terms(request: &Value, reply: &mut Value) {
    for member in ["serviceTier", "performanceConfig"]
        .into_iter()
        .filter(|member| request[*member].is_object())
    {
        reply[member] = request[member].clone();
    }
}

/// The stop sequence that ended the text, if the request asks for it at `path`.
fn requested_stop<'a>(request: &Value, answer: &'a Answer, path: &str) -> Option<&'a str> {
    let paths = request["additionalModelResponseFieldPaths"].as_array()?;
    answer
        .stop_sequence
        .as_deref()
        .filter(|_| paths.iter().any(|requested| requested == path))
}

/// The content blocks of a whole reply.
pub fn content(answer: &Answer) -> Vec<Value> {
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

/// A block in a stream: its start, if it has one, and its deltas.
pub fn deltas(block: &Block) -> (Option<Value>, Vec<Value>) {
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
            // The service cuts anywhere, and its first fragment is often empty.
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

pub fn stream(request: &Value, answer: &Answer, cached: CacheUsage, plan: &Plan) -> Response {
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
    if let Some(met) = requested_stop(request, answer, "/delta/stop_sequence") {
        stop["additionalModelResponseFields"] = json!({"delta": {"stop_sequence": met}});
    }
    frames.push(event("messageStop", stop));
    let mut metadata = json!({"metrics": {"latencyMs": 1}, "usage": usage(answer, cached)});
    if let Some(trace) = &answer.guardrail.trace {
        metadata["trace"] = json!({"guardrail": trace});
    }
    terms(request, &mut metadata);
    frames.push(event("metadata", metadata));
    framed(frames, plan)
}

/// A stream of frames, unless the request asks for a broken one.
pub fn framed(mut frames: Vec<Bytes>, plan: &Plan) -> Response {
    let middle = (frames.len() / 2).max(2);
    match &plan.breaks {
        Some(Break::Exception(name)) => {
            frames.truncate(middle);
            frames.push(encode_exception(
                name,
                r#"{"message":"requested by a directive"}"#,
            ));
        }
        Some(Break::FirstException(name)) => {
            frames = vec![encode_exception(
                name,
                r#"{"message":"requested by a directive"}"#,
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
        Some(Break::Linger | Break::NoDone) | None => {}
    }
    let reset = plan.breaks == Some(Break::Reset);
    let mut response = in_parts(frames, plan.breaks.as_ref(), plan.pace, reset);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(EVENT_STREAM));
    response
}

pub fn from_script(scripted: ScriptedReply) -> Response {
    let mut response = in_parts(scripted.body, None, None, false);
    *response.status_mut() =
        StatusCode::from_u16(scripted.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &scripted.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A reply of an operation that does not stream.
pub fn json(body: &Value) -> Response {
    let mut response = with_request_id(200, Body::from(body.to_string()));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

pub fn usage(answer: &Answer, cached: CacheUsage) -> Value {
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
    if cached != CacheUsage::default() {
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

/// A prelude with a correct checksum that announces a frame of 4 GiB.
fn absurd_prelude() -> Bytes {
    let mut bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.into()
}

/// The frame with one bit of its payload flipped.
fn damaged(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    bytes.into()
}
