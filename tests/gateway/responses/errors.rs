//! Errors of Responses, and the routes to which they lead.

use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{answered, ask, gateway, with};
use crate::support::Gateway;

#[tokio::test]
async fn every_error_has_its_status_and_code() {
    let gateway = gateway().await;
    let error =
        |message: &str| json!({"error": {"message": message, "type": "invalid_request_error"}});
    let failed = |code: &str| json!({"status": "failed", "output": [], "error": {"code": code, "message": "x"}});
    for (status, body, expected, code) in [
        (
            400,
            json!({"error": {"message": "Bad.", "param": "input", "code": "invalid_value"}}),
            400,
            "invalid_value",
        ),
        (400, error("Internal server error"), 502, "upstream_error"),
        (529, error("Overloaded"), 503, "upstream_unavailable"),
        (
            400,
            error("The data retention mode 'none' is not available for this model"),
            403,
            "data_retention",
        ),
        (
            200,
            json!({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}),
            502,
            "upstream_malformed",
        ),
        (200, json!({"output": []}), 502, "upstream_malformed"),
        (200, json!({"status": "queued"}), 502, "upstream_error"),
        (200, failed("server_error"), 502, "upstream_error"),
        (
            200,
            failed("rate_limit_exceeded"),
            429,
            "rate_limit_exceeded",
        ),
        (200, error("The model failed"), 400, "invalid_request"),
    ] {
        gateway
            .simulator
            .script(ScriptedReply::json(status, body.to_string()));
        // No retries.
        let reply = gateway.chat(&ask("oss", "Hi")).await;
        assert_eq!(reply.status, expected, "{status} {body}: {}", reply.text());
        assert_eq!(reply.error()["code"], code, "{status} {body}");
    }
}

#[tokio::test]
async fn refusal_of_the_route_moves_the_call_and_is_remembered() {
    let gateway = Gateway::start_with("[models.gpt]\ntarget = \"openai.gpt-5.4\"\n").await;
    let refusal = json!({"error": {"message": "The model does not support the '/v1/chat/completions' API", "code": "validation_error"}});
    gateway
        .simulator
        .script(ScriptedReply::json(400, refusal.to_string()));
    let reply = answered(&gateway, &ask("gpt", "Hi")).await;
    let route = Some("mantle_responses; reason=learned");
    assert_eq!(reply.header("x-lintel-route"), route);
    assert_eq!(gateway.simulator.received().len(), 2);
    let reply = answered(&gateway, &ask("gpt", "Hi")).await;
    assert_eq!(reply.header("x-lintel-route"), route);
    assert_eq!(gateway.simulator.received().len(), 3, "asked once");
    // An operator's choice is never replaced.
    let gateway = super::gateway().await;
    let refusal = refusal.to_string().replace("chat/completions", "responses");
    gateway.simulator.script(ScriptedReply::json(400, refusal));
    let reply = gateway.chat(&ask("gpt", "Hi")).await;
    assert_eq!(reply.error()["code"], "route_not_supported");
    assert_eq!(gateway.simulator.received().len(), 1);
}

/// Hidden reasoning can use the whole limit.
#[tokio::test]
async fn incomplete_answer_without_text_has_a_warning() {
    let gateway = gateway().await;
    let usage = json!({"input_tokens": 10, "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 20}});
    let body: Value = json!({
        "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [], "usage": usage,
    });
    gateway
        .simulator
        .script(ScriptedReply::json(200, body.to_string()));
    let reply = answered(&gateway, &with(ask("gpt", "Hi"), "max_tokens", 20)).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("the answer is empty"), "{warnings}");
    let json = reply.json();
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    let details = &json["usage"]["completion_tokens_details"];
    assert_eq!(details["reasoning_tokens"], 20);
}
