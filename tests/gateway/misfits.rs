//! Answers in JSON that do not fit the schema, of models for which Bedrock enforces none.

use http::StatusCode;
use serde_json::{Value, json};

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
