//! Other models that answer if one fails: in which order, within whose rights, and who pays for what.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    money::{budget, key, nano},
    regions::{Regions, ask, failure},
    sha256,
};

const MODELS: &str = r#"
    [models.first]
    target = "amazon.nova-pro-v1:0"
    price = { input = 2.0, output = 10.0 }
    max_tokens = 100
    fallbacks = ["second", "third"]
    [models.second]
    target = "amazon.nova-lite-v1:0"
    price = { input = 1.0, output = 5.0 }
    max_tokens = 100
    [models.third]
    target = "amazon.nova-micro-v1:0"
    price = { input = 1.0, output = 5.0 }
    max_tokens = 100
    [models.apart]
    target = "amazon.nova-pro-v1:0"
    [models.apart.fallbacks]
    errors = ["second"]
    context_length = ["third"]
    content_filter = ["second"]
    [models.spread]
    target = "amazon.nova-pro-v1:0"
    regions = ["us-east-1", "us-west-2"]
    fallbacks = ["second"]
    [models.limited]
    target = "amazon.nova-lite-v1:0"
    limits = { requests_per_minute = 1, burst = 1 }
"#;

fn settings() -> String {
    format!(
        "{MODELS}\n[keys.narrow]\nsha256 = \"{}\"\nmodels = [\"first\", \"third\"]\n",
        sha256("sk-test-narrow")
    )
}

async fn start() -> Gateway {
    Gateway::start_with(&settings()).await
}

fn unavailable(gateway: &Gateway, times: usize) {
    (0..times).for_each(|_| {
        gateway
            .simulator
            .script(failure(503, "ServiceUnavailableException"));
    });
}

fn served(reply: &crate::support::Reply) -> (&str, &str) {
    let header = |name| reply.header(name).unwrap_or_default();
    (header("x-lintel-model"), header("x-lintel-route"))
}

#[tokio::test]
async fn next_model_answers_and_the_reply_says_so() {
    let gateway = start().await;
    for is_stream in [false, true] {
        unavailable(&gateway, 2);
        let mut request = ask("first", "Hi");
        request["stream"] = is_stream.into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let by = ("amazon.nova-micro-v1:0", "converse; fallback=third");
        assert_eq!(served(&reply), by);
        assert_eq!(reply.header("x-lintel-attempts"), Some("3"));
        let warnings = reply.header("x-lintel-warnings").unwrap();
        let expected = "model: 'third' was called instead (the requested model failed)";
        assert!(warnings.contains(expected), "{warnings}");
    }
}

#[tokio::test]
async fn other_models_are_called_after_all_regions() {
    let regions = Regions::start(MODELS).await;
    regions.east.script(failure(429, "ThrottlingException"));
    regions.west.script(failure(429, "ThrottlingException"));
    let reply = regions.gateway.chat(&ask("spread", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(served(&reply).0, "amazon.nova-lite-v1:0");
    assert_eq!(regions.received(), [2, 1, 0]);
}

#[tokio::test]
async fn failure_of_a_request_calls_no_other_model() {
    let gateway = start().await;
    let refused = failure(400, "ValidationException");
    gateway.simulator.script(refused);
    let reply = gateway.chat(&ask("first", "Hi")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(gateway.simulator.received().len(), 1);
}

/// The client asked for the first model, so that is the one whose error it understands.
#[tokio::test]
async fn error_of_the_first_model_is_reported_if_all_fail() {
    let gateway = start().await;
    gateway
        .simulator
        .script(failure(429, "ThrottlingException"));
    unavailable(&gateway, 2);
    let reply = gateway.chat(&ask("first", "Hi")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(gateway.simulator.received().len(), 3);
}

#[tokio::test]
async fn models_that_the_key_may_not_use_are_skipped() {
    let gateway = start().await;
    unavailable(&gateway, 1);
    let reply = gateway.as_key("sk-test-narrow", &ask("first", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(served(&reply).0, "amazon.nova-micro-v1:0", "not the second");
}

#[tokio::test]
async fn client_names_its_own_order_within_its_rights() {
    let gateway = start().await;
    let bodies = [
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": "Hi"}]}),
        ),
        ("/v1/responses", json!({"input": "Hi", "store": false})),
        (
            "/v1/messages",
            json!({"max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}),
        ),
    ];
    for (path, mut body) in bodies {
        unavailable(&gateway, 1);
        body["model"] = "first".into();
        body["models"] = json!([]);
        let reply = gateway.ask(path, "sk-test-narrow", &body).await;
        assert_ne!(served(&reply).0, "amazon.nova-micro-v1:0", "{path}");
        unavailable(&gateway, 1);
        body["models"] = json!(["second", "no-such-model", "third"]);
        let reply = gateway.ask(path, "sk-test-narrow", &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        assert_eq!(served(&reply).0, "amazon.nova-micro-v1:0", "{path}");
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.contains("models: one was skipped"), "{warnings}");
    }
}

#[tokio::test]
async fn long_conversations_and_filtered_answers_have_models_of_their_own() {
    let gateway = start().await;
    let reply = gateway.chat(&ask("apart", "[simulate too-long]")).await;
    assert_eq!(
        reply.status,
        StatusCode::BAD_REQUEST,
        "the third is asked, too"
    );
    let paths: Vec<String> = gateway
        .simulator
        .received()
        .iter()
        .map(|request| request.path.clone())
        .collect();
    assert!(
        paths.len() == 2 && paths[1].contains("nova-micro"),
        "{paths:?}"
    );
    let filtered = json!({"output": {"message": {"role": "assistant", "content": [{"text": ""}]}},
        "stopReason": "content_filtered", "usage": {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6},
        "metrics": {"latencyMs": 1}});
    let reply = lintel::simulator::ScriptedReply::json(200, filtered.to_string());
    gateway.simulator.script(reply);
    let reply = gateway.chat(&ask("apart", "Hi")).await;
    assert_eq!(
        served(&reply).0,
        "amazon.nova-lite-v1:0",
        "{}",
        reply.text()
    );
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "stop");
}

/// Each model has a reservation and a record of its own: nothing is booked twice, and nothing stays reserved.
#[tokio::test]
async fn each_model_is_reserved_and_booked_for_itself() {
    let gateway = start().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    // Its input may be billed.
    gateway
        .simulator
        .script(failure(500, "InternalServerException"));
    let reply = gateway.as_key(&secret, &ask("first", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let rows = async || {
        let path = "/admin/usage?by=key,model,kind&since=1h";
        let (_, usage) = gateway.administer(Method::GET, path, &Value::Null).await;
        let rows = usage["rows"].as_array().cloned().unwrap_or_default();
        let own = rows.into_iter().filter(|row| row["key"] == *id);
        own.collect::<Vec<_>>()
    };
    gateway.until(async || rows().await.len() == 2).await;
    let rows = rows().await;
    let cost = |model: &str, kind: &str| {
        let is_it = |row: &&Value| row["model"] == model && row["kind"] == kind;
        nano(
            rows.iter().find(is_it).unwrap()["cost_usd"]
                .as_str()
                .unwrap(),
        )
    };
    // The client was told the cost of the last model alone.
    let told = nano(reply.header("x-lintel-cost-usd").unwrap());
    assert!(cost("first", "presumed") > 0, "{rows:?}");
    assert_eq!(cost("second", "actual") + cost("first", "presumed"), told);
    let (settled, reserved) = crate::support::money::standing(&gateway, &id).await;
    assert_eq!(reserved, "0");
    assert_eq!(nano(&settled), told);
}

/// Each model had the whole limit of the client for itself.
#[tokio::test]
async fn limit_of_the_cost_holds_for_all_models_together() {
    let twin = MODELS
        .lines()
        .skip_while(|line| !line.contains("models.first"));
    let twin: String = twin.skip(1).take(3).collect::<Vec<_>>().join("\n");
    let gateway = Gateway::start_with(&format!("{MODELS}\n[models.twin]\n{twin}")).await;
    let mut request = ask("first", "Hi");
    request["models"] = json!(["twin"]);
    request["max_cost_usd"] = json!(0.000_000_001);
    let refused = gateway.chat(&request).await.error();
    let message = refused["message"].as_str().unwrap();
    let (_, most) = message.split_once("may cost $").unwrap();
    let (most, _) = most.split_once(',').unwrap();
    // Enough for one of them and this longer body. Bedrock may bill the input of the first.
    let enough = format!("0.{:09}", nano(most) + 50_000);
    request["max_cost_usd"] = json!(enough.parse::<f64>().unwrap());
    for (times, status) in [(0, StatusCode::OK), (1, StatusCode::BAD_GATEWAY)] {
        let lost = failure(500, "InternalServerException");
        (0..times).for_each(|_| gateway.simulator.script(lost.clone()));
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

/// A model without the guardrail answered what the guardrail could not judge.
#[tokio::test]
async fn failing_guardrail_calls_no_other_model() {
    let settings = r#"
        [models.guarded]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "abc123", version = "1", apply = "both" }
        retry = { attempts = 1 }
        fallbacks = ["plain"]
        [models.plain]
        target = "amazon.nova-micro-v1:0"
    "#;
    let gateway = Gateway::start_with(settings).await;
    for fault in [
        "throttle",
        "quota",
        "access-denied",
        "unavailable",
        "internal",
    ] {
        for is_stream in [false, true] {
            let text = format!("contraband [simulate apply {fault}]");
            let mut request = ask("guarded", &text);
            request["stream"] = is_stream.into();
            let reply = gateway.chat(&request).await;
            assert_ne!(reply.status, StatusCode::OK, "{fault}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn limit_of_another_model_applies_to_its_calls_as_a_fallback() {
    let gateway = start().await;
    let mut request = ask("third", "Hi");
    request["models"] = json!(["limited"]);
    for status in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        unavailable(&gateway, 1);
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!(gateway.simulator.received().len(), 3);
}

#[tokio::test]
async fn stream_that_has_begun_calls_no_other_model() {
    let gateway = start().await;
    let mut request = ask("first", "[simulate cut] [simulate words 50]");
    request["stream"] = true.into();
    let reply = gateway.chat(&request).await;
    assert!(
        reply.text().contains("upstream_truncated"),
        "{}",
        reply.text()
    );
    assert_eq!(gateway.simulator.received().len(), 1);
}
