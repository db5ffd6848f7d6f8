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
    saying(status, name, "no")
}

fn saying(status: u16, name: &str, message: &str) -> ScriptedReply {
    let mut scripted = ScriptedReply::json(status, json!({"message": message}).to_string());
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

/// The texts were only in the log: "per day" and "per minute" looked the same to the client.
#[tokio::test]
async fn errors_quote_the_service_without_what_identifies_the_account() {
    let text = "Too many tokens per minute for role Prod-Bedrock in 123456789012 at https://x.amazonaws.com/.";
    let quote = " Bedrock says: Too many tokens per minute for role [name] in [id] at [endpoint].";
    for (status, name, quoted) in [
        (429, "ThrottlingException", true),
        (503, "ServiceUnavailableException", true),
        (408, "ModelTimeoutException", true),
        (424, "ModelErrorException", true),
        (429, "ModelNotReadyException", true),
        (400, "ServiceQuotaExceededException", true),
        (403, "AccessDeniedException", false),
        (404, "ResourceNotFoundException", false),
    ] {
        let gateway = Gateway::start().await;
        for _ in 0..3 {
            gateway.simulator.script(saying(status, name, text));
        }
        let reply = gateway.chat(&retrying(user("Hi"))).await;
        let message = reply.error()["message"].as_str().unwrap().to_owned();
        assert_eq!(message.ends_with(quote), quoted, "{name}: {message}");
        assert!(!message.contains("Prod"), "{name}: {message}");
    }
}

/// A spent daily quota was retried like a short throttle, and the client was told to come back in a second.
#[tokio::test]
async fn daily_quota_is_not_retried() {
    let gateway = Gateway::start().await;
    let text = "Too many tokens per day, please wait before trying again.";
    gateway
        .simulator
        .script(saying(429, "ThrottlingException", text));
    let reply = gateway.chat(&retrying(user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("retry-after"), Some("3600"));
    assert_eq!(gateway.simulator.received().len(), 1);
}

/// 40 requests during an outage made 120 requests to Bedrock: the floor of ten seconds was granted at once.
#[tokio::test]
async fn outage_is_retried_within_the_share_from_the_first_second() {
    let gateway = Gateway::start().await;
    for _ in 0..120 {
        gateway
            .simulator
            .script(failure(429, "ThrottlingException"));
    }
    let started = std::time::Instant::now();
    let request = retrying(user("Hi"));
    let calls = (0..40).map(|_| gateway.chat(&request));
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    }
    // On a slow machine the calls take longer than a second, and each second has a floor of its own.
    let seconds = started.elapsed().as_secs() as usize + 1;
    let sent = gateway.simulator.received().len();
    assert!(sent <= 40 + 8 + 10 * seconds, "{sent} in {seconds} s");
    assert!(sent > 40, "nothing was retried");
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
