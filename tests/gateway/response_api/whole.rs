//! Whole replies.

use http::StatusCode;
use serde_json::json;

use super::{asking, function, items_of, with};
use crate::support::Gateway;

#[tokio::test]
async fn whole_reply_is_a_response_object() {
    let gateway = Gateway::start().await;
    let mut request = asking("Hello there");
    request["instructions"] = "Be brief.".into();
    request["metadata"] = json!({"team": "search"});
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    let id = body["id"].as_str().unwrap();
    let item = body["output"][0]["id"].as_str().unwrap();
    assert!(
        id.starts_with("resp_") && item.starts_with("msg_"),
        "{body}"
    );
    let expected = json!({
        "id": id, "object": "response", "created_at": body["created_at"], "completed_at": body["completed_at"],
        "status": "completed", "background": false, "error": null, "incomplete_details": null, "model": "claude",
        "output": [{
            "type": "message", "id": item, "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "You said: Hello there", "annotations": [], "logprobs": []}],
        }],
        "instructions": "Be brief.", "max_output_tokens": null, "max_tool_calls": null, "previous_response_id": null,
        "prompt_cache_key": null, "reasoning": {"effort": null, "summary": null}, "safety_identifier": null, "store": true,
        "temperature": null, "top_p": null, "text": {"format": {"type": "text"}}, "truncation": "disabled", "user": null,
        "metadata": {"team": "search"}, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": 4, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8,
            "cost": body["usage"]["cost"],
        },
    });
    assert_eq!(body, expected);
    assert!(body["usage"]["cost"].as_f64().unwrap() > 0.0);
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("us.anthropic.claude-sonnet-5-5")
    );
    let sent = gateway.last_sent();
    assert_eq!(sent["system"][0]["text"], "Be brief.");
    assert_eq!(sent["requestMetadata"]["team"], "search");
}

#[tokio::test]
async fn options_are_sent_to_the_model() {
    let gateway = Gateway::start().await;
    let mut request = asking("one two three four");
    request["max_output_tokens"] = 3.into();
    request["model"] = "nova".into();
    request["temperature"] = 0.25.into();
    let reply = gateway.respond(&request).await.json();
    assert_eq!(reply["status"], "incomplete");
    assert_eq!(
        reply["incomplete_details"],
        json!({"reason": "max_output_tokens"})
    );
    assert_eq!(reply["output"][0]["status"], "incomplete");
    assert_eq!(reply["completed_at"], json!(null));
    let sent = gateway.last_sent();
    assert_eq!(sent["inferenceConfig"]["maxTokens"], 3);
    assert_eq!(sent["inferenceConfig"]["temperature"], 0.25);
}

#[tokio::test]
async fn text_format_is_a_schema_of_the_answer() {
    let gateway = Gateway::start().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "place", "schema": schema, "strict": true});
    let mut request = with(
        asking("Where?"),
        "text",
        json!({"format": format, "verbosity": "low"}),
    );
    // Codex sends a schema beside tools.
    request["tools"] = json!([function("look")]);
    let reply = gateway.respond(&request).await;
    let body = reply.json();
    let answer = body["output"][0]["content"][0]["text"].as_str().unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert!(answer["city"].is_string(), "{body}");
    assert_eq!(body["text"]["format"]["name"], "place");
    request["text"]["format"]["name"] = json!("");
    let error = gateway.respond(&request).await.error();
    assert_eq!(error["param"], "text.format.name");
}

#[tokio::test]
async fn reasoning_effort_is_translated_and_its_summary_is_shown_on_request() {
    let gateway = Gateway::start().await;
    let mut request = asking("Hi");
    request["reasoning"] = json!({"effort": "low", "summary": "auto"});
    let shown = gateway.respond(&request).await.json();
    let reasoning = items_of(&shown, "reasoning");
    assert_eq!(reasoning[0]["summary"][0]["type"], "summary_text");
    assert!(reasoning[0]["id"].as_str().unwrap().starts_with("rs_"));
    assert!(
        reasoning[0]["encrypted_content"]
            .as_str()
            .unwrap()
            .starts_with("lt1.")
    );
    assert_eq!(
        shown["reasoning"],
        json!({"effort": "low", "summary": "auto"})
    );
    request["reasoning"] = json!({"effort": "low"});
    let hidden = gateway.respond(&request).await.json();
    let reasoning = items_of(&hidden, "reasoning");
    assert_eq!(reasoning[0]["summary"], json!([]));
    assert!(
        reasoning[0]["encrypted_content"].is_string(),
        "sealed whether asked or not"
    );
    assert_eq!(hidden["output"][1]["type"], "message");
    request["reasoning"] = json!({"effort": "huge"});
    let error = gateway.respond(&request).await.error();
    assert_eq!(error["param"], "reasoning.effort");
}

#[tokio::test]
async fn input_tokens_are_counted_without_an_answer() {
    let gateway = Gateway::start().await;
    let request = asking("one two three");
    let reply = gateway
        .ask("/v1/responses/input_tokens", crate::support::KEY, &request)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["object"], "response.input_tokens");
    assert!(body["input_tokens"].as_u64().unwrap() >= 3, "{body}");
}

#[tokio::test]
async fn prompt_cache_key_places_cache_points() {
    let gateway = Gateway::start().await;
    let long = "word ".repeat(8000);
    let mut request = asking("Hi");
    request["instructions"] = long.into();
    gateway.respond(&request).await;
    assert!(!gateway.last_sent().to_string().contains("cachePoint"));
    request["prompt_cache_key"] = "session".into();
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(gateway.last_sent().to_string().contains("cachePoint"));
}
