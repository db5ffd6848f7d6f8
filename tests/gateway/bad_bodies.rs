//! Invalid bodies are rejected with the path of the problem. Unusual but valid bodies are accepted.

use http::StatusCode;
use serde_json::json;

use crate::support::{Gateway, user};

/// A body, and the status, `code` and `param` of the error.
const BAD_BODIES: [(&str, u16, &str, Option<&str>); 45] = [
    ("", 400, "invalid_json", None),
    ("{", 400, "invalid_json", None),
    (
        r#"{"model":"claude","messages":[],}"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}]} extra"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"\ud800"}]}"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","temperature":NaN,"messages":[{"role":"user","content":"x"}]}"#,
        400,
        "invalid_json",
        None,
    ),
    ("[]", 400, "invalid_type", Some("body")),
    (
        r#"{"messages":[{"role":"user","content":"x"}]}"#,
        400,
        "missing_required_parameter",
        Some("model"),
    ),
    (
        r#"{"model":"claude"}"#,
        400,
        "missing_required_parameter",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":[]}"#,
        400,
        "invalid_value",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":"x"}"#,
        400,
        "invalid_type",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":[{"content":"x"}]}"#,
        400,
        "missing_required_parameter",
        Some("messages[0].role"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"usr","content":"x"}]}"#,
        400,
        "invalid_type",
        Some("messages[0].role"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":null}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":7}]}"#,
        400,
        "invalid_type",
        Some("messages[0].content"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content[0].image_url.url"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content[0].text"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"tool","content":"x"}]}"#,
        400,
        "invalid_value",
        Some("messages[0].tool_call_id"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":1,"max_tokens":2}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":0}"#,
        400,
        "invalid_value",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":-1}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":1.5}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":9223372036854775808}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"temperature":1e308}"#,
        400,
        "invalid_value",
        Some("temperature"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"temperature":-0.1}"#,
        400,
        "invalid_value",
        Some("temperature"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"top_p":1.1}"#,
        400,
        "invalid_value",
        Some("top_p"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"n":0}"#,
        400,
        "invalid_value",
        Some("n"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"n":17}"#,
        400,
        "invalid_value",
        Some("n"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"logprobs":true}"#,
        400,
        "unsupported_parameter",
        Some("logprobs"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"stop":["1","2","3","4","5"]}"#,
        400,
        "invalid_value",
        Some("stop"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"kb":"medical"}"#,
        404,
        "knowledge_base_not_found",
        Some("kb.name"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":""}}]}"#,
        400,
        "invalid_value",
        Some("tools[0].function.name"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tool_choice":"required"}"#,
        400,
        "invalid_value",
        Some("tool_choice"),
    ),
    (
        r#"["claude",[{"role":"user","content":"x"}]]"#,
        400,
        "invalid_type",
        Some("body"),
    ),
    (
        r#"{"model":"claude","messages":[["user","x"]]}"#,
        400,
        "invalid_type",
        Some("messages[0]"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[["text","x"]]}]}"#,
        400,
        "invalid_type",
        Some("messages[0].content[0]"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":"string"}}]}"#,
        400,
        "invalid_value",
        Some("tools[0].function.parameters"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"","arguments":""}}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].tool_calls[0].function.name"),
    ),
    (
        r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"us.amazon.nova-pro-v1:0","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"service_tier":"best"}"#,
        400,
        "invalid_value",
        Some("service_tier"),
    ),
    (
        r#"{"model":"nope","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"../../secret","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"a.b%2e%2e\n","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
];

#[tokio::test]
async fn invalid_bodies_are_rejected_with_the_path_of_the_problem() {
    let gateway = Gateway::start().await;
    for (body, status, code, param) in BAD_BODIES {
        let reply = gateway.post(body).await;
        let error = reply.error();
        assert_eq!(
            (reply.status.as_u16(), error["code"].as_str()),
            (status, Some(code)),
            "{body}: {error}"
        );
        assert_eq!(error["param"].as_str(), param, "{body}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert!(
        gateway.simulator.received().is_empty(),
        "nothing is sent upstream"
    );
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_rejected() {
    let gateway = Gateway::start().await;
    let deep = |depth: usize| {
        format!(
            "{}{}",
            r#"{"a":"#.repeat(depth),
            "0".to_owned() + &"}".repeat(depth)
        )
    };
    let schema = format!(
        r#"{{"model":"claude","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]}}"#,
        deep(10_000)
    );
    let error = gateway.post(schema).await.error();
    assert_eq!(error["param"], "tools[0].function.parameters");
    let content = format!(r#"{{"model":"claude","messages":{}}}"#, "[".repeat(10_000));
    assert_eq!(gateway.post(content).await.status, StatusCode::BAD_REQUEST);
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn requests_with_too_many_tools_or_calls_are_rejected() {
    let gateway = Gateway::start().await;
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}});
    let mut request = user("Hi");
    request["tools"] = vec![tool; 129].into();
    assert_eq!(gateway.chat(&request).await.error()["param"], "tools");
    let mut request = user("Hi");
    request["messages"] = json!([{"role": "assistant", "tool_calls": vec![call; 129]}]);
    assert_eq!(
        gateway.chat(&request).await.error()["param"],
        "messages[0].tool_calls"
    );
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": deep}});
    request["messages"] = json!([{"role": "assistant", "tool_calls": [call]}]);
    assert_eq!(
        gateway.chat(&request).await.error()["param"],
        "messages[0].tool_calls[0].function.arguments"
    );
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn warnings_are_limited_in_number_and_length() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["messages"] = vec![json!({"role": "user", "content": "x", "name": "z"}); 2000].into();
    let reply = gateway.chat(&request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.ends_with("and more") && warnings.len() <= 2048,
        "{}",
        warnings.len()
    );
}

#[tokio::test]
async fn a_byte_order_mark_and_control_characters_are_accepted() {
    let gateway = Gateway::start().await;
    let text = "nul \u{0} bidi \u{202e} bell \u{7}";
    let reply = gateway.post(format!("\u{feff}{}", user(text))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        format!("You said: {text}")
    );
}
