//! What operators and clients see of an embedding: headers, metrics, the access log.

use serde_json::{Value, json};

use super::{request, vectors};
use crate::support::{Gateway, KEY, endpoints::EMBEDDINGS, log::Log, money::nano};

/// Metrics are shared by all gateways of the process, so the model is this test's own.
const SETTINGS: &str = r#"
    [models.watched]
    target = "amazon.titan-embed-text-v1"
"#;

#[tokio::test]
async fn headers_are_those_of_a_chat() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway
        .embed(&request("watched", json!(["one two", "three"])))
        .await;
    vectors(&reply);
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("amazon.titan-embed-text-v1")
    );
    assert_eq!(reply.header("x-lintel-region"), Some("us-east-1"));
    assert_eq!(reply.header("x-lintel-route"), Some("invoke"));
    assert_eq!(reply.header("x-lintel-attempts"), Some("2"));
    assert_eq!(reply.header("x-lintel-warnings"), None);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    assert!(reply.header("openai-processing-ms").is_some());
    // Three tokens at 100 nano-dollars.
    assert_eq!(nano(reply.header("x-lintel-cost-usd").unwrap()), 300);
    // Each request to Bedrock carries the id of the call for Bedrock's own log.
    let id = reply.header("x-request-id").unwrap();
    let lines = gateway.simulator.invocations();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line["requestMetadata"].to_string().contains(id), "{line}");
    }
}

#[tokio::test]
async fn metrics_name_the_operation_and_the_route() {
    let gateway = Gateway::start_with(&SETTINGS.replace("watched", "metered")).await;
    gateway
        .embed(&request("metered", json!(["one two", "three"])))
        .await;
    gateway
        .embed(&request("metered", "[simulate validation]"))
        .await;
    let (_, metrics) = gateway.admin("/metrics").await;
    let value = |parts: &[&str]| {
        let line = metrics
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        let line = line.unwrap_or_else(|| panic!("no line with {parts:?}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let own = [r#"operation="embeddings""#, r#"request_model="metered""#];
    let count = value(
        &[
            &[
                "gen_ai_server_request_duration_seconds_count",
                r#"error_type="""#,
            ][..],
            &own,
        ]
        .concat(),
    );
    assert_eq!(count, 1.0);
    let failed = metrics.lines().filter(|line| {
        line.starts_with("gen_ai_server_request_duration_seconds_count")
            && own.iter().all(|part| line.contains(part))
            && !line.contains(r#"error_type="""#)
    });
    assert_eq!(failed.count(), 1, "the failed request has its own series");
    let tokens = value(
        &[
            &["gen_ai_client_token_usage_sum", r#"token_type="input""#][..],
            &own,
        ]
        .concat(),
    );
    assert_eq!(tokens, 3.0);
    let route = r#"route="/v1/embeddings""#;
    assert!(value(&["lintel_http_requests_total", route, r#"status="200""#]) >= 1.0);
    assert!(value(&["lintel_http_requests_total", route, r#"status="400""#]) >= 1.0);
    assert!(value(&["lintel_overhead_seconds_count", route, r#"phase="request""#]) >= 1.0);
    let sent = value(&[
        "lintel_upstream_requests_total",
        r#"model="metered""#,
        r#"code="ok""#,
    ]);
    assert_eq!(sent, 2.0);
}

#[tokio::test]
async fn the_access_log_has_a_line_with_tokens_and_cost_and_without_text() {
    let log = Log::start();
    let gateway = Gateway::start_with(SETTINGS).await;
    let id = |reply: &crate::support::Reply| reply.header("x-request-id").unwrap().to_owned();
    let ok = gateway
        .embed(&request("watched", json!(["a secret", "text"])))
        .await;
    let failed = gateway
        .embed(&request("watched", "secret [simulate validation]"))
        .await;
    let wrong = gateway.embed(&request("watched", json!([]))).await;
    gateway
        .until(async || log.requests(EMBEDDINGS).len() == 3)
        .await;
    let lines = log.requests(EMBEDDINGS);
    let members = |line: &Value, names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| line[*name].clone()).collect()
    };
    let names = [
        "request_id",
        "method",
        "status",
        "reason",
        "model",
        "target_model",
        "stream",
        "ended",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    ];
    assert_eq!(
        Value::from(members(&lines[0], &names)),
        json!([
            id(&ok),
            "POST",
            200,
            "ok",
            "watched",
            "amazon.titan-embed-text-v1",
            false,
            "complete",
            3,
            0,
            "0.0000003"
        ])
    );
    assert_eq!(
        Value::from(members(&lines[1], &["request_id", "status", "model"])),
        json!([id(&failed), 400, "watched"])
    );
    assert_eq!(
        Value::from(members(&lines[2], &["request_id", "status", "key_id"])),
        json!([id(&wrong), 400, "all"])
    );
    let text = Value::from(lines).to_string();
    assert!(!text.contains("secret") && !text.contains(KEY), "{text}");
}
