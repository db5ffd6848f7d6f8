//! Answers computed from the request: the same request always gets the same answer.

use serde_json::Value;

use super::fault::Plan;

/// What the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub stop_reason: &'static str,
    pub input_tokens: usize,
    pub output_tokens: usize,
}

/// Echoes the last message, obeying `maxTokens` and `stopSequences`.
pub fn answer(request: &Value, plan: &Plan) -> Answer {
    let mut text = match plan.words {
        Some(words) => vec!["word"; words].join(" "),
        None => format!("You said: {}", last_text(request)),
    };
    let mut stop_reason = "end_turn";
    let config = &request["inferenceConfig"];
    let stops = config["stopSequences"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(at) = stops.filter_map(|stop| text.find(stop)).min() {
        text.truncate(at);
        stop_reason = "stop_sequence";
    }
    let max_tokens = config["maxTokens"].as_u64().and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    if pieces(&text).count() > max_tokens {
        text = pieces(&text).take(max_tokens).collect();
        stop_reason = "max_tokens";
    }
    let output_tokens = pieces(&text).count();
    Answer { text, stop_reason, input_tokens: input_tokens(request), output_tokens }
}

/// One piece is one token here: a word with the space before it.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest[first.len_utf8()..].find(' ').map_or(rest.len(), |at| at + first.len_utf8());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

fn last_text(request: &Value) -> String {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let blocks = last.and_then(|message| message["content"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let texts = blocks
        .iter()
        .filter_map(|block| block["text"].as_str().or_else(|| block["toolResult"]["content"][0]["text"].as_str()));
    texts.collect::<Vec<_>>().join(" ")
}

fn input_tokens(request: &Value) -> usize {
    let texts = |list: &Value| -> usize {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|block| block["text"].as_str())
            .map(|text| pieces(text).count())
            .sum()
    };
    let messages = request["messages"].as_array().into_iter().flatten();
    texts(&request["system"]) + messages.map(|message| texts(&message["content"])).sum::<usize>()
}
