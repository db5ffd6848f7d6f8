//! Retries: which failures are retried, how often, and how the client sees it. Also some options that reach Bedrock.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{Gateway, streamed, user};

fn retrying(mut request: Value) -> Value {
    request["model"] = "again".into();
    request
}

fn failure(status: u16, name: &str) -> ScriptedReply {
    let mut scripted = ScriptedReply::json(status, r#"{"message":"no"}"#);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), name.into()));
    scripted
}

#[tokio::test]
async fn transient_failures_are_retried_with_the_same_bytes() {
    for (status, name) in [
        (429, "ThrottlingException"),
        (503, "ServiceUnavailableException"),
        (429, "ModelNotReadyException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (500, "InternalServerException"),
        (403, "ExpiredTokenException"),
    ] {
        for request in [retrying(user("Hi")), retrying(streamed("Hi"))] {
            let gateway = Gateway::start().await;
            gateway.simulator.script(failure(status, name));
            let reply = gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
            assert_eq!(reply.header("x-lintel-attempts"), Some("2"), "{name}");
            assert!(
                reply
                    .header("x-lintel-warnings")
                    .unwrap()
                    .contains("attempts: "),
                "{name}"
            );
            let received = gateway.simulator.received();
            assert_eq!(received.len(), 2, "{name}");
            assert_eq!(received[0].body, received[1].body, "{name}: the same bytes");
        }
    }
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    for (status, name) in [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (400, "ServiceQuotaExceededException"),
        (400, "ConflictException"),
    ] {
        let gateway = Gateway::start().await;
        gateway.simulator.script(failure(status, name));
        assert!(
            gateway.chat(&retrying(user("Hi"))).await.status.as_u16() >= 400,
            "{name}"
        );
        assert_eq!(gateway.simulator.received().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    for (name, status, most) in [
        ("ThrottlingException", 429, 3),
        ("InternalServerException", 500, 2),
    ] {
        let gateway = Gateway::start().await;
        for _ in 0..5 {
            gateway.simulator.script(failure(status, name));
        }
        assert!(
            gateway.chat(&retrying(user("Hi"))).await.status.as_u16() >= 429,
            "{name}"
        );
        assert_eq!(gateway.simulator.received().len(), most, "{name}");
    }
}

#[tokio::test]
async fn a_stream_is_retried_before_its_first_token_and_not_after() {
    let gateway = Gateway::start().await;
    let reply = gateway
        .chat(&retrying(streamed(
            "[simulate first-exception throttlingException]",
        )))
        .await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(gateway.simulator.received().len(), 3);
    let gateway = Gateway::start().await;
    let reply = gateway
        .chat(&retrying(streamed(
            "[simulate exception throttlingException] [simulate words 9]",
        )))
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(
        reply
            .events()
            .last()
            .unwrap()
            .contains("rate_limit_exceeded")
    );
    assert_eq!(
        gateway.simulator.received().len(),
        1,
        "a retry would repeat tokens"
    );
}

#[tokio::test]
async fn each_choice_is_retried_on_its_own() {
    let gateway = Gateway::start().await;
    gateway
        .simulator
        .script(failure(429, "ThrottlingException"));
    let mut request = retrying(user("Hi"));
    request["n"] = 3.into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.json()["choices"].as_array().unwrap().len(), 3);
    assert_eq!(reply.header("x-lintel-attempts"), Some("4"));
}

#[tokio::test]
async fn a_matched_stop_sequence_is_reported() {
    let gateway = Gateway::start().await;
    for (model, sent) in [("claude", true), ("us.openai.gpt-5.6-sol", false)] {
        for stream in [false, true] {
            let request = json!({"model": model, "stream": stream, "stop": ["three"],
                "messages": [{"role": "user", "content": "one two three four"}]});
            let reply = gateway.any(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            assert!(
                reply.text().contains(r#""stop_sequence":"three""#),
                "{model}: {}",
                reply.text()
            );
        }
        let body: Value =
            serde_json::from_slice(&gateway.simulator.received().last().unwrap().body).unwrap();
        assert_eq!(
            body["inferenceConfig"]["stopSequences"].is_array(),
            sent,
            "{model}: the gateway sends stop sequences only if the model supports them"
        );
    }
}

#[tokio::test]
async fn a_server_side_web_search_is_returned_and_can_be_replayed() {
    let gateway = Gateway::start().await;
    let mut request = json!({"model": "again", "tools": [{"type": "web_search"}], "tool_choice": "required",
        "messages": [{"role": "user", "content": "Is it so?"}]});
    let reply = gateway.chat(&request).await.json();
    let message = &reply["choices"][0]["message"];
    assert_eq!(
        reply["choices"][0]["finish_reason"], "stop",
        "the client has no tool call to answer"
    );
    assert!(message["tool_calls"].is_null());
    assert_eq!(
        message["annotations"][0]["url_citation"]["url"],
        "https://example.com/page"
    );
    let blocks = message["server_tool_blocks"].as_array().unwrap();
    assert_eq!(blocks[0]["toolUse"]["input"]["query"], "Is it so?");
    assert_eq!(
        blocks[1]["toolResult"]["content"][0]["text"],
        "A page says so."
    );
    assert_eq!(reply["usage"]["server_tool_uses"], 1);
    assert!(
        reply["usage"]["cost"].is_null(),
        "the price of a search is unknown, so no cost is reported"
    );
    request["stream"] = true.into();
    let streamed = gateway.chat(&request).await;
    let deltas = streamed.events();
    let found = deltas
        .iter()
        .filter(|event| event.contains("server_tool_blocks"))
        .count();
    assert_eq!(
        found, 2,
        "one block for the call and one for its result: {deltas:?}"
    );
    // The next turn does not declare the tool, but its history needs it.
    request = json!({"model": "again", "messages": [
        {"role": "user", "content": "Is it so?"}, message, {"role": "user", "content": "Sure?"}]});
    assert_eq!(gateway.chat(&request).await.status, StatusCode::OK);
    let body: Value =
        serde_json::from_slice(&gateway.simulator.received().last().unwrap().body).unwrap();
    assert_eq!(
        body["messages"][1]["content"][0]["toolUse"]["type"],
        "server_tool_use"
    );
    assert_eq!(
        body["messages"][1]["content"][1]["toolResult"]["toolUseId"],
        blocks[0]["toolUse"]["toolUseId"]
    );
    assert_eq!(
        body["toolConfig"]["tools"][0]["systemTool"]["name"],
        "nova_grounding"
    );
}

#[tokio::test]
async fn guardrail_headers_are_applied() {
    let gateway = Gateway::start().await;
    let request = gateway
        .request(http::Method::POST, "/v1/chat/completions")
        .header("x-amzn-bedrock-guardrailidentifier", "abc123")
        .header("x-amzn-bedrock-guardrailversion", "2")
        .header("x-amzn-bedrock-trace", "ENABLED");
    let reply = gateway
        .send(request.body(user("Hi").to_string().into()).unwrap())
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body: Value = serde_json::from_slice(&gateway.sent().body).unwrap();
    let expected =
        json!({"guardrailIdentifier": "abc123", "guardrailVersion": "2", "trace": "enabled"});
    assert_eq!(body["guardrailConfig"], expected);
}

#[tokio::test]
async fn optimized_latency_has_its_own_price() {
    let gateway = Gateway::start_with(
        r#"
        [models.fast]
        target = "amazon.nova-pro-v1:0"
        price = { optimized_input = 1.0, optimized_output = 4.0 }
        "#,
    )
    .await;
    let mut request = user("Hi");
    request["model"] = "fast".into();
    let usual = gateway.chat(&request).await.json();
    request["bedrock"] = json!({"performance": "optimized"});
    let fast = gateway.chat(&request).await.json();
    // One input token and three output tokens.
    assert_eq!(
        (&usual["usage"]["cost"], &fast["usage"]["cost"]),
        (&json!(0.0000104), &json!(0.000013))
    );
    request["model"] = "nova".into();
    assert!(
        gateway.chat(&request).await.json()["usage"]["cost"].is_null(),
        "this model has no known price for it"
    );
}
