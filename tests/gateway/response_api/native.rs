//! GPT models, which Bedrock serves on its own Responses.

use http::StatusCode;
use serde_json::{Value, json};

use super::{asking, events, items_of, last_response, streamed, types, with};
use crate::support::Gateway;

const SETTINGS: &str = r#"
    [models.gpt]
    target = "us.openai.gpt-5.6-sol"
    [models.guarded]
    target = "us.openai.gpt-5.6-sol"
    guardrail = { identifier = "abc123", version = "1" }
"#;

fn patch() -> Value {
    let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: /a+/"});
    json!({"type": "custom", "name": "apply_patch", "description": "Patches.", "format": format})
}

fn request(model: &str) -> Value {
    let mut request = with(asking("Use apply_patch"), "tools", json!([patch()]));
    request["model"] = model.into();
    request
}

#[tokio::test]
async fn custom_tool_keeps_its_grammar_and_its_input() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway.respond_any(&request("gpt")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let route = reply.header("x-lintel-route");
    assert_eq!(route, Some("responses; reason=tools_with_reasoning"));
    assert_eq!(gateway.last_sent()["tools"], json!([patch()]));
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let whole = items_of(&reply.json(), "custom_tool_call").remove(0);
    assert_eq!(whole["name"], "apply_patch");
    assert!(whole["input"].is_string(), "{whole}");

    let streamed = events(&gateway.respond_any(&streamed(request("gpt"))).await);
    assert!(types(&streamed).contains(&"custom_tool_call_input.delta"));
    let item = items_of(&last_response(&streamed), "custom_tool_call").remove(0);
    assert_eq!(item["input"], whole["input"]);

    let mut again = request("gpt");
    again["input"] = json!([
        {"role": "user", "content": "Go"},
        {"type": "custom_tool_call", "call_id": whole["call_id"], "name": "apply_patch", "input": "a \"b\""},
        {"type": "custom_tool_call_output", "call_id": whole["call_id"], "output": "Done"},
    ]);
    let reply = gateway.respond_any(&again).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let input = gateway.last_sent()["input"].clone();
    assert_eq!(input[1]["type"], "custom_tool_call");
    assert_eq!(input[1]["input"], "a \"b\"");
    assert_eq!(input[2]["type"], "custom_tool_call_output");
    assert_eq!(input[1]["call_id"], input[2]["call_id"]);
}

#[tokio::test]
async fn gpt_is_called_on_its_own_responses() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = asking("Hi");
    request["model"] = "gpt".into();
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let route = reply.header("x-lintel-route");
    assert_eq!(route, Some("responses; reason=passthrough"));
}

#[tokio::test]
async fn forced_custom_tool_is_named_as_such() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let choice = json!({"type": "custom", "name": "apply_patch"});
    let reply = gateway
        .respond_any(&with(request("gpt"), "tool_choice", choice.clone()))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(gateway.last_sent()["tool_choice"], choice);
}

/// Without reasoning, nothing else asks for Responses.
#[tokio::test]
async fn grammar_of_chat_completions_is_enforced_too() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let format =
        json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a+/"}});
    let tool = json!({"type": "custom", "custom": {"name": "apply_patch", "description": "Patches.", "format": format}});
    let request = json!({"model": "gpt", "reasoning_effort": "none", "tools": [tool],
        "messages": [{"role": "user", "content": "Use apply_patch"}]});
    let reply = gateway.any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let route = reply.header("x-lintel-route").unwrap();
    assert!(route.starts_with("responses; "), "{route}");
    assert_eq!(gateway.last_sent()["tools"], json!([patch()]));
    let call = &reply.json()["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["type"], "custom");
}

/// Responses ignore guardrails.
#[tokio::test]
async fn guarded_model_takes_another_route() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway.respond_any(&request("guarded")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let route = reply.header("x-lintel-route").unwrap();
    assert!(!route.starts_with("responses"), "{route}");
}

fn clock(members: &[Value]) -> Value {
    json!({"type": "namespace", "name": "clock", "description": "About time.", "tools": members})
}

#[tokio::test]
async fn namespaces_are_sent_as_they_are() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let function = json!({"type": "function", "name": "sleep", "description": "Waits.", "parameters": {"type": "object"}, "strict": false});
    let bare = json!({"type": "custom", "name": "note"});
    let tools = json!([clock(&[function.clone(), bare]), patch()]);
    let mut request = with(asking("Please clock.sleep"), "tools", tools);
    request["model"] = "gpt".into();
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let sent = gateway.last_sent();
    let note = json!({"type": "custom", "name": "note", "description": "note"});
    assert_eq!(sent["tools"], json!([clock(&[function, note]), patch()]));
    let call = items_of(&reply.json(), "function_call").remove(0);
    assert_eq!(
        (&call["namespace"], &call["name"]),
        (&json!("clock"), &json!("sleep"))
    );
    let events = events(&gateway.respond_any(&streamed(request.clone())).await);
    let again = items_of(&last_response(&events), "function_call").remove(0);
    assert_eq!(again["namespace"], "clock");

    request["input"] = json!([
        {"role": "user", "content": "Go"}, call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "Done"},
    ]);
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let call = gateway.last_sent()["input"][1].clone();
    assert_eq!(
        (&call["namespace"], &call["name"]),
        (&json!("clock"), &json!("sleep"))
    );
}

/// A tool choice has no namespace, and some names are OpenAI's own.
#[tokio::test]
async fn namespace_is_part_of_the_name_where_it_cannot_be_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let sleep = json!({"type": "function", "name": "sleep"});
    let mut request = with(
        asking("Hi"),
        "tools",
        json!([clock(std::slice::from_ref(&sleep))]),
    );
    request["model"] = "gpt".into();
    request["tool_choice"] = json!({"type": "function", "name": "sleep", "namespace": "clock"});
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.last_sent();
    assert_eq!(sent["tools"][0]["name"], "clock__sleep");
    assert_eq!(sent["tool_choice"]["name"], "clock__sleep");
    let call = items_of(&reply.json(), "function_call").remove(0);
    assert_eq!(call["namespace"], "clock");
    let reserved =
        json!({"type": "namespace", "name": "functions", "description": "", "tools": [sleep]});
    let mut request = with(asking("Hi"), "tools", json!([reserved]));
    request["model"] = "gpt".into();
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(gateway.last_sent()["tools"][0]["name"], "functions__sleep");
}
