//! Content blocks, tools and options on their way to Bedrock.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{message, send};
use crate::support::{ANY_KEY, Gateway, Reply, endpoints::MESSAGES, sha256};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const SETTINGS: &str = r#"
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    [models.claude45]
    target = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
"#;

/// Sends a request to a model of Claude, and returns the reply and the body that Bedrock received.
async fn translated(request: Value) -> (Reply, Value) {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request;
    request["model"] = "haiku".into();
    let reply = send(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = serde_json::from_slice(&gateway.sent().body).unwrap();
    (reply, body)
}

#[tokio::test]
async fn blocks_keep_their_order() {
    let mut request = message("");
    request["system"] = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=2;"},
        {"type": "text", "text": "Be brief"},
    ]);
    request["tools"] = json!([{"name": "f", "description": "F", "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}}]);
    request["messages"] = json!([
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "title": "notes", "context": "old", "source": {"type": "text", "media_type": "text/plain", "data": "Some notes"}},
            {"type": "text", "text": "Look"},
        ]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "First"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": 2}},
            {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true, "content": "broken"},
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                {"type": "text", "text": "a picture"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ]},
            {"type": "text", "text": "And now?"},
        ]},
    ]);
    let (_, body) = translated(request).await;
    assert_eq!(body["system"], json!([{"text": "Be brief"}]));
    let turns = body["messages"].as_array().unwrap();
    let kinds = |turn: &Value| -> Vec<String> {
        let blocks = turn["content"].as_array().unwrap();
        blocks
            .iter()
            .map(|block| block.as_object().unwrap().keys().next().unwrap().clone())
            .collect()
    };
    assert_eq!(kinds(&turns[0]), ["image", "document", "text"]);
    assert_eq!(turns[0]["content"][1]["document"]["context"], "old");
    assert_eq!(kinds(&turns[1]), ["text", "toolUse", "toolUse"]);
    assert_eq!(kinds(&turns[2]), ["toolResult", "toolResult", "text"]);
    let input = &turns[1]["content"][1]["toolUse"]["input"];
    assert_eq!(input.to_string(), r#"{"b":1,"a":2}"#);
    let results: Vec<_> = turns[2]["content"].as_array().unwrap()[..2]
        .iter()
        .map(|block| &block["toolResult"])
        .collect();
    let failed = results
        .iter()
        .find(|result| result["toolUseId"] == "toolu_2")
        .unwrap();
    assert_eq!(failed["status"], "error");
    let other = results
        .iter()
        .find(|result| result["toolUseId"] == "toolu_1")
        .unwrap();
    assert!(other["content"][1]["image"].is_object(), "{other}");
}

#[tokio::test]
async fn marks_become_cache_points_wherever_they_are() {
    let long = "word ".repeat(9000);
    let mark = json!({"type": "ephemeral"});
    let mut request = message("");
    request["system"] = json!([{"type": "text", "text": long, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    request["tools"] = json!([{"name": "f", "description": long, "input_schema": {"type": "object", "properties": {}}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    request["messages"] = json!([
        {"role": "user", "content": [{"type": "text", "text": long}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "cache_control": mark}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done", "cache_control": mark}]},
    ]);
    let (_, body) = translated(request).await;
    let hour = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let point = json!({"cachePoint": {"type": "default"}});
    assert_eq!(body["toolConfig"]["tools"][1], hour);
    assert_eq!(body["system"][1], hour);
    assert_eq!(body["messages"][1]["content"][1], point);
    assert_eq!(body["messages"][2]["content"][1], point);
}

#[tokio::test]
async fn mark_of_the_whole_request_places_points() {
    let mut request = message("Hi");
    request["system"] = "word ".repeat(9000).into();
    request["cache_control"] = json!({"type": "ephemeral"});
    let (_, body) = translated(request).await;
    assert!(
        body["system"][1]["cachePoint"].is_object(),
        "{}",
        body["system"][1]
    );
}

#[tokio::test]
async fn system_message_keeps_its_place() {
    let mut request = message("Hi");
    request["messages"] = json!([
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "The mode is now: plan"},
    ]);
    let (reply, body) = translated(request).await;
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(
        body["messages"][0]["content"][1]["text"],
        "<system>\nThe mode is now: plan\n</system>"
    );
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("messages[1]: sent in a user turn"),
        "{warnings}"
    );
}

#[tokio::test]
async fn tool_choices_are_translated() {
    for (choice, expected) in [
        (json!({"type": "auto"}), json!({"auto": {}})),
        (json!({"type": "any"}), json!({"any": {}})),
        (
            json!({"type": "tool", "name": "f"}),
            json!({"tool": {"name": "f"}}),
        ),
        (json!({"type": "none"}), Value::Null),
    ] {
        let mut request = message("Hi");
        request["tools"] =
            json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}]);
        request["tool_choice"] = choice.clone();
        let (_, body) = translated(request).await;
        let sent = &body["toolConfig"]["toolChoice"];
        let is_default = choice["type"] == "auto" && sent.is_null();
        assert!(is_default || *sent == expected, "{choice}: {sent}");
    }
    let mut request = message("Hi");
    request["tools"] = json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}]);
    request["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
    let (_, body) = translated(request).await;
    let own = &body["additionalModelRequestFields"]["tool_choice"];
    assert_eq!(own["disable_parallel_tool_use"], true, "{body}");
}

#[tokio::test]
async fn schema_of_the_answer_is_enforced() {
    let mut request = message("Hi");
    request["output_config"] = json!({"format": {"type": "json_schema", "schema":
        {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": false}}});
    let (reply, _) = translated(request).await;
    let text = reply.json()["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["title"].is_string(), "{text}");
}

#[tokio::test]
async fn what_has_no_effect_is_dropped_with_a_warning() {
    let mut request = message("Hi");
    request["speed"] = "fast".into();
    request["container"] = json!({"skills": []});
    request["context_management"] = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    request["tools"] = json!([
        {"name": "f", "input_schema": {"type": "object", "properties": {}}, "eager_input_streaming": true},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ]);
    request["messages"] = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "Well"}]},
        {"role": "user", "content": [{"type": "container_upload", "file_id": "f"}, {"type": "text", "text": "Go on"}]},
    ]);
    let (reply, body) = translated(request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    for dropped in [
        "speed",
        "container",
        "context_management",
        "tools[1]",
        "messages[1].content[0]",
        "messages[2].content[0]",
    ] {
        assert!(warnings.contains(dropped), "{dropped}: {warnings}");
    }
    assert!(!warnings.contains("eager_input_streaming"), "{warnings}");
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    let mut quiet = message("Hi");
    quiet["context_management"] =
        json!({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]});
    let (reply, _) = translated(quiet).await;
    assert_eq!(reply.header("x-lintel-warnings"), None);
}

#[tokio::test]
async fn thinking_is_translated_for_the_model() {
    let mut request = message("Hi");
    request["max_tokens"] = 9000.into();
    request["thinking"] = json!({"type": "enabled", "budget_tokens": 5000});
    let (_, body) = translated(request.clone()).await;
    let fields = &body["additionalModelRequestFields"];
    assert_eq!(
        fields["thinking"],
        json!({"type": "enabled", "budget_tokens": 5000})
    );
    assert_eq!(body["inferenceConfig"]["maxTokens"], 9000);
    request["thinking"] = json!({"type": "adaptive"});
    request["output_config"] = json!({"effort": "low"});
    let (_, body) = translated(request.clone()).await;
    assert_eq!(
        body["additionalModelRequestFields"]["thinking"]["type"],
        "enabled"
    );
    // The effort of the last message that sets one applies.
    request["messages"] = json!([
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Think hard", "output_config": {"effort": "high"}},
    ]);
    let (_, deep) = translated(request.clone()).await;
    let budget = |body: &Value| {
        body["additionalModelRequestFields"]["thinking"]["budget_tokens"]
            .as_u64()
            .unwrap()
    };
    assert!(budget(&deep) > budget(&body));
    request["thinking"] = json!({"type": "disabled"});
    let (reply, body) = translated(request).await;
    assert!(
        body["additionalModelRequestFields"]["thinking"].is_null(),
        "{body}"
    );
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("output_config.effort: ignored"),
        "{warnings}"
    );
}

#[tokio::test]
async fn knowledge_bases_are_searched_by_member_and_by_header() {
    let settings = format!(
        "{SETTINGS}\n[knowledge_bases.docs]\nid = \"LINTELDOCS\"\n[keys.kb]\nsha256 = \"{}\"\nknowledge_bases = [\"docs\"]\n",
        sha256("sk-test-kb")
    );
    let gateway = Gateway::start_with(&settings).await;
    let mut request = message("What does a budget reserve?");
    let by_header = Request::post(format!("http://{}{MESSAGES}", gateway.data))
        .header("x-api-key", "sk-test-kb")
        .header("content-type", "application/json")
        .header("x-lintel-kb", "docs")
        .body(request.to_string().into());
    let by_header = gateway.send(by_header.unwrap()).await;
    request["kb"] = "docs".into();
    let by_member = gateway.ask(MESSAGES, "sk-test-kb", &request).await;
    for reply in [by_header, by_member] {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.json()["kb"]["used"], true, "{}", reply.text());
    }
    request["stream"] = true.into();
    let streamed = gateway.ask(MESSAGES, "sk-test-kb", &request).await;
    let events = super::events(&streamed);
    assert_eq!(events[events.len() - 2]["kb"]["used"], true);
    let refused = gateway.ask(MESSAGES, ANY_KEY, &request).await;
    assert!(refused.status.is_client_error(), "{}", refused.text());
}
