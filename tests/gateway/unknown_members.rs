//! Members of other APIs: rejected if the answer would be wrong without them, else dropped.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, user};

fn with(pointer: &str, member: &str, value: Value) -> Value {
    let mut request = user("Hi");
    request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    request["response_format"] = json!({"type": "json_object"});
    request.pointer_mut(pointer).unwrap()[member] = value;
    request
}

/// Was answered without the prompt, the schema or the limit.
#[tokio::test]
async fn members_that_would_make_the_answer_wrong_are_rejected_with_what_to_send_instead() {
    let gateway = Gateway::start().await;
    let schema = || json!({"type": "object"});
    let message = "/messages/0";
    for (pointer, member, value, param, advice) in [
        ("", "system", json!("Be brief."), "system", "'messages'"),
        (
            "",
            "system",
            json!([{"type": "text", "text": "Be brief."}]),
            "system",
            "role 'system'",
        ),
        (
            "",
            "instructions",
            json!("Be brief."),
            "instructions",
            "role 'system'",
        ),
        (
            "",
            "systemInstruction",
            json!({"parts": []}),
            "systemInstruction",
            "role 'system'",
        ),
        ("", "input", json!("Hi"), "input", "'messages'"),
        (
            "",
            "prompt",
            json!({"id": "pmpt_1"}),
            "prompt",
            "'messages'",
        ),
        (
            "",
            "contents",
            json!([{"parts": [{"text": "Hi"}]}]),
            "contents",
            "'messages'",
        ),
        (
            "",
            "previous_response_id",
            json!("resp_1"),
            "previous_response_id",
            "all of it",
        ),
        (
            "",
            "max_output_tokens",
            json!(5),
            "max_output_tokens",
            "'max_completion_tokens'",
        ),
        (
            "",
            "num_predict",
            json!(5),
            "num_predict",
            "'max_completion_tokens'",
        ),
        (
            "",
            "stop_sequences",
            json!(["a"]),
            "stop_sequences",
            "'stop'",
        ),
        (
            "",
            "guided_json",
            schema(),
            "guided_json",
            "'response_format'",
        ),
        (
            "",
            "guided_choice",
            json!(["a", "b"]),
            "guided_choice",
            "'response_format'",
        ),
        ("", "format", json!("json"), "format", "'response_format'"),
        (
            "",
            "text",
            json!({"format": {"type": "text"}}),
            "text",
            "'response_format'",
        ),
        (
            "",
            "output_config",
            json!({"format": schema()}),
            "output_config.format",
            "'response_format'",
        ),
        (
            "/response_format",
            "schema",
            schema(),
            "response_format.schema",
            "json_schema",
        ),
        (
            "",
            "data_sources",
            json!([{"type": "azure_search"}]),
            "data_sources",
            "'kb'",
        ),
        (
            "",
            "plugins",
            json!([{"id": "web"}]),
            "plugins",
            "'web_search_options'",
        ),
        (
            "",
            "mcp_servers",
            json!([{"url": "u"}]),
            "mcp_servers",
            "'tools'",
        ),
        (
            "",
            "extra_body",
            json!({"top_k": 1}),
            "extra_body",
            "top level",
        ),
        (
            "",
            "guardrails",
            json!(["pii"]),
            "guardrails",
            "'bedrock.guardrail'",
        ),
        (
            "/tools/0/function",
            "input_schema",
            schema(),
            "tools[0].function.input_schema",
            "'parameters'",
        ),
        (
            message,
            "attachments",
            json!([{"url": "u"}]),
            "messages[0].attachments",
            "'file'",
        ),
        (
            message,
            "images",
            json!(["AAAA"]),
            "messages[0].images",
            "'image_url'",
        ),
    ] {
        let reply = gateway.chat(&with(pointer, member, value)).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{member}: {}",
            reply.text()
        );
        let error = reply.error();
        assert_eq!(error["param"], param);
        assert_eq!(error["code"], "unsupported_parameter");
        assert!(
            error["message"].as_str().unwrap().contains(advice),
            "{error}"
        );
    }
    assert!(gateway.simulator.received().is_empty(), "nothing is sent");
}

#[tokio::test]
async fn members_that_say_nothing_are_accepted_silently() {
    let gateway = Gateway::start().await;
    for (member, value) in [
        ("system", json!("")),
        ("instructions", Value::Null),
        ("plugins", json!([])),
        ("extra_body", json!({})),
        ("enable_search", json!(false)),
        // Was a warning.
        ("anything_else", Value::Null),
        ("session_id", json!("s")),
        ("keep_alive", json!("5m")),
        ("litellm_metadata", json!({"a": 1})),
    ] {
        let mut request = user("Hi");
        request["model"] = "strict".into();
        request[member] = value;
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{member}: {}", reply.text());
        assert_eq!(reply.header("x-lintel-warnings"), None, "{member}");
    }
}

#[tokio::test]
async fn other_unknown_members_are_warnings() {
    let gateway = Gateway::start().await;
    for (member, value) in [
        ("min_p", json!(0.1)),
        ("provider", json!({"order": ["a"]})),
        ("transforms", json!(["middle-out"])),
        ("options", json!({"num_ctx": 1})),
        ("use_cache", json!(false)),
    ] {
        let mut request = user("Hi");
        request[member] = value;
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{member}: {}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(
            warnings.contains(&format!("{member}: ignored")),
            "{member}: {warnings}"
        );
        request["model"] = "strict".into();
        assert_eq!(gateway.chat(&request).await.error()["param"], member);
    }
}
