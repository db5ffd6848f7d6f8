//! Events: their names, their order and their numbers.

use serde_json::{Value, json};

use super::{
    asking, call, events, function, last_response, redacted, scripted, streamed, text, thinking,
    types, with,
};
use crate::support::Gateway;

#[tokio::test]
async fn text_arrives_in_deltas_between_the_events_of_its_item() {
    let gateway = Gateway::start().await;
    let reply = gateway.respond(&streamed(asking("Hi"))).await;
    let events = events(&reply);
    assert_eq!(
        types(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    let created = &events[0]["response"];
    assert_eq!(created["status"], "in_progress");
    assert_eq!(created["output"], json!([]));
    assert_eq!(created["usage"], Value::Null);
    let added = &events[2];
    assert_eq!(added["item"]["status"], "in_progress");
    assert_eq!(added["item"]["content"], json!([]));
    let deltas: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, "You said: Hi");
    for event in &events[3..events.len() - 2] {
        assert_eq!(event["item_id"], added["item"]["id"]);
        assert_eq!(event["output_index"], 0);
        assert_eq!(event["content_index"], 0);
    }
    let last = last_response(&events);
    assert_eq!(last["status"], "completed");
    assert_eq!(last["usage"]["total_tokens"], 4);
    assert_eq!(last["output"][0], events[events.len() - 2]["item"]);
    assert!(!reply.text().contains("[DONE]"));
}

#[tokio::test]
async fn stream_and_whole_reply_have_the_same_output() {
    let gateway = Gateway::start().await;
    let content = [
        thinking("first thought"),
        redacted(),
        text("Working on it."),
        thinking("second thought"),
        call("tooluse_1", "look", json!({"nth": 1})),
        call("tooluse_2", "look", json!({})),
    ];
    let mut request = with(asking("Go"), "tools", json!([function("look")]));
    request["reasoning"] = json!({"effort": "low", "summary": "auto"});
    gateway
        .simulator
        .script(scripted(&content, "tool_use", false));
    let mut whole = gateway.respond(&request).await.json();
    gateway
        .simulator
        .script(scripted(&content, "tool_use", true));
    let reply = gateway.respond(&streamed(request)).await;
    let events = events(&reply);
    let mut last = last_response(&events);
    let kinds = |response: &Value| -> Vec<String> {
        let items = response["output"].as_array().unwrap().iter();
        items
            .map(|item| item["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        kinds(&whole),
        [
            "reasoning",
            "message",
            "reasoning",
            "function_call",
            "function_call"
        ]
    );
    // The ids are those of the request, and each seal is unlike any other.
    for response in [&mut whole, &mut last] {
        for item in response["output"].as_array_mut().unwrap() {
            item["id"] = Value::Null;
            item["encrypted_content"] = item["encrypted_content"].is_string().into();
        }
    }
    assert_eq!(whole["output"], last["output"]);
    assert_eq!(whole["output"][3]["arguments"], "{\"nth\":1}");
    assert_eq!(whole["output"][4]["arguments"], "{}");
    assert_eq!(whole["output"][3]["call_id"], "tooluse_1");
}

#[tokio::test]
async fn calls_and_reasoning_have_their_own_events() {
    let gateway = Gateway::start().await;
    let content = [
        thinking("a thought"),
        call("tooluse_1", "look", json!({"nth": 1})),
    ];
    gateway
        .simulator
        .script(scripted(&content, "tool_use", true));
    let mut request = with(asking("Go"), "tools", json!([function("look")]));
    request["reasoning"] = json!({"effort": "low", "summary": "auto"});
    let events = events(&gateway.respond(&streamed(request)).await);
    assert_eq!(
        types(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let done = events.iter().rev().nth(2).unwrap();
    assert_eq!(done["arguments"], "{\"nth\":1}");
    assert_eq!(done["name"], "look");
    assert_eq!(done["output_index"], 1);
}

#[tokio::test]
async fn reasoning_that_nobody_asked_to_see_has_no_events_of_its_own() {
    let gateway = Gateway::start().await;
    gateway.simulator.script(scripted(
        &[thinking("a thought"), text("Hello")],
        "end_turn",
        true,
    ));
    let request = with(asking("Go"), "reasoning", json!({"effort": "low"}));
    let reply = gateway.respond(&streamed(request)).await;
    let events = events(&reply);
    assert!(!reply.text().contains("reasoning_summary"));
    assert!(!reply.text().contains("a thought"));
    let items = last_response(&events)["output"].clone();
    assert_eq!(items[0]["type"], "reasoning");
    assert_eq!(items[0]["summary"], json!([]));
    assert!(items[0]["encrypted_content"].is_string());
}

#[tokio::test]
async fn answer_that_is_cut_by_its_limit_is_incomplete() {
    let gateway = Gateway::start().await;
    let request = with(asking("one two three four"), "max_output_tokens", 3.into());
    let events = events(&gateway.respond(&streamed(request)).await);
    let last = last_response(&events);
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    assert_eq!(last["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["output"][0]["status"], "incomplete");
}

#[tokio::test]
async fn warnings_are_in_the_last_event_on_request() {
    let gateway = Gateway::start().await;
    let mut request = streamed(asking("Hi"));
    request["truncation"] = "auto".into();
    request["stream_options"] = json!({"include_warnings": true, "include_obfuscation": false});
    let events = events(&gateway.respond(&request).await);
    let warnings = last_response(&events)["x_lintel_warnings"].to_string();
    assert!(warnings.contains("truncation: 'auto'"), "{warnings}");
}
