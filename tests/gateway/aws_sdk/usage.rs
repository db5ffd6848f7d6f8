//! Counts of replies that pass through are judged, and all of them are priced.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lintel::{simulator::ScriptedReply, upstream::encode_frame};
use serde_json::{Value, json};

use super::{call, claude, money::settled, say};
use crate::support::{
    Gateway,
    money::{booked, budget, key},
};

const SETTINGS: &str = r#"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 5000
    price = { input = 2.0, output = 10.0, priority_input = 4.0, priority_output = 20.0 }
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    price = { input = 2.0, output = 10.0, cache_read = 0.2, cache_write = 2.5, cache_write_1h = 4.0 }
    [models.nova2]
    target = "us.amazon.nova-2-lite-v1:0"
    max_tokens = 100
    price = { input = 0.3, output = 2.5, server_tool_use = 0.03 }
    [models.titan]
    target = "amazon.titan-embed-text-v2:0"
    price = { input = 2.0, output = 0.0 }
"#;

/// 2000 bytes of output, which the gateway estimates as 500 tokens.
fn long() -> String {
    "word ".repeat(400)
}

fn answer(usage: Value) -> Value {
    let mut body = json!({"metrics": {"latencyMs": 1}, "stopReason": "end_turn",
        "output": {"message": {"role": "assistant", "content": [{"text": long()}]}}});
    if !usage.is_null() {
        body["usage"] = usage;
    }
    body
}

fn event(event_type: &str, payload: &Value) -> Bytes {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    encode_frame(&headers, payload.to_string().as_bytes())
}

fn chunk(payload: &Value) -> Bytes {
    let bytes = STANDARD.encode(payload.to_string());
    event("chunk", &json!({"bytes": bytes}))
}

fn events(usage: Value) -> ScriptedReply {
    ScriptedReply::stream(vec![
        event("messageStart", &json!({"role": "assistant"})),
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": long()}}),
        ),
        event("contentBlockStop", &json!({"contentBlockIndex": 0})),
        event("messageStop", &json!({"stopReason": "end_turn"})),
        event(
            "metadata",
            &json!({"usage": usage, "metrics": {"latencyMs": 1}}),
        ),
    ])
}

fn with_headers(mut reply: ScriptedReply, headers: &[(&str, &str)]) -> ScriptedReply {
    let more = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    reply.headers.extend(more);
    reply
}

#[tokio::test]
async fn impossible_counts_are_replaced_by_an_estimate() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let good = json!({"inputTokens": 200, "outputTokens": 400, "totalTokens": 600});
    let cases = [
        (good, "actual"),
        (Value::Null, "estimated"),
        (json!({}), "estimated"),
        (json!({"inputTokens": 200}), "estimated"),
        (
            json!({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}),
            "estimated",
        ),
        (
            json!({"inputTokens": 200, "outputTokens": 0, "totalTokens": 200}),
            "estimated",
        ),
        (
            json!({"inputTokens": 200, "outputTokens": -1, "totalTokens": 1}),
            "estimated",
        ),
        (
            json!({"inputTokens": 1_000_000_000_000_u64, "outputTokens": 5, "totalTokens": 5}),
            "estimated",
        ),
    ];
    for (usage, expected) in cases {
        let whole = ScriptedReply::json(200, answer(usage.clone()).to_string());
        for (operation, reply) in [
            ("converse", whole),
            ("converse-stream", events(usage.clone())),
        ] {
            let (id, secret) = key(&gateway, budget(1.0)).await;
            gateway.simulator.script(reply);
            let path = format!("/model/lite/{operation}");
            let reply = call(&gateway, &secret, &path, &say(&"hello ".repeat(100))).await;
            assert_eq!(reply.status, 200, "{operation} {usage}: {}", reply.text());
            let (kind, cost) = settled(&gateway, &id).await;
            assert_eq!(kind, expected, "{operation} {usage}");
            let output = if expected == "actual" { 400 } else { 500 } * 10_000;
            assert!(
                (output..output + 1_000_000).contains(&cost),
                "{operation} {usage}: {cost}"
            );
        }
    }
}

/// Headers of a reply.
type Headers<'h> = &'h [(&'h str, &'h str)];

/// The counts stand in the headers, in the body, or in parts in both.
#[tokio::test]
async fn counts_of_invoke_model_are_completed_from_the_body() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let usage = json!({"inputTokens": 5, "outputTokens": 500, "totalTokens": 505});
    let (input, output) = (
        "x-amzn-bedrock-input-token-count",
        "x-amzn-bedrock-output-token-count",
    );
    let cases: [(Headers<'_>, &str, i64); 5] = [
        (&[(input, "7"), (output, "600")], "actual", 6_014_000),
        (&[], "actual", 5_010_000),
        (&[(input, "5")], "actual", 5_010_000),
        (&[(input, "-5"), (output, "10")], "estimated", 5_000_000),
        (&[(input, "5"), (output, "0")], "estimated", 5_010_000),
    ];
    for (headers, expected, least) in cases {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let reply = ScriptedReply::json(200, answer(usage.clone()).to_string());
        gateway.simulator.script(with_headers(reply, headers));
        let path = "/model/lite/invoke";
        let reply = call(&gateway, &secret, path, &say("Hi")).await;
        assert_eq!(reply.status, 200, "{headers:?}: {}", reply.text());
        let (kind, cost) = settled(&gateway, &id).await;
        assert_eq!(kind, expected, "{headers:?}");
        // An estimate of the input adds at most a few tokens.
        assert!(
            (least..least + 200_000).contains(&cost),
            "{headers:?}: {cost}"
        );
    }
}

/// Only the body says how long the cache keeps what was written.
#[tokio::test]
async fn cache_writes_of_an_hour_have_their_own_price() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut body = claude("Hi");
    body["system"] = json!([{"type": "text", "text": "word ".repeat(6000),
        "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    for operation in ["invoke", "invoke-with-response-stream"] {
        body["system"][0]["text"] = format!("{operation} {}", "word ".repeat(6000)).into();
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let path = format!("/model/haiku/{operation}");
        let reply = call(&gateway, &secret, &path, &body).await;
        assert_eq!(reply.status, 200, "{operation}");
        let (kind, cost) = settled(&gateway, &id).await;
        let invocations = gateway.simulator.invocations();
        let count = |part: &str, name: &str| {
            let line = invocations.last().unwrap();
            line[part][name].as_i64().unwrap()
        };
        let written = count("input", "cacheWriteInputTokenCount");
        assert!(written > 6000, "{operation}: {written}");
        let bill = written * 4000
            + count("input", "inputTokenCount") * 2000
            + count("output", "outputTokenCount") * 10_000;
        assert_eq!((kind.as_str(), cost), ("actual", bill), "{operation}");
    }
}

#[tokio::test]
async fn tier_in_the_headers_of_a_stream_decides_about_its_price() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let metrics = json!({"inputTokenCount": 1000, "outputTokenCount": 100});
    for (tier, bill) in [("priority", 6_000_000), ("default", 3_000_000)] {
        let reply = ScriptedReply::stream(vec![
            chunk(&json!({"messageStart": {"role": "assistant"}})),
            chunk(&json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "hi"}}})),
            chunk(&json!({"contentBlockStop": {"contentBlockIndex": 0}})),
            chunk(&json!({"messageStop": {"stopReason": "end_turn"}})),
            chunk(&json!({"metadata": {}, "amazon-bedrock-invocationMetrics": metrics})),
        ]);
        let headers = [("x-amzn-bedrock-service-tier", tier)];
        gateway.simulator.script(with_headers(reply, &headers));
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let path = "/model/lite/invoke-with-response-stream";
        let request = http::Request::post(format!("http://{}{path}", gateway.data))
            .header("authorization", format!("Bearer {secret}"))
            .header("x-amzn-bedrock-service-tier", "priority");
        let body = say("Hi").to_string();
        let reply = gateway.send(request.body(body.into()).unwrap()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(settled(&gateway, &id).await, ("actual".to_owned(), bill));
    }
}

#[tokio::test]
async fn impossible_counts_of_embeddings_are_replaced_by_an_estimate() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let text = "hello world ".repeat(50);
    let vector = vec![0.5; 1024];
    // An estimate is booked at the input that was reserved: a token a byte.
    for (count, expected, input) in [
        (json!(5), "actual", 5),
        (json!(0), "estimated", 602),
        (json!(-3), "estimated", 602),
        (json!(1_000_000_000_000_u64), "estimated", 602),
        (Value::Null, "estimated", 602),
    ] {
        for (path, body, more) in [
            (
                "/v1/embeddings",
                json!({"model": "titan", "input": text}),
                0,
            ),
            // The rest of the body counts too.
            ("/model/titan/invoke", json!({"inputText": text}), 16),
        ] {
            let mut reply = json!({"embedding": vector});
            if !count.is_null() {
                reply["inputTextTokenCount"] = count.clone();
            }
            let reply = ScriptedReply::json(200, reply.to_string());
            gateway.simulator.script(reply);
            let (id, secret) = key(&gateway, budget(1.0)).await;
            let reply = call(&gateway, &secret, path, &body).await;
            assert_eq!(reply.status, 200, "{path} {count}: {}", reply.text());
            let (kind, cost) = settled(&gateway, &id).await;
            assert_eq!(kind, expected, "{path} {count}");
            let tokens = cost / 2000;
            assert!(
                (input..=input + more).contains(&tokens),
                "{path} {count}: {tokens}"
            );
            assert_eq!(booked(&gateway, &id).await.len(), 1);
        }
    }
}

/// A search costs far more than the tokens of a short answer.
#[tokio::test]
async fn web_searches_are_booked_on_every_operation() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let usage = json!({"inputTokens": 100, "outputTokens": 10, "totalTokens": 110,
        "serverToolUsage": {"webSearchRequests": 1}});
    let mut short = answer(usage.clone());
    short["output"]["message"]["content"][0]["text"] = "Hi".into();
    let short = ScriptedReply::json(200, short.to_string());
    let metrics = json!({"inputTokenCount": 100, "outputTokenCount": 10});
    let chunks = ScriptedReply::stream(vec![
        chunk(&json!({"messageStop": {"stopReason": "end_turn"}})),
        chunk(&json!({"metadata": {"usage": usage}, "amazon-bedrock-invocationMetrics": metrics})),
    ]);
    for (operation, reply) in [
        ("converse", short.clone()),
        ("converse-stream", events(usage.clone())),
        ("invoke", short),
        ("invoke-with-response-stream", chunks),
    ] {
        let (id, secret) = key(&gateway, budget(5.0)).await;
        gateway.simulator.script(reply);
        let path = format!("/model/nova2/{operation}");
        let reply = call(&gateway, &secret, &path, &say("Hi")).await;
        assert_eq!(reply.status, 200, "{operation}");
        // $0.3 and $2.5 per million tokens, and $0.03 for the search.
        let bill = 100 * 300 + 10 * 2500 + 30_000_000;
        let expected = ("actual".to_owned(), bill);
        assert_eq!(settled(&gateway, &id).await, expected, "{operation}");
    }
}
