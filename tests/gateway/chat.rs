//! OpenAI chat completions, whole and streamed.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, streamed, user};

#[tokio::test]
async fn a_whole_reply_is_a_chat_completion_object() {
    let gateway = Gateway::start().await;
    let reply = gateway.chat(&user("Hello there")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    let expected = json!({
        "id": body["id"], "object": "chat.completion", "created": body["created"], "model": "claude",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "You said: Hello there", "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
            "cost": 0.000_048_4,
        },
    });
    assert_eq!(body, expected);
    assert_eq!(
        reply.header("x-lintel-cost-usd"),
        Some("0.0000484"),
        "2 tokens at $2.2 and 4 at $11 per million"
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("us.anthropic.claude-sonnet-5-5")
    );
    assert_eq!(reply.header("x-lintel-region"), Some("us-east-1"));
    assert!(reply.header("openai-processing-ms").is_some());
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(
        id.strip_prefix("req_"),
        body["id"].as_str().unwrap().strip_prefix("chatcmpl-")
    );
}

#[tokio::test]
async fn a_stream_consists_of_chat_completion_chunks() {
    let gateway = Gateway::start().await;
    let reply = gateway.chat(&streamed("Hi")).await;
    assert_eq!(reply.status, StatusCode::OK);
    let events = reply.events();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let deltas: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas,
        [
            &json!({"role": "assistant", "content": "", "refusal": null}),
            &json!({"content": "You"}),
            &json!({"content": " said:"}),
            &json!({"content": " Hi"}),
            &json!({}),
        ]
    );
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["created"], chunks[0]["created"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "claude");
        assert_eq!(chunk["choices"][0]["index"], 0);
        let finish = &chunk["choices"][0]["finish_reason"];
        assert_eq!(
            *finish,
            if index + 1 == chunks.len() {
                json!("stop")
            } else {
                Value::Null
            }
        );
        assert!(
            chunk.get("usage").is_none(),
            "no usage unless the client requests it"
        );
    }
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn include_usage_adds_a_last_chunk_with_the_usage() {
    let gateway = Gateway::start().await;
    let mut request = streamed("Hi");
    request["stream_options"] = json!({"include_usage": true});
    let reply = gateway.chat(&request).await;
    let events = reply.events();
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 1);
    assert_eq!(last["usage"]["completion_tokens"], 3);
    assert!(
        before
            .iter()
            .all(|chunk| chunk.get("usage") == Some(&Value::Null)),
        "usage is null in every other chunk"
    );
}

#[tokio::test]
async fn the_reply_contains_the_requested_model_name() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["model"] = "task".into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.json()["model"], "task");
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("us.anthropic.claude-sonnet-5-5")
    );
}

#[tokio::test]
async fn max_tokens_and_stop_are_sent_to_the_model() {
    let gateway = Gateway::start().await;
    let mut request = user("one two three four");
    request["max_tokens"] = 3.into();
    let reply = gateway.chat(&request).await.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["choices"][0]["message"]["content"], "You said: one");
    let mut request = user("one two three four");
    request["stop"] = "three".into();
    let reply = gateway.chat(&request).await.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        reply["choices"][0]["message"]["content"],
        "You said: one two "
    );
}

#[tokio::test]
async fn every_byte_of_the_body_is_sent_and_signed() {
    let gateway = Gateway::start().await;
    // Non-ASCII, because the length counts bytes. The simulator verifies the signature of the body that it receives.
    let text = "ünï ".repeat(20_000);
    let reply = gateway.chat(&user(&text)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.sent();
    assert_eq!(
        sent.headers["content-length"].to_str().unwrap(),
        sent.body.len().to_string()
    );
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["text"], text);
    assert_eq!(sent.path, "/model/us.anthropic.claude-sonnet-5-5/converse");
}

#[tokio::test]
async fn a_colon_in_the_model_id_is_escaped_in_the_path() {
    let gateway = Gateway::start().await;
    let mut request = streamed("Hi");
    request["model"] = "nova".into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
    let sent = gateway.sent();
    assert_eq!(sent.path, "/model/amazon.nova-lite-v1%3A0/converse-stream");
    assert_eq!(sent.model_id, "amazon.nova-lite-v1:0");
}

#[tokio::test]
async fn dropped_parameters_are_reported_or_rejected() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["seed"] = 7.into();
    request["temperature"] = 1.5.into();
    request["foo"] = json!({"bar": 1});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let warnings = reply.header("x-lintel-warnings").unwrap();
    for expected in [
        "seed: ignored",
        "temperature: 1.5 was lowered to 1",
        "foo: ignored, unknown",
    ] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    request["model"] = "strict".into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "unsupported_parameter");
    assert_eq!(reply.error()["param"], "foo");
    assert!(
        gateway
            .chat(&user("Hi"))
            .await
            .header("x-lintel-warnings")
            .is_none()
    );
}

#[tokio::test]
async fn models_are_listed_with_their_use_cases() {
    let gateway = Gateway::start().await;
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let names: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "again", "claude", "hasty", "nova", "patient", "strict", "task"
        ]
    );
    assert!(
        !list.to_string().contains("123456789012"),
        "the account id is not revealed"
    );
    let claude = gateway.get("/models/claude").await.json();
    assert_eq!(claude["object"], "model");
    assert_eq!(claude["owned_by"], "anthropic");
    assert_eq!(claude["use_cases"], json!(["code_generation"]));
    assert_eq!(claude["price"]["input"], json!(2.2));
    assert_eq!(claude["context_window"], json!(1_000_000));
    assert_eq!(claude["lifecycle"]["status"], "active");
    assert_eq!(claude["input_modalities"], json!(["text", "image", "file"]));
    let task = gateway.get("/v1/models/task").await.json();
    assert_eq!(task["alias_of"], "claude");
    assert_eq!(
        gateway.get("/v1/models/nope").await.error()["code"],
        "model_not_found"
    );
}
