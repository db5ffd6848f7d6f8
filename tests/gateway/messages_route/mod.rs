//! Chats over Anthropic's Messages on bedrock-runtime and bedrock-mantle.

mod errors;
mod money;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    golden::replies::joined,
    support::{Gateway, Reply, money::of, streamed, user},
};

/// One Claude on both endpoints and on Converse, and one that only bedrock-mantle serves.
const SETTINGS: &str = r#"
    [models.runtime]
    target = "us.anthropic.claude-opus-4-8"
    api = "messages"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.mantle]
    target = "us.anthropic.claude-opus-4-8"
    api = "mantle"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.once]
    target = "us.anthropic.claude-opus-4-8"
    api = "messages"
    retry = { attempts = 1 }
    [models.converse]
    target = "us.anthropic.claude-opus-4-8"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    [models.haiku]
    target = "anthropic.claude-haiku-4-5-20251001-v1:0"
    api = "mantle"
"#;

const ENDPOINTS: [&str; 2] = ["runtime", "mantle"];

/// Returns the body of the last request that the simulator received.
fn last_body(gateway: &Gateway) -> Value {
    let sent = gateway.simulator.received().pop().unwrap();
    serde_json::from_slice(&sent.body).unwrap()
}

async fn start() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

fn with(mut request: Value, member: &str, value: impl Into<Value>) -> Value {
    request[member] = value.into();
    request
}

/// Returns the message, the finish reason and the usage of a whole or a streamed reply.
fn outcome(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    if let Ok(whole) = serde_json::from_slice::<Value>(&reply.body) {
        let choice = &whole["choices"][0];
        return json!([choice["message"], choice["finish_reason"], whole["usage"]]);
    }
    let (message, rest) = joined(&reply.events());
    json!([message, rest["finish_reason"], rest["usage"]])
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])
}

#[tokio::test]
async fn model_that_only_mantle_serves_answers() {
    let gateway = start().await;
    for id in [
        "anthropic.claude-mythos-5",
        "anthropic.claude-mythos-preview",
    ] {
        for request in [user("Hello"), streamed("Hello")] {
            let reply = gateway.any(&of(id, request)).await;
            assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
            assert_eq!(reply.content(), "You said: Hello", "{id}");
            let route = reply.header("x-lintel-route");
            assert_eq!(route, Some("mantle_messages; reason=only_route"), "{id}");
        }
        assert_eq!(last_body(&gateway)["model"], id);
    }
}

#[tokio::test]
async fn each_endpoint_has_its_id_and_its_headers() {
    let gateway = start().await;
    for (name, route, id) in [
        ("runtime", "messages", "us.anthropic.claude-opus-4-8"),
        ("mantle", "mantle_messages", "anthropic.claude-opus-4-8"),
        ("haiku", "mantle_messages", "anthropic.claude-haiku-4-5"),
    ] {
        let reply = gateway.chat(&of(name, user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let route = format!("{route}; reason=configured");
        assert_eq!(reply.header("x-lintel-route"), Some(route.as_str()));
        let sent = gateway.simulator.received().pop().unwrap();
        assert_eq!(sent.path, "/anthropic/v1/messages", "{name}");
        assert_eq!(sent.headers["anthropic-version"], "2023-06-01", "{name}");
        assert!(!sent.headers.contains_key("anthropic-beta"), "{name}");
        let signature = sent.headers["authorization"].to_str().unwrap();
        let is_for_mantle = signature.contains("/bedrock-mantle/");
        assert_eq!(is_for_mantle, route.starts_with("mantle"), "{name}");
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["model"], id, "{name}");
        assert!(body["max_tokens"].is_u64() && body["anthropic_version"].is_null());
    }
}

#[tokio::test]
async fn bare_id_gets_a_profile_on_runtime() {
    let settings = "[models.bare]\ntarget = \"anthropic.claude-opus-4-8\"\napi = \"messages\"\n";
    let gateway = Gateway::start_with(settings).await;
    let reply = gateway.chat(&of("bare", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(last_body(&gateway)["model"], "us.anthropic.claude-opus-4-8");
}

#[tokio::test]
async fn answers_equal_those_of_converse() {
    let gateway = start().await;
    let conversation = json!({"max_tokens": 40, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "What now?"}]});
    let call = with(user("Use get_weather"), "tools", tools());
    let result = with(
        call.clone(),
        "messages",
        json!([{"role": "user", "content": "Use get_weather"},
            {"role": "assistant", "tool_calls": [{"id": "tooluse_a", "type": "function",
                "function": {"name": "get_weather", "arguments": "{\"city\":\"Rome\"}"}}]},
            {"role": "tool", "tool_call_id": "tooluse_a", "content": "sunny"}]),
    );
    let thinking = with(
        with(user("Think"), "reasoning_effort", "low"),
        "max_tokens",
        4000,
    );
    let image = json!([{"type": "text", "text": "Look"}, {"type": "image_url", "image_url":
        {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "city", "schema":
        {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}}});
    let cases = [
        conversation,
        call,
        result,
        thinking,
        with(
            user(""),
            "messages",
            json!([{"role": "user", "content": image}]),
        ),
        with(user("one two three four"), "max_tokens", 3),
        with(user("one END two"), "stop", "END"),
        with(user("A city"), "response_format", schema),
    ];
    for case in &cases {
        for stream in [false, true] {
            let mut case = with(case.clone(), "stream", stream);
            if stream {
                case["stream_options"] = json!({"include_usage": true});
            }
            let expected = outcome(&gateway.chat(&of("converse", case.clone())).await);
            for name in ENDPOINTS {
                let own = gateway.chat(&of(name, case.clone())).await;
                assert_eq!(outcome(&own), expected, "{name}: {case}");
            }
        }
    }
}

#[tokio::test]
async fn betas_are_a_header_with_what_the_endpoint_accepts() {
    let gateway = start().await;
    let betas = json!([
        "context-1m-2025-08-07",
        "interleaved-thinking-2025-05-14",
        "made-up-2026"
    ]);
    let request = with(
        user("Hi"),
        "bedrock",
        json!({"additional_model_request_fields": {"anthropic_beta": betas, "top_k": 5}}),
    );
    for (name, expected) in [
        (
            "runtime",
            "context-1m-2025-08-07,interleaved-thinking-2025-05-14",
        ),
        (
            "mantle",
            "context-1m-2025-08-07,interleaved-thinking-2025-05-14",
        ),
    ] {
        let reply = gateway.chat(&of(name, request.clone())).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.contains("does not accept this beta"), "{warnings}");
        let sent = gateway.simulator.received().pop().unwrap();
        assert_eq!(sent.headers["anthropic-beta"], expected, "{name}");
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["top_k"], 5, "{name}");
        assert!(body["anthropic_beta"].is_null(), "{name}");
    }
    for member in ["stream", "model"] {
        let fields = json!({"additional_model_request_fields": {member: true}});
        let reply = gateway
            .chat(&of("runtime", with(user("Hi"), "bedrock", fields)))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{member}");
    }
}

#[tokio::test]
async fn guardrail_is_in_headers_on_runtime_and_never_on_mantle() {
    let gateway = start().await;
    let guardrail = json!({"guardrail": {"identifier": "abc123", "version": "1"}});
    for (text, reason) in [("Hi", "stop"), ("contraband", "content_filter")] {
        for request in [user(text), streamed(text)] {
            let request = with(request, "bedrock", guardrail.clone());
            let reply = gateway.chat(&of("runtime", request.clone())).await;
            assert_eq!(outcome(&reply)[1], reason, "{}", reply.text());
            let sent = gateway.simulator.received().pop().unwrap();
            assert_eq!(sent.headers["x-amzn-bedrock-guardrailidentifier"], "abc123");
            let before = gateway.simulator.received().len();
            let reply = gateway.chat(&of("mantle", request)).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
            assert_eq!(gateway.simulator.received().len(), before);
        }
    }
}

#[tokio::test]
async fn members_without_a_place_are_dropped_with_a_warning() {
    let gateway = start().await;
    let request = with(
        with(user("Hi"), "user", "u1"),
        "bedrock",
        json!({"request_metadata": {"a": "b"}}),
    );
    for name in ENDPOINTS {
        let reply = gateway.chat(&of(name, request.clone())).await;
        let warnings = reply.header("x-lintel-warnings").unwrap();
        for member in ["user", "bedrock.request_metadata"] {
            assert!(
                warnings.contains(&format!("{member}: ")),
                "{name}: {warnings}"
            );
        }
        let reply = gateway
            .chat(&of(name, with(user("Hi"), "service_tier", "flex")))
            .await;
        assert_eq!(reply.error()["param"], "service_tier", "{name}");
    }
}
