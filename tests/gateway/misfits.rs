//! Answers in JSON that do not fit the schema, of models for which Bedrock enforces none.

use http::StatusCode;
use serde_json::{Value, json};

use lintel::simulator::ScriptedReply;

use crate::support::Gateway;

const SETTINGS: &str = r#"
    [models.sonnet-5]
    target = "us.anthropic.claude-sonnet-5"
    structured = "repair"
    [models.sonnet-5-5]
    target = "us.anthropic.claude-sonnet-5-5"
    structured = "repair"
    [models.once]
    target = "us.anthropic.claude-sonnet-5-5"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
"#;

const KINDS: [&str; 5] = ["prose", "type", "missing", "cut", "refusal"];

fn request(model: &str, kind: &str, stream: bool) -> Value {
    let schema = json!({"type": "object", "required": ["city", "days"], "additionalProperties": false,
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    json!({"model": model, "stream": stream,
        "response_format": {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}},
        "messages": [{"role": "user", "content": format!("Plan it [simulate misfit {kind}]")}]})
}

fn fits(text: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        return false;
    };
    answer["city"].is_string() && answer["days"].is_i64()
}

#[tokio::test]
async fn every_misfit_is_repaired_by_one_more_request() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["sonnet-5", "sonnet-5-5"] {
        for (kind, stream) in KINDS
            .into_iter()
            .flat_map(|kind| [(kind, false), (kind, true)])
        {
            let before = gateway.simulator.received().len();
            let reply = gateway.chat(&request(model, kind, stream)).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let route = reply.header("x-lintel-route").unwrap();
            assert!(route.ends_with("; schema=not_enforced"), "{route}");
            let text = reply.content();
            assert!(fits(&text), "{model} {kind}: {text}");
            assert_eq!(
                gateway.simulator.received().len() - before,
                2,
                "{model} {kind}"
            );
        }
    }
}

/// The warning came with whole replies only.
#[tokio::test]
async fn stream_that_does_not_fit_ends_with_a_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (kind, warns) in KINDS
        .into_iter()
        .map(|kind| (kind, true))
        .chain([("none", false)])
    {
        let mut request = request("once", kind, true);
        if !warns {
            request["messages"][0]["content"] = "Plan it".into();
        }
        request["stream_options"] = json!({"include_warnings": true});
        let reply = gateway.chat(&request).await;
        let events = reply.events();
        let last: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
        let text = last["x_lintel_warnings"].to_string();
        assert_eq!(
            text.contains("does not match the requested JSON schema"),
            warns,
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn misfit_is_returned_with_a_warning_without_repair() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for kind in KINDS {
        let reply = gateway.chat(&request("once", kind, false)).await;
        let text = reply.content();
        assert!(!fits(&text), "{kind}: {text}");
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(
            warnings.contains("does not match the requested JSON schema"),
            "{warnings}"
        );
    }
}

/// Came without a warning: the input of a forced tool was not checked, and neither was text instead of a call.
#[tokio::test]
async fn answer_by_a_tool_that_does_not_fit_is_returned_with_a_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let input =
        |input: Value| json!({"toolUse": {"toolUseId": "t1", "name": "trip", "input": input}});
    for (block, fits) in [
        (input(json!({"city": "Rome", "days": 2})), true),
        (input(json!({"city": "Rome"})), false),
        (json!({"text": "I would rather not."}), false),
    ] {
        let reply = json!({
            "output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}});
        gateway
            .simulator
            .script(ScriptedReply::json(200, reply.to_string()));
        let reply = gateway.chat(&request("lite", "none", false)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert_eq!(
            !warnings.contains("does not match the requested JSON schema"),
            fits,
            "{block}: {warnings}"
        );
    }
}
