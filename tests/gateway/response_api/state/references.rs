//! `item_reference`.

use http::StatusCode;
use serde_json::{Value, json};

use super::{check_kept, seen, with_tool};
use crate::{
    response_api::{HAIKU, items_of, with},
    support::Gateway,
};

/// The first step of a loop with reasoning, and the request for it.
async fn first_step(gateway: &Gateway) -> (Value, Value) {
    let mut request = with_tool(json!([{"role": "user", "content": "Please look"}]));
    request["model"] = HAIKU.into();
    request["reasoning"] = json!({"effort": "low"});
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    (request, reply.json())
}

fn reference(item: &Value) -> Value {
    json!({"type": "item_reference", "id": item["id"]})
}

/// Vercel's client refers to the items of the first step in the second, and sends its calls whole.
#[tokio::test]
async fn references_send_what_whole_items_send() {
    let gateway = Gateway::start().await;
    let (request, first) = first_step(&gateway).await;
    let mut inputs = Vec::new();
    for is_referenced in [true, false] {
        let mut input = request["input"].as_array().unwrap().clone();
        input.extend(first["output"].as_array().unwrap().iter().map(|item| {
            match is_referenced && item["type"] != "function_call" {
                true => reference(item),
                false => item.clone(),
            }
        }));
        input.push(seen(&first));
        let request = with(request.clone(), "input", input.into());
        let reply = gateway.respond_any(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        check_kept(&reply);
        inputs.push(gateway.last_conversation());
        // The stored request has the items, so that it can be continued when the first response has gone.
        let third = with(request, "input", "And?".into());
        let third = super::after(&reply.json(), third);
        let reply = gateway.respond_any(&third).await;
        check_kept(&reply);
    }
    assert_eq!(inputs[0], inputs[1]);
    let turn = &inputs[0]["messages"][1]["content"];
    assert!(turn[0]["reasoningContent"].is_object(), "{turn}");
}

#[tokio::test]
async fn items_of_another_key_are_not_found() {
    let gateway = Gateway::start().await;
    let (_, first) = first_step(&gateway).await;
    let call = &items_of(&first, "function_call")[0];
    let input = json!([{"role": "user", "content": "Hi"}, reference(call)]);
    let reply = gateway.respond(&with_tool(input)).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
    assert_eq!(reply.error()["code"], "item_not_found");
    assert_eq!(reply.error()["param"], "input[1].id");
    let reasoning = &items_of(&first, "reasoning")[0];
    let input = json!([{"role": "user", "content": "Hi"}, reference(reasoning)]);
    let reply = gateway.respond(&with_tool(input)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("input[1]: ignored"), "{warnings}");
}
