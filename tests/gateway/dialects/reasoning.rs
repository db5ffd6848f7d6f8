//! Reasoning of Responses, and its options in the input.

use http::StatusCode;
use serde_json::{Value, json};

use super::{chat_whole, gateway, respond};

#[tokio::test]
async fn unsigned_reasoning_is_dropped_with_a_warning() {
    let gateway = gateway().await;
    let message = json!({"role": "assistant", "content": "Hi", "reasoning": "A thought."});
    gateway.simulator.script(chat_whole(message, "stop"));
    let output = respond(&gateway, json!({})).await.json()["output"].clone();
    assert_eq!(output[0]["type"], "reasoning", "{output}");
    let mut input = vec![json!({"role": "user", "content": "Hi"})];
    input.extend(output.as_array().unwrap().iter().cloned());
    input.push(json!({"role": "user", "content": "Go on"}));
    let reply = respond(&gateway, json!({"input": input})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    assert!(
        warnings.contains("reasoning was not sent back"),
        "{warnings}"
    );
}

#[tokio::test]
async fn change_of_one_option_keeps_the_others() {
    let gateway = gateway().await;
    let update = |members: Value| json!({"type": "configuration_update", "reasoning": members});
    let input = json!([
        {"role": "user", "content": "Hi"},
        update(json!({"effort": "low"})),
        update(json!({"context": "auto"})),
    ]);
    let request = json!({"input": input, "reasoning": {"effort": "high", "summary": "auto"}});
    let reply = respond(&gateway, request).await.json();
    let expected = json!({"effort": "low", "summary": "auto"});
    assert_eq!(reply["reasoning"], expected, "{reply}");
}

/// The search ran before the model was asked, so that it is no part of the model's turn.
#[tokio::test]
async fn search_before_an_answer_stays_out_of_the_turn_of_the_model() {
    let gateway = gateway().await;
    for (results, is_sent) in [(Value::Null, false), (json!([{"text": "found"}]), true)] {
        let search =
            json!({"type": "file_search_call", "id": "fs_1", "queries": ["q"], "results": results});
        let input = json!([
            {"role": "user", "content": "Hi"},
            search,
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ]);
        let reply = respond(&gateway, json!({"model": "haiku", "input": input})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let sent = gateway.bodies().pop().unwrap();
        assert_eq!(sent["messages"][1]["content"].as_array().unwrap().len(), 1);
        assert_eq!(sent.to_string().contains("file_search_call"), is_sent);
    }
}
