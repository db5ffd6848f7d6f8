//! Errors of the OpenAI-compatible endpoints.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{answered, ask, gateway, with};

fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error"}})
}

#[tokio::test]
async fn every_error_of_the_endpoints_has_its_status_and_code() {
    let gateway = gateway().await;
    let nested =
        json!({"error": {"message": "Bad value.", "param": "messages", "code": "invalid_value"}});
    let nested = error(&nested.to_string());
    let with_code =
        |code: &str, message: &str| json!({"error": {"message": message, "code": code}});
    for (status, body, expected, code) in [
        (400, nested, 400, "invalid_value"),
        (
            400,
            json!({"error": "a bare string"}),
            400,
            "invalid_request",
        ),
        (
            404,
            with_code("model_not_found", "The model 'x' does not exist"),
            404,
            "model_not_found",
        ),
        (
            404,
            with_code("not_found_error", "The model 'x' does not exist"),
            404,
            "model_not_found",
        ),
        (
            400,
            with_code(
                "validation_error",
                "The model does not support the '/v1/chat/completions' API",
            ),
            404,
            "route_not_supported",
        ),
        (400, error("Internal server error"), 502, "upstream_error"),
        (529, error("Overloaded"), 503, "upstream_unavailable"),
        (503, error("Unavailable"), 503, "upstream_unavailable"),
        (429, error("Too many requests"), 429, "rate_limit_exceeded"),
        (
            400,
            error("The data retention mode 'default' is not available for this model"),
            403,
            "data_retention",
        ),
        (
            400,
            error("This model's maximum context length is 128000 tokens"),
            400,
            "context_length_exceeded",
        ),
        (403, error("Forbidden"), 502, "upstream_access_denied"),
        (
            200,
            json!({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}),
            502,
            "upstream_malformed",
        ),
        (200, json!({"choices": []}), 502, "upstream_malformed"),
        (200, error("The model failed"), 400, "invalid_request"),
    ] {
        for stream in [false, true] {
            gateway
                .simulator
                .script(ScriptedReply::json(status, body.to_string()));
            // No retries.
            let reply = gateway
                .chat(&with(ask("gpt", "Hi"), "stream", stream))
                .await;
            assert_eq!(
                reply.status,
                expected,
                "{status} {body} {stream}: {}",
                reply.text()
            );
            assert_eq!(reply.error()["code"], code, "{status} {body} {stream}");
        }
    }
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let gateway = gateway().await;
    for (status, message) in [
        (400, "Internal server error"),
        (529, "Overloaded"),
        (429, "Slow down"),
    ] {
        gateway
            .simulator
            .script(ScriptedReply::json(status, error(message).to_string()));
        let reply = answered(&gateway, &ask("oss_mantle", "Hi")).await;
        assert_eq!(reply.header("x-lintel-attempts"), Some("2"), "{message}");
    }
}

#[tokio::test]
async fn rejected_signature_is_refreshed_once() {
    let gateway = gateway().await;
    let expired = json!({"error": {"message": "Signature expired", "code": "invalid_api_key"}});
    let reject = || {
        gateway
            .simulator
            .script(ScriptedReply::json(401, expired.to_string()))
    };
    reject();
    let reply = answered(&gateway, &ask("oss_mantle", "Hi")).await;
    assert_eq!(reply.header("x-lintel-attempts"), Some("2"));
    reject();
    reject();
    let reply = gateway.chat(&ask("oss_mantle", "Hi")).await;
    assert_eq!(
        reply.status,
        StatusCode::BAD_GATEWAY,
        "never a 401, because the client's key is fine"
    );
    assert_eq!(reply.error()["code"], "upstream_access_denied");
}

#[tokio::test]
async fn refused_optional_member_is_dropped_once_and_remembered() {
    let gateway = gateway().await;
    let refuse = |member: &str| {
        let message =
            format!("Unsupported value: '{member}' does not support 0.5 with this model.");
        let body =
            json!({"error": {"message": message, "param": member, "code": "unsupported_value"}});
        gateway
            .simulator
            .script(ScriptedReply::json(400, body.to_string()));
    };
    let bodies = || -> Vec<Value> {
        let received = gateway.simulator.received();
        received
            .iter()
            .map(|one| serde_json::from_slice(&one.body).unwrap())
            .collect()
    };
    let request = with(with(ask("oss", "Hi"), "temperature", 0.5), "top_p", 0.25);
    refuse("temperature");
    let reply = answered(&gateway, &request).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("temperature: ignored")
    );
    let sent = bodies();
    assert_eq!(
        (&sent[0]["temperature"], &sent[1]["temperature"]),
        (&json!(0.5), &Value::Null)
    );
    assert_eq!(sent[1]["top_p"], 0.25);
    answered(&gateway, &with(request.clone(), "stream", true)).await;
    assert!(bodies()[2]["temperature"].is_null(), "remembered");

    // A value that one client sends is its own fault.
    let message = "Invalid 'top_p': decimal above maximum value.";
    let body =
        json!({"error": {"message": message, "param": "top_p", "code": "decimal_above_max_value"}});
    gateway
        .simulator
        .script(ScriptedReply::json(400, body.to_string()));
    assert_eq!(gateway.chat(&request).await.status, StatusCode::BAD_REQUEST);
    answered(&gateway, &request).await;
    assert_eq!(bodies().last().unwrap()["top_p"], 0.25, "not remembered");

    refuse("stop");
    let reply = answered(&gateway, &with(ask("oss", "one END two"), "stop", "END")).await;
    assert_eq!(
        reply.content(),
        "You said: one ",
        "the gateway cuts the text itself"
    );

    refuse("top_p");
    refuse("seed");
    let reply = gateway.chat(&request).await;
    assert_eq!(
        reply.status,
        StatusCode::BAD_REQUEST,
        "a second refusal ends the call"
    );

    refuse("temperature");
    let strict = with(ask("frugal", "Hi"), "temperature", 0.5);
    assert_eq!(
        gateway.chat(&strict).await.status,
        StatusCode::BAD_REQUEST,
        "the operator forbids it"
    );
}

/// `flex` is cheaper than the standard tier, so the reservation would not cover the call without it.
#[tokio::test]
async fn refused_flex_tier_is_not_dropped() {
    let gateway = gateway().await;
    let body =
        json!({"error": {"message": "service_tier is not available", "param": "service_tier"}});
    gateway
        .simulator
        .script(ScriptedReply::json(400, body.to_string()));
    let reply = gateway
        .chat(&with(ask("oss_mantle", "Hi"), "service_tier", "flex"))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    gateway
        .simulator
        .script(ScriptedReply::json(400, body.to_string()));
    let reply = answered(
        &gateway,
        &with(ask("oss_mantle", "Hi"), "service_tier", "priority"),
    )
    .await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("service_tier: ignored")
    );
}
