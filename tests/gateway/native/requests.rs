//! What the endpoints receive.

use http::StatusCode;
use lintel::config::{self, Environment};
use serde_json::{Value, json};

use super::{SETTINGS, answered, ask, gateway, with};
use crate::support::{Gateway, serve, simulator};

/// Returns the path and the body of the last request.
fn last(gateway: &Gateway) -> (String, Value) {
    let last = gateway.simulator.received().pop().unwrap();
    (last.path, serde_json::from_slice(&last.body).unwrap())
}

#[tokio::test]
async fn model_has_the_id_and_the_path_of_its_endpoint() {
    let gateway = gateway().await;
    for (model, path, id) in [
        (
            "oss",
            "/openai/v1/chat/completions",
            "openai.gpt-oss-120b-1:0",
        ),
        ("oss_mantle", "/v1/chat/completions", "openai.gpt-oss-120b"),
        ("gpt", "/openai/v1/chat/completions", "us.openai.gpt-6-sol"),
        ("grok", "/openai/v1/chat/completions", "us.xai.grok-4.6"),
        ("gemma", "/openai/v1/chat/completions", "google.gemma-4-31b"),
        ("qwen", "/v1/chat/completions", "qwen.qwen3-32b"),
    ] {
        answered(&gateway, &ask(model, "Hi")).await;
        let (sent_path, body) = last(&gateway);
        assert_eq!(
            (sent_path.as_str(), body["model"].as_str()),
            (path, Some(id)),
            "{model}"
        );
        let received = gateway.simulator.received().pop().unwrap();
        let authorization = received.headers["authorization"].to_str().unwrap();
        let service = if path.starts_with("/v1") || model == "gemma" {
            "/bedrock-mantle/"
        } else {
            "/bedrock/"
        };
        assert!(authorization.contains(service), "{model}: {authorization}");
    }
}

#[tokio::test]
async fn output_is_always_limited_by_the_member_of_the_family() {
    let gateway = gateway().await;
    for (model, cap) in [
        ("oss", "max_completion_tokens"),
        ("gpt", "max_completion_tokens"),
        ("gemma", "max_tokens"),
        ("qwen", "max_tokens"),
    ] {
        for (asked, sent) in [
            (None, 4096),
            (Some("max_tokens"), 50),
            (Some("max_completion_tokens"), 50),
        ] {
            let request = asked.map_or_else(
                || ask(model, "Hi"),
                |member| with(ask(model, "Hi"), member, 50),
            );
            answered(&gateway, &request).await;
            let (_, body) = last(&gateway);
            assert_eq!(body[cap], sent, "{model} {asked:?}: {body}");
            let caps = ["max_tokens", "max_completion_tokens"];
            assert_eq!(
                caps.iter().filter(|cap| !body[**cap].is_null()).count(),
                1,
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn stop_and_choices_are_emulated() {
    let gateway = gateway().await;
    let request = with(with(ask("gpt", "one END two"), "stop", "END"), "n", 2);
    let reply = answered(&gateway, &request).await;
    let choices = reply.json()["choices"].clone();
    assert_eq!(choices.as_array().unwrap().len(), 2);
    for choice in choices.as_array().unwrap() {
        assert_eq!(choice["message"]["content"], "You said: one ");
    }
    let received = gateway.simulator.received();
    assert_eq!(received.len(), 2, "one request per choice");
    let (_, body) = last(&gateway);
    assert!(body["stop"].is_null() && body["n"].is_null(), "{body}");
}

#[tokio::test]
async fn image_is_sent_as_a_data_url_and_a_document_is_rejected() {
    let gateway = gateway().await;
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let content = json!([
        {"type": "text", "text": "before"},
        {"type": "image_url", "image_url": {"url": png, "detail": "low"}},
        {"type": "text", "text": "after"},
    ]);
    let request = json!({"model": "gpt", "messages": [{"role": "user", "content": content}]});
    answered(&gateway, &request).await;
    assert_eq!(last(&gateway).1["messages"][0]["content"], content);

    let file = json!([{"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}}]);
    let request = json!({"model": "gpt", "messages": [{"role": "user", "content": file}]});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "messages[0].content[0]");
    assert_eq!(reply.error()["code"], "unsupported_parameter");
}

#[tokio::test]
async fn tier_is_sent_only_where_it_is_offered() {
    let gateway = gateway().await;
    let flex = |model| with(ask(model, "Hi"), "service_tier", "flex");
    let rejected = gateway.chat(&flex("oss")).await;
    assert_eq!(rejected.error()["param"], "service_tier");
    assert!(gateway.simulator.received().is_empty(), "nothing was sent");
    let reply = answered(&gateway, &flex("oss_mantle")).await.json();
    assert_eq!(last(&gateway).1["service_tier"], "flex");
    assert_eq!(reply["service_tier"], "flex");
    let cost = |input: u64, output: u64| (input * 1000 + output * 5000) as f64 / 1e9;
    let usage = &reply["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    let expected = cost(count("prompt_tokens"), count("completion_tokens"));
    assert!(
        (usage["cost"].as_f64().unwrap() - expected).abs() < 1e-12,
        "{usage}"
    );
}

#[tokio::test]
async fn guardrail_is_enforced_by_the_runtime_and_rules_out_mantle() {
    let gateway = gateway().await;
    let guarded = |model, text| {
        let own =
            json!({"guardrail": {"identifier": "abc123", "version": "1", "trace": "enabled"}});
        with(ask(model, text), "bedrock", own)
    };
    let blocked = answered(&gateway, &guarded("oss", "contraband"))
        .await
        .json();
    assert_eq!(blocked["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(
        blocked["choices"][0]["message"]["content"],
        "The guardrail blocked this."
    );
    assert!(
        blocked["bedrock_guardrail"]["inputAssessment"].is_object(),
        "{blocked}"
    );
    let sent = gateway.simulator.received().pop().unwrap();
    assert_eq!(sent.headers["x-amzn-bedrock-guardrailidentifier"], "abc123");
    let stream = with(guarded("oss", "Hello"), "stream", true);
    assert_eq!(
        answered(&gateway, &stream).await.content(),
        "You said: Hello"
    );

    let before = gateway.simulator.received().len();
    let reply = gateway.chat(&guarded("oss_mantle", "Hello")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert_eq!(
        gateway.simulator.received().len(),
        before,
        "never sent without the guardrail"
    );
}

#[tokio::test]
async fn request_to_mantle_goes_to_its_own_endpoint() {
    let (runtime, mantle) = (simulator(), simulator());
    let endpoints = format!(
        "endpoints = {{ runtime = \"http://{}\", mantle = \"http://{}/mantle\" }}",
        serve(runtime.router()).await,
        serve(mantle.router()).await
    );
    let gateway = Gateway::start_at(runtime, &endpoints, SETTINGS).await;
    answered(&gateway, &ask("gemma", "Hi")).await;
    assert_eq!(mantle.received().len(), 1);
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn request_is_signed_again_with_the_time_of_the_service() {
    let gateway = gateway().await;
    gateway.simulator.shift_clock(3600);
    for model in ["oss", "oss_mantle"] {
        let reply = answered(&gateway, &ask(model, "Hi")).await;
        assert_eq!(reply.header("x-lintel-attempts"), Some("2"), "{model}");
    }
}

#[test]
fn model_without_the_endpoint_is_a_problem() {
    let text = r#"
        [aws]
        region = "us-east-1"
        [models.a]
        target = "amazon.nova-lite-v1:0"
        api = "chat"
        [models.b]
        target = "google.gemma-4-31b"
        api = "chat"
        [keys.a]
        secret_env = "KEY"
    "#;
    let environment = Environment {
        variables: vec![(
            "KEY".to_owned(),
            "sk-0123456789abcdef0123456789abcdef".to_owned(),
        )],
        flags: Vec::new(),
    };
    let problems = config::parse(text, &environment, None).unwrap_err();
    let paths: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(paths, ["models.a.api", "models.b.api"], "{problems:?}");
}

#[test]
fn mantle_can_be_turned_off() {
    let text = r#"
        [aws]
        region = "us-east-1"
        mantle = "off"
        [models.a]
        target = "google.gemma-4-31b"
        api = "mantle"
        [keys.a]
        secret_env = "KEY"
    "#;
    let environment = Environment {
        variables: vec![("KEY".to_owned(), "sk-0123456789abcdef".to_owned())],
        flags: Vec::new(),
    };
    let problems = config::parse(text, &environment, None).unwrap_err();
    assert_eq!(problems[0].path, "models.a.api", "{problems:?}");
}
