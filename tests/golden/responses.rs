//! Snapshots of OpenAI's Responses on Bedrock, for the same cases as chat completions.

use serde_json::{Value, json};

use super::native::{NativeModel, replies_of, requests_of};

/// One model of each group and endpoint.
const MODELS: [NativeModel; 6] = [
    ("gpt", "us.openai.gpt-6-sol", "responses"),
    ("gpt-mantle", "openai.gpt-5.5", "responses"),
    ("daybreak", "openai.gpt-daybreak-blue-5.6-sol", "auto"),
    ("oss", "openai.gpt-oss-120b-1:0", "responses"),
    ("grok", "xai.grok-4.3", "responses"),
    ("gemma", "google.gemma-4-31b", "responses"),
];

#[tokio::test]
async fn requests_of_responses_are_translated_for_each_group() {
    requests_of(&MODELS, "responses").await;
}

#[tokio::test]
async fn whole_and_streamed_responses_are_the_same_message() {
    replies_of(&MODELS, "responses_replies", events).await;
}

/// Returns the events in which the endpoint streams `reply`, with text in pieces of three characters.
fn events(reply: &Value) -> String {
    let begun = json!({"id": "resp_1", "status": "in_progress", "output": [], "usage": null});
    let mut events = vec![json!({"type": "response.created", "response": begun})];
    for (index, item) in reply["output"].as_array().unwrap().iter().enumerate() {
        let mut empty = item.clone();
        for (list, none) in [
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", json!("")),
        ] {
            if !empty[list].is_null() {
                empty[list] = none;
            }
        }
        events.push(
            json!({"type": "response.output_item.added", "output_index": index, "item": empty}),
        );
        let mut add = |kind: &str, place: &str, nth: usize, text: &str| {
            let text: Vec<char> = text.chars().collect();
            for piece in text.chunks(3) {
                let delta: String = piece.iter().collect();
                events.push(json!({"type": format!("response.{kind}.delta"), "output_index": index, place: nth, "delta": delta}));
            }
        };
        for list in ["summary", "content"] {
            for (nth, part) in item[list].as_array().into_iter().flatten().enumerate() {
                let kind = part["type"].as_str().unwrap();
                let text = part["text"].as_str().or(part["refusal"].as_str());
                let text = text.unwrap_or_default();
                match kind {
                    "summary_text" => add("reasoning_summary_text", "summary_index", nth, text),
                    kind => add(kind, "content_index", nth, text),
                }
            }
        }
        if let Some(arguments) = item["arguments"].as_str() {
            add("function_call_arguments", "content_index", 0, arguments);
        }
        events.push(
            json!({"type": "response.output_item.done", "output_index": index, "item": item}),
        );
    }
    let status = reply["status"].as_str().unwrap();
    events.push(json!({"type": format!("response.{status}"), "response": reply}));
    let events = events.iter().enumerate().map(|(number, event)| {
        let mut event = event.clone();
        event["sequence_number"] = number.into();
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    events.collect()
}
