//! Replies of Claude, Nova and the families that answer with one text.

use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::answer::{Answer, Block, pieces};

/// Puts reasoning before an answer that has none.
pub fn think(answer: &mut Answer) {
    let text = "The user said something. I repeat it.".to_owned();
    answer.output_tokens += pieces(&text).count();
    let signature = String::new();
    answer
        .blocks
        .insert(0, Block::Reasoning { text, signature });
}

fn usage(outcome: &Outcome<'_>) -> Value {
    crate::simulator::reply::usage(outcome.answer, outcome.cached)
}

fn anthropic_usage(outcome: &Outcome<'_>) -> Value {
    let usage = usage(outcome);
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let hour = usage["cacheDetails"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|detail| detail["ttl"] == "1h")
        .filter_map(|detail| detail["inputTokens"].as_u64())
        .sum::<u64>();
    json!({
        "input_tokens": count("inputTokens"),
        "cache_creation_input_tokens": count("cacheWriteInputTokens"),
        "cache_read_input_tokens": count("cacheReadInputTokens"),
        "cache_creation": {"ephemeral_5m_input_tokens": count("cacheWriteInputTokens") - hour, "ephemeral_1h_input_tokens": hour},
        "output_tokens": count("outputTokens"),
    })
}

fn anthropic_stop(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "guardrail_intervened" => "end_turn",
        same => same,
    }
}

fn anthropic_blocks(answer: &Answer) -> Vec<Value> {
    let block = |block: &Block| match block {
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::Reasoning { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Block::ToolUse { id, name, input } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
        Block::Cited { text, .. } => json!({"type": "text", "text": text, "citations": [{
            "type": "page_location", "cited_text": "a line", "document_index": 0, "document_title": "document",
            "start_page_number": 1, "end_page_number": 2}]}),
        Block::ServerToolUse { .. } | Block::ServerToolResult { .. } => Value::Null,
    };
    answer.blocks.iter().map(block).collect()
}

pub fn anthropic(outcome: &Outcome<'_>) -> Value {
    let answer = outcome.answer;
    json!({
        "id": "msg_bdrk_simulated", "type": "message", "role": "assistant", "model": "claude-simulated",
        "content": anthropic_blocks(answer),
        "stop_reason": anthropic_stop(answer), "stop_sequence": answer.stop_sequence,
        "usage": anthropic_usage(outcome),
    })
}

pub fn anthropic_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let answer = outcome.answer;
    let mut usage = anthropic_usage(outcome);
    let output_tokens = usage["output_tokens"].take();
    usage["output_tokens"] = 1.into();
    let mut events = vec![json!({"type": "message_start", "message": {
        "id": "msg_bdrk_simulated", "type": "message", "role": "assistant", "model": "claude-simulated", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage}})];
    for (index, mut block) in anthropic_blocks(answer).into_iter().enumerate() {
        let mut deltas = Vec::new();
        let mut take = |member: &str, kind: &str, delta: &str| {
            if let Some(text) = block[member].as_str().map(str::to_owned) {
                block[member] = "".into();
                let pieces = pieces(&text).map(|piece| json!({"type": kind, delta: piece}));
                deltas.extend(pieces);
            }
        };
        take("text", "text_delta", "text");
        take("thinking", "thinking_delta", "thinking");
        take("signature", "signature_delta", "signature");
        if block["citations"].is_array() {
            let citation = block["citations"][0].take();
            block["citations"] = json!([]);
            deltas.insert(0, json!({"type": "citations_delta", "citation": citation}));
        }
        if block["input"].is_object() {
            let input = block["input"].take().to_string();
            block["input"] = json!({});
            let at = (input.len() / 2..=input.len())
                .find(|at| input.is_char_boundary(*at))
                .unwrap_or(0);
            for fragment in ["", &input[..at], &input[at..]] {
                deltas.push(json!({"type": "input_json_delta", "partial_json": fragment}));
            }
        }
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let end = events.len();
    events.push(json!({"type": "message_delta",
        "delta": {"stop_reason": anthropic_stop(answer), "stop_sequence": answer.stop_sequence},
        "usage": {"output_tokens": output_tokens}}));
    events.push(json!({"type": "message_stop"}));
    (events, end)
}

pub fn nova(outcome: &Outcome<'_>) -> Value {
    let blocks = crate::simulator::reply::content(outcome.answer);
    json!({
        "output": {"message": {"content": blocks, "role": "assistant"}},
        "stopReason": outcome.answer.stop_reason,
        "usage": usage(outcome),
    })
}

pub fn nova_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let mut events = vec![json!({"messageStart": {"role": "assistant"}})];
    for (index, block) in outcome.answer.blocks.iter().enumerate() {
        let (start, deltas) = crate::simulator::reply::deltas(block);
        events.extend(start.map(
            |start| json!({"contentBlockStart": {"contentBlockIndex": index, "start": start}}),
        ));
        events.extend(deltas.into_iter().map(
            |delta| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}),
        ));
        events.push(json!({"contentBlockStop": {"contentBlockIndex": index}}));
    }
    let end = events.len();
    events.push(json!({"messageStop": {"stopReason": outcome.answer.stop_reason}}));
    events.push(json!({"metadata": {"usage": usage(outcome), "metrics": {}, "trace": {}}}));
    (events, end)
}

/// The answer as one text. Families that reason put the reasoning first.
pub fn text(outcome: &Outcome<'_>) -> String {
    let mut text = String::new();
    for block in &outcome.answer.blocks {
        match block {
            Block::Text(more) | Block::Cited { text: more, .. } => text.push_str(more),
            // The prompt has opened it.
            Block::Reasoning { text: more, .. } if outcome.reasons => {
                text.push_str(&format!("{more}\n</think>\n\n"));
            }
            _ => {}
        }
    }
    text
}

fn stop(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "length",
        _ => "stop",
    }
}

pub fn llama(outcome: &Outcome<'_>) -> Value {
    let answer = outcome.answer;
    json!({"generation": text(outcome), "prompt_token_count": answer.input_tokens,
           "generation_token_count": answer.output_tokens, "stop_reason": stop(answer)})
}

pub fn llama_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let answer = outcome.answer;
    let text = text(outcome);
    let mut events = Vec::new();
    for (nth, piece) in pieces(&text).enumerate() {
        let prompt = (nth == 0).then_some(answer.input_tokens);
        events.push(json!({"generation": piece, "prompt_token_count": prompt,
                           "generation_token_count": nth + 1, "stop_reason": null}));
    }
    let end = events.len();
    events.push(json!({"generation": "", "prompt_token_count": null,
                       "generation_token_count": answer.output_tokens, "stop_reason": stop(answer)}));
    (events, end)
}

pub fn outputs(member: &str, outcome: &Outcome<'_>) -> Value {
    json!({member: [{"text": text(outcome), "stop_reason": stop(outcome.answer)}]})
}

pub fn output_events(member: &str, outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let text = text(outcome);
    // Cuts inside words, so that a tag is split over events.
    let chars: Vec<char> = text.chars().collect();
    let mut events: Vec<Value> = chars
        .chunks(3)
        .map(|piece| piece.iter().collect::<String>())
        .map(|piece| json!({member: [{"text": piece, "stop_reason": null}]}))
        .collect();
    let end = events.len();
    events.push(json!({member: [{"text": "", "stop_reason": stop(outcome.answer)}]}));
    (events, end)
}

/// A text completion of OpenAI.
pub fn completion(outcome: &Outcome<'_>) -> Value {
    let answer = outcome.answer;
    json!({"object": "text_completion",
           "choices": [{"index": 0, "text": text(outcome), "finish_reason": stop(answer)}],
           "usage": {"prompt_tokens": answer.input_tokens, "completion_tokens": answer.output_tokens}})
}

pub fn completion_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let answer = outcome.answer;
    let text = text(outcome);
    let choice = |text: &str, reason: Value| json!({"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": reason}]});
    let mut events: Vec<Value> = pieces(&text)
        .map(|piece| choice(piece, Value::Null))
        .collect();
    let end = events.len();
    events.push(choice("", stop(answer).into()));
    events.push(json!({"choices": [], "usage":
        {"prompt_tokens": answer.input_tokens, "completion_tokens": answer.output_tokens}}));
    (events, end)
}
