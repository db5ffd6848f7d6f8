//! Members of requests, and how errors and warnings name them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{converse_whole, gateway, message, respond};

#[tokio::test]
async fn end_user_of_a_message_leaves_the_gateway_only_as_a_hash() {
    let gateway = gateway().await;
    let request = json!({"model": "haiku", "metadata": {"user_id": "alice@example.com"}});
    let reply = message(&gateway, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.bodies().pop().unwrap();
    let hash = crate::support::sha256("alice@example.com");
    assert_eq!(sent["requestMetadata"]["user"], hash, "{sent}");
    let request = json!({"metadata": {"user_id": "alice@example.com"}});
    let reply = message(&gateway, request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    assert!(warnings.contains("metadata.user_id: ignored"), "{warnings}");
}

#[tokio::test]
async fn limit_of_the_client_is_never_raised() {
    let gateway = gateway().await;
    let request = json!({"model": "haiku", "max_tokens": 300, "thinking": {"type": "adaptive"}});
    let reply = message(&gateway, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply
        .header("x-lintel-warnings")
        .unwrap_or_default()
        .to_owned();
    assert!(
        warnings.contains("thinking: ignored (max_tokens is 300"),
        "{warnings}"
    );
    let sent = gateway.bodies().pop().unwrap();
    assert_eq!(sent["inferenceConfig"]["maxTokens"], 300, "{sent}");
    assert!(
        sent["additionalModelRequestFields"]["thinking"].is_null(),
        "{sent}"
    );
}

#[tokio::test]
async fn stop_sequence_ends_a_message_even_if_bedrock_does_not_name_it() {
    let gateway = gateway().await;
    for (fields, known) in [
        (Value::Null, Value::Null),
        (json!({"stop_sequence": "END"}), json!("END")),
    ] {
        let more = json!({"additionalModelResponseFields": fields});
        let script = converse_whole("Some text", "stop_sequence", more);
        gateway.simulator.script(script);
        let request = json!({"model": "haiku", "stop_sequences": ["END", "STOP"]});
        let body = message(&gateway, request).await.json();
        assert_eq!(body["stop_reason"], "stop_sequence", "{body}");
        assert_eq!(body["stop_sequence"], known);
    }
}

#[tokio::test]
async fn errors_and_warnings_name_members_as_the_client_does() {
    let gateway = gateway().await;
    let strict = json!([
        {"type": "mcp", "server_label": "x"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "a", "parameters": {"type": "array", "items": {}}}]},
    ]);
    let reply = respond(&gateway, json!({"model": "haiku", "tools": strict})).await;
    let warnings = reply
        .header("x-lintel-warnings")
        .unwrap_or_default()
        .to_owned();
    assert!(
        warnings.contains("tools[1].tools[0].parameters: "),
        "{warnings}"
    );
    let tools = json!([{"type": "code_execution_1", "name": "c"}, {"name": "a", "input_schema": {"type": "array", "items": {}}}]);
    let reply = message(&gateway, json!({"model": "haiku", "tools": tools})).await;
    let warnings = reply
        .header("x-lintel-warnings")
        .unwrap_or_default()
        .to_owned();
    assert!(warnings.contains("tools[1].input_schema: "), "{warnings}");
    let image = json!([{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}]}]);
    let reply = message(&gateway, json!({"model": "haiku", "messages": image})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = reply.text();
    assert!(text.contains("messages[0].content[0].source"), "{text}");
    assert!(!text.contains("image_url"), "{text}");
    let image = json!([{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="}]}]);
    let reply = respond(&gateway, json!({"model": "haiku", "input": image})).await;
    assert_eq!(reply.error()["param"], "input[0].content[0].image_url");
}

#[tokio::test]
async fn texts_of_errors_name_members_as_the_client_does() {
    let gateway = gateway().await;
    let own = json!({"additional_model_request_fields": {"system": "Obey."}});
    let request = json!({"model": "haiku", "bedrock": own});
    let reply = respond(&gateway, request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = reply.text();
    assert!(text.contains("Send it in 'input'."), "{text}");
}

/// The list of the client has tools that the chat does not have.
#[tokio::test]
async fn errors_of_a_file_search_count_the_tools_of_the_client() {
    let gateway = gateway().await;
    let tools = json!([
        {"type": "web_search"},
        {"type": "function", "name": "f"},
        {"type": "file_search", "vector_store_ids": ["unknown"]},
    ]);
    let reply = respond(&gateway, json!({"model": "haiku", "tools": tools})).await;
    let param = reply.json()["error"]["param"].clone();
    assert_eq!(param, "tools[2].vector_store_ids", "{}", reply.text());
}

/// The explanations named members of chat completions.
#[tokio::test]
async fn explanations_of_warnings_name_members_as_the_client_does() {
    let gateway = gateway().await;
    let request =
        json!({"model": "haiku", "max_output_tokens": 500, "reasoning": {"effort": "high"}});
    let reply = respond(&gateway, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    let expected = "reasoning.effort: ignored (max_output_tokens is 500";
    assert!(warnings.contains(expected), "{warnings}");
    for name in [
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "messages",
    ] {
        assert!(!warnings.contains(name), "{warnings}");
    }
}
