//! What is booked where the endpoint reports no usage, or one that cannot be true.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{answered, ask, gateway, with};
use crate::support::{
    Gateway,
    money::{booked, budget, key},
};

const TEXT: &str = "An answer of the model that is long enough to cost something.";

fn usage(input: i64, output: i64) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output})
}

/// Returns a whole reply with this text and usage.
fn whole(text: &str, usage: &Value) -> ScriptedReply {
    let message = json!({"role": "assistant", "content": text});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage});
    ScriptedReply::json(200, body.to_string())
}

/// Returns a stream of these events.
pub fn stream(events: &[Value]) -> ScriptedReply {
    let mut body: String = events
        .iter()
        .map(|one| format!("data: {one}\n\n"))
        .collect();
    body.push_str("data: [DONE]\n\n");
    let mut reply = ScriptedReply::stream(vec![Bytes::from(body)]);
    reply.headers = vec![("content-type".into(), "text/event-stream".into())];
    reply
}

pub fn event(delta: Value, finish: Value, usage: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage})
}

/// Sends a request that is answered with `reply`. Returns the certainty and the cost of what is booked.
async fn charged(gateway: &Gateway, reply: ScriptedReply, request: &Value) -> (String, f64) {
    let (id, secret) = key(gateway, budget(5.0)).await;
    gateway.simulator.script(reply);
    let reply = gateway.as_key(&secret, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    gateway
        .until(async || !booked(gateway, &id).await.is_empty())
        .await;
    let rows = booked(gateway, &id).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    (rows[0].0.clone(), rows[0].2.parse().unwrap())
}

#[tokio::test]
async fn impossible_usage_of_a_whole_reply_is_booked_as_an_estimate() {
    let gateway = gateway().await;
    let cached = |cached: i64| json!({"prompt_tokens": 7, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": cached}});
    for reported in [
        json!({}),
        usage(0, 0),
        usage(-5, -7),
        json!({"prompt_tokens": 7}),
        cached(-1000),
        cached(1000),
    ] {
        let (kind, cost) = charged(&gateway, whole(TEXT, &reported), &ask("oss", "Hi")).await;
        assert_eq!(kind, "estimated", "{reported}");
        // At least the text at four bytes per token.
        assert!(cost >= 0.00015, "{reported}: {cost}");
    }
    let (kind, cost) = charged(&gateway, whole(TEXT, &usage(900, -1)), &ask("oss", "Hi")).await;
    assert_eq!(kind, "estimated");
    assert!(cost >= 0.0018, "never less than what was reported: {cost}");
    let (kind, _) = charged(&gateway, whole("", &usage(7, 0)), &ask("oss", "Hi")).await;
    assert_eq!(kind, "actual", "an empty answer has no output");
    let blocked = json!({
        "choices": [{"index": 0, "message": {"content": "Blocked."}, "finish_reason": "stop"}],
        "usage": usage(0, 0), "amazon-bedrock-guardrailAction": "INTERVENED",
    });
    let reply = ScriptedReply::json(200, blocked.to_string());
    let (kind, cost) = charged(&gateway, reply, &ask("oss", "Hi")).await;
    assert_eq!((kind.as_str(), cost), ("actual", 0.0));
}

#[tokio::test]
async fn usage_of_a_stream_that_is_not_final_is_booked_as_an_estimate() {
    let gateway = gateway().await;
    let text = || json!({"content": TEXT});
    let end = || event(json!({}), json!("stop"), Value::Null);
    let last = |usage: Value| json!({"choices": [], "usage": usage});
    let request = with(ask("oss", "Hi"), "stream", true);
    for events in [
        vec![event(text(), Value::Null, usage(7, 0)), end()],
        vec![
            event(text(), Value::Null, Value::Null),
            end(),
            last(json!({})),
        ],
        vec![
            event(text(), Value::Null, Value::Null),
            end(),
            last(usage(0, 0)),
        ],
        vec![event(text(), Value::Null, Value::Null), end()],
        vec![
            end(),
            last(usage(7, 0)),
            event(text(), Value::Null, Value::Null),
        ],
    ] {
        let (kind, cost) = charged(&gateway, stream(&events), &request).await;
        assert_eq!(kind, "estimated", "{events:?}");
        assert!(cost >= 0.00015, "{events:?}: {cost}");
    }
    let events = [
        event(text(), Value::Null, usage(7, 0)),
        end(),
        last(usage(7, 20)),
    ];
    let (kind, cost) = charged(&gateway, stream(&events), &request).await;
    assert_eq!((kind.as_str(), cost), ("actual", 0.000_214));
}

#[tokio::test]
async fn refused_tier_is_not_charged_and_an_unknown_tier_is_not_standard() {
    let gateway = gateway().await;
    let tier = |tier: Value| {
        json!({
            "choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}],
            "usage": usage(100, 50), "service_tier": tier,
        })
    };
    let reply = |value: Value| ScriptedReply::json(200, tier(value).to_string());
    let request = with(ask("oss_mantle", "Hi"), "service_tier", "priority");
    let refusal = json!({"error": {"message": "No.", "param": "service_tier", "code": "unsupported_parameter"}});
    let refusal = ScriptedReply::json(400, refusal.to_string());
    let (standard, dearest) = (0.0007, 0.0014);
    let sent = charged(&gateway, reply(json!("priority")), &request).await;
    assert_eq!(sent, ("actual".to_owned(), dearest));
    let unknown = charged(
        &gateway,
        reply(json!("ultrafast")),
        &ask("oss_mantle", "Hi"),
    )
    .await;
    assert_eq!(unknown, ("estimated".to_owned(), dearest));
    // The refusal comes first, then the reply to the repeated request.
    gateway.simulator.script(refusal);
    let dropped = charged(&gateway, reply(Value::Null), &request).await;
    assert_eq!(dropped, ("actual".to_owned(), standard));
    let known = charged(&gateway, reply(Value::Null), &request).await;
    assert_eq!(known, ("actual".to_owned(), standard), "remembered");
}

#[tokio::test]
async fn text_after_the_finish_reason_is_passed_on_and_an_empty_reason_is_none() {
    let gateway = gateway().await;
    let events = [
        event(json!({"content": "one "}), json!(""), Value::Null),
        event(json!({"content": "two "}), json!("stop"), Value::Null),
        event(json!({"content": "three"}), Value::Null, Value::Null),
        json!({"choices": [], "usage": usage(7, 20)}),
    ];
    gateway.simulator.script(stream(&events));
    let reply = answered(&gateway, &with(ask("oss", "Hi"), "stream", true)).await;
    assert_eq!(reply.content(), "one two three");
    assert!(reply.text().contains(r#""finish_reason":"stop""#));
}

#[tokio::test]
async fn only_the_first_choice_is_the_answer() {
    let gateway = gateway().await;
    let choice = |index: u8, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
    let body = json!({"choices": [choice(1, "other"), choice(0, "own")], "usage": usage(7, 20)});
    for model in ["oss", "oss_invoke"] {
        gateway
            .simulator
            .script(ScriptedReply::json(200, body.to_string()));
        let reply = answered(&gateway, &ask(model, "Hi")).await;
        assert_eq!(reply.content(), "own", "{model}");
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.contains("not requested"), "{model}: {warnings}");
        let other = json!({"choices": [choice(1, "other")], "usage": usage(7, 20)});
        gateway
            .simulator
            .script(ScriptedReply::json(200, other.to_string()));
        let reply = gateway.chat(&ask(model, "Hi")).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{model}");
    }
}

#[tokio::test]
async fn impossible_usage_on_other_routes_is_booked_as_an_estimate() {
    let gateway = gateway().await;
    let converse = |input: i64, output: i64| {
        json!({
            "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": 0},
        })
    };
    let claude = |usage: Value| {
        json!({
            "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn", "usage": usage,
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": -1, "outputTokenCount": 0},
        })
    };
    for (model, body) in [
        ("oss_converse", converse(0, 0)),
        ("oss_converse", converse(-7, 20)),
        ("oss_converse", converse(7, 0)),
        ("claude_invoke", claude(json!({}))),
        (
            "claude_invoke",
            claude(json!({"input_tokens": 7, "output_tokens": 20})),
        ),
    ] {
        let reply = ScriptedReply::json(200, body.to_string());
        let (kind, cost) = charged(&gateway, reply, &ask(model, "Hi")).await;
        assert_eq!(kind, "estimated", "{model}: {body}");
        assert!(cost > 0.0, "{model}: {body}");
    }
}
