//! Regression tests for fixed bugs.

use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::{Gateway, streamed, user};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

fn sent(gateway: &Gateway) -> Value {
    serde_json::from_slice(&gateway.simulator.received().last().unwrap().body).unwrap()
}

fn with_tool(schema: &Value) -> Value {
    let mut request = user("Hi");
    request["model"] = "nova".into();
    request["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    request
}

#[tokio::test]
async fn a_schema_whose_resolved_references_are_too_large_is_rejected() {
    let gateway = Gateway::start().await;
    // Each definition refers to the next one.
    let mut chain = serde_json::Map::new();
    for link in 0..12_000 {
        chain.insert(
            format!("a{link}"),
            json!({"items": {"$ref": format!("#/$defs/a{}", link + 1)}}),
        );
    }
    chain.insert("a12000".to_owned(), json!({}));
    let deep =
        json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/a0"}}, "$defs": chain});
    // Thousands of references to a long definition.
    let referring: serde_json::Map<_, _> = (0..5000)
        .map(|nth| (format!("p{nth}"), json!({"$ref": "#/$defs/a"})))
        .collect();
    let long = json!({"type": "object", "properties": {("x".repeat(200_000)): {}}});
    let wide = json!({"type": "object", "properties": referring, "$defs": {"a": long}});
    for schema in [deep, wide] {
        let error = gateway.chat(&with_tool(&schema)).await.error();
        assert_eq!(error["param"], "tools[0].function.parameters", "{error}");
        let mut request = user("Hi");
        request["model"] = HAIKU.into();
        request["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
        assert_eq!(
            gateway.any(&request).await.error()["param"],
            "response_format.json_schema.schema"
        );
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn members_next_to_a_reference_are_kept() {
    let gateway = Gateway::start().await;
    let schema = json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/a", "description": "the place"}},
                        "$defs": {"a": {"type": "string"}}});
    gateway.chat(&with_tool(&schema)).await;
    let json = &sent(&gateway)["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    assert_eq!(
        json["properties"]["p"],
        json!({"type": "string", "description": "the place"})
    );
}

#[tokio::test]
async fn arguments_of_many_concatenated_objects_stay_one_call() {
    let gateway = Gateway::start().await;
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}".repeat(200_000)}});
    let request = json!({"model": "nova", "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]});
    assert_eq!(gateway.chat(&request).await.status, StatusCode::OK);
    let content = &sent(&gateway)["messages"][1]["content"];
    assert_eq!(content.as_array().unwrap().len(), 1);
    assert!(content[0]["toolUse"]["input"]["_raw"].is_string());
}

#[tokio::test]
async fn calls_in_two_consecutive_messages_keep_their_results() {
    let gateway = Gateway::start().await;
    let call = |id: &str| json!([{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let request = json!({"model": "nova", "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": call("a")}, {"role": "assistant", "tool_calls": call("b")},
        {"role": "tool", "tool_call_id": "a", "content": "one"}, {"role": "tool", "tool_call_id": "b", "content": "two"}]});
    let reply = gateway.chat(&request).await;
    assert!(
        !reply
            .header("x-lintel-warnings")
            .unwrap_or_default()
            .contains("result"),
        "{:?}",
        reply.headers
    );
    let messages = &sent(&gateway)["messages"];
    assert_eq!(messages.as_array().unwrap().len(), 3);
    let texts = messages[2]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["toolResult"]["content"][0]["text"]);
    assert_eq!(texts.collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn a_file_in_a_tool_result_without_a_call_is_kept() {
    let gateway = Gateway::start().await;
    let file = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "SGk="}});
    let request = json!({"model": "nova", "messages": [
        {"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "x", "content": [file]}]});
    assert_eq!(gateway.chat(&request).await.status, StatusCode::OK);
    assert!(sent(&gateway)["messages"].to_string().contains("SGk="));
}

#[tokio::test]
async fn a_client_cannot_limit_the_operators_guardrail_to_its_last_message() {
    let guarded = "[models.guarded]\ntarget = \"amazon.nova-lite-v1:0\"\nguardrail = { identifier = \"a1\", version = \"1\" }";
    let gateway = Gateway::start_with(guarded).await;
    let mut request = user("Hi");
    request["model"] = "guarded".into();
    request["bedrock"] =
        json!({"guardrail": {"identifier": "a1", "version": "1", "guard": "last_user"}});
    gateway.chat(&request).await;
    assert_eq!(
        sent(&gateway)["messages"][0]["content"],
        json!([{"text": "Hi"}])
    );
}

#[tokio::test]
async fn cache_points_over_the_models_limit_are_dropped() {
    let gateway = Gateway::start().await;
    let part = json!({"type": "text", "text": "word ".repeat(5000), "cache_control": {"type": "ephemeral"}});
    let parts: Vec<Value> = vec![part; 6];
    let request = json!({"model": HAIKU, "messages": [
        {"role": "system", "content": parts}, {"role": "user", "content": "Hi"}]});
    assert_eq!(gateway.any(&request).await.status, StatusCode::OK);
    assert_eq!(
        sent(&gateway)["system"]
            .to_string()
            .matches("cachePoint")
            .count(),
        4
    );
}

/// A scripted reply with one text block.
fn reply_of(text: &str, stop_reason: &str) -> ScriptedReply {
    let reply = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop_reason, "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
    });
    ScriptedReply::json(200, reply.to_string())
}

#[tokio::test]
async fn the_first_answer_is_kept_if_its_repair_fails_or_cannot_help() {
    let settings = "[models.llama]\ntarget = \"us.meta.llama4-maverick-17b-instruct-v1:0\"\nrepair_json = true";
    let mut request = user("Hi");
    request["model"] = "llama".into();
    request["response_format"] = json!({"type": "json_object"});
    let gateway = Gateway::start_with(settings).await;
    gateway.simulator.script(reply_of("no JSON", "end_turn"));
    gateway.simulator.script(ScriptedReply::json(500, "{}"));
    let reply = gateway.chat(&request).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "no JSON");
    for (stop_reason, finish_reason) in [
        ("max_tokens", "length"),
        ("guardrail_intervened", "content_filter"),
    ] {
        let gateway = Gateway::start_with(settings).await;
        gateway.simulator.script(reply_of("no JSON", stop_reason));
        let reply = gateway.chat(&request).await.json();
        assert_eq!(reply["choices"][0]["finish_reason"], finish_reason);
        assert_eq!(
            gateway.simulator.received().len(),
            1,
            "a second request would fail in the same way"
        );
    }
}

#[tokio::test]
async fn reasoning_is_sent_back_only_to_the_model_that_signed_it() {
    let gateway = Gateway::start().await;
    let ask = async |model: &str, messages: Value| {
        let request = json!({"model": model, "messages": messages, "reasoning_effort": "low"});
        gateway.any(&request).await
    };
    let question = json!({"role": "user", "content": "Hi"});
    let message = ask(HAIKU, json!([question])).await.json()["choices"][0]["message"].clone();
    assert!(
        message["thinking_blocks"][0]["signature"]
            .as_str()
            .unwrap()
            .starts_with("lintel.")
    );
    let history = json!([question, message, question]);
    let reply = ask(HAIKU, history.clone()).await;
    assert!(
        !reply
            .header("x-lintel-warnings")
            .unwrap_or_default()
            .contains("ignored")
    );
    let block = &sent(&gateway)["messages"][1]["content"][0]["reasoningContent"]["reasoningText"];
    assert_eq!(
        block["signature"], "c2ltdWxhdGVkIHNpZ25hdHVyZQ==",
        "the model's own signature"
    );
    let reply = ask("us.anthropic.claude-opus-4-6-v1", history).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("only be sent back to the model that signed it")
    );
    assert!(!sent(&gateway).to_string().contains("reasoningContent"));
}

#[tokio::test]
async fn a_guardrail_trace_in_metadata_without_usage_is_returned() {
    let gateway = Gateway::start().await;
    let events = [
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        ),
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({"trace": {"guardrail": {"seen": true}}})),
    ];
    let frames = events
        .iter()
        .map(|(kind, payload)| encode_event(kind, &payload.to_string()));
    gateway
        .simulator
        .script(ScriptedReply::stream(frames.collect()));
    let reply = gateway.chat(&streamed("Hi")).await;
    assert!(
        reply
            .text()
            .contains(r#""bedrock_guardrail":{"seen":true}"#),
        "{}",
        reply.text()
    );
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn content_blocks_of_an_unknown_kind_cause_a_warning() {
    let gateway = Gateway::start().await;
    let reply = json!({"output": {"message": {"role": "assistant", "content": [{"hologram": {}}, {"text": "Hi"}]}},
                       "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}});
    gateway
        .simulator
        .script(ScriptedReply::json(200, reply.to_string()));
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "Hi");
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("unknown to this version")
    );
}

#[tokio::test]
async fn a_tool_call_after_an_emulated_stop_sequence_is_dropped() {
    let gateway = Gateway::start().await;
    let content =
        json!([{"text": "one END two"}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]);
    let reply = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use",
                       "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}});
    gateway
        .simulator
        .script(ScriptedReply::json(200, reply.to_string()));
    let mut request = with_tool(&json!({}));
    request["model"] = "openai.gpt-6-sol".into();
    request["stop"] = "END".into();
    let choice = gateway.any(&request).await.json()["choices"][0].clone();
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("one "), &json!("stop"))
    );
    assert!(choice["message"].get("tool_calls").is_none());
}

#[tokio::test]
async fn binary_files_of_unsupported_types_are_rejected() {
    let gateway = Gateway::start().await;
    for (name, data) in [
        (
            "deck.pptx",
            "data:application/vnd.ms-powerpoint;base64,UEsDBBQABgAIAAAAIQA=",
        ),
        ("report.pdf", "data:application/pdf;base64,aGVsbG8="),
    ] {
        let file = json!({"type": "file", "file": {"filename": name, "file_data": data}});
        let request = json!({"model": "nova", "messages": [{"role": "user", "content": [file]}]});
        assert_eq!(
            gateway.chat(&request).await.status,
            StatusCode::BAD_REQUEST,
            "{name}"
        );
    }
    let file = json!({"type": "file", "file": {"filename": "a.json", "file_data": "eyJhIjogMX0K"}});
    let request = json!({"model": "nova", "messages": [{"role": "user", "content": [file]}]});
    assert_eq!(gateway.chat(&request).await.status, StatusCode::OK);
    assert!(sent(&gateway).to_string().contains(r#""format":"txt""#));
}

#[tokio::test]
async fn effort_none_is_sent_as_the_lowest_effort_to_a_model_that_always_reasons() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["model"] = "openai.gpt-oss-120b-1:0".into();
    request["reasoning_effort"] = "none".into();
    let reply = gateway.any(&request).await;
    assert_eq!(
        sent(&gateway)["additionalModelRequestFields"],
        json!({"reasoning_effort": "low"})
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("cannot be turned off")
    );
}

#[tokio::test]
async fn legacy_functions_get_one_call_and_cannot_be_combined_with_tools() {
    let gateway = Gateway::start().await;
    let mut request = user("Use f and g");
    request["model"] = HAIKU.into();
    request["functions"] = json!([{"name": "f"}, {"name": "g"}]);
    let choice = gateway.any(&request).await.json()["choices"][0].clone();
    assert_eq!(choice["message"]["function_call"]["name"], "f");
    assert_eq!(
        sent(&gateway)["additionalModelRequestFields"]["tool_choice"]["disable_parallel_tool_use"],
        true
    );
    request["tools"] = json!([]);
    assert_eq!(gateway.any(&request).await.error()["param"], "functions");
}

#[tokio::test]
async fn raising_max_tokens_for_reasoning_causes_a_warning() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["model"] = HAIKU.into();
    request["reasoning_effort"] = "high".into();
    let reply = gateway.any(&request).await;
    assert_eq!(sent(&gateway)["inferenceConfig"]["maxTokens"], 8192);
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("max_tokens: 8192 was sent")
    );
}

#[tokio::test]
async fn a_model_that_ignores_an_emulated_tool_choice_causes_a_warning() {
    let gateway = Gateway::start().await;
    let mut request = with_tool(&json!({}));
    request["model"] = "us.meta.llama4-maverick-17b-instruct-v1:0".into();
    request["tool_choice"] = "required".into();
    let reply = gateway.any(&request).await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "tool_calls");
    assert!(
        !reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("did not")
    );
    gateway.simulator.script(reply_of("No.", "end_turn"));
    let reply = gateway.any(&request).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("the model did not call a tool")
    );
}

#[tokio::test]
async fn missing_reasoning_before_an_empty_message_turns_reasoning_off() {
    let gateway = Gateway::start().await;
    let request = json!({"model": "us.anthropic.claude-opus-4-1-20250805-v1:0", "reasoning_effort": "minimal", "messages": [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "user", "content": ""}, {"role": "assistant", "content": ""}]});
    assert_eq!(gateway.any(&request).await.status, StatusCode::OK);
}
