//! Searches that fail, with both values of `on_error`, and searches without results.

use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{READER, asking, conversed, kb, result, searched, start};
use crate::support::{Reply, streamed};

/// A fault of the simulator, and the status, `code` and `x-should-retry` of the error.
const FAULTS: [(&str, u16, &str, Option<&str>); 10] = [
    ("throttle", 429, "rate_limit_exceeded", None),
    ("quota", 429, "rate_limit_exceeded", Some("false")),
    ("internal", 502, "upstream_error", None),
    (
        "access-denied",
        502,
        "upstream_access_denied",
        Some("false"),
    ),
    (
        "dependency-failed",
        502,
        "knowledge_base_dependency_failed",
        None,
    ),
    ("bad-gateway", 502, "knowledge_base_dependency_failed", None),
    ("conflict", 502, "knowledge_base_conflict", None),
    ("not-ready", 503, "model_not_ready", None),
    ("validation", 502, "knowledge_base_refused", Some("false")),
    ("malformed", 502, "upstream_malformed", None),
];

/// Reports whether the reply reveals ARNs or account ids.
fn leaks(reply: &Reply) -> bool {
    reply.text().contains("arn:") || reply.text().contains("123456789012")
}

#[tokio::test]
async fn a_failed_search_fails_the_request_with_on_error_fail() {
    let gateway = start().await;
    for (fault, status, code, retry) in FAULTS {
        let query = format!("[simulate kb {fault}]");
        let reply = gateway
            .as_key(READER, &asking(json!("strict"), &query))
            .await;
        let error = reply.error();
        assert_eq!(
            (reply.status.as_u16(), error["code"].as_str().unwrap()),
            (status, code),
            "{fault}: {error}"
        );
        assert_eq!(reply.header("x-should-retry"), retry, "{fault}");
        assert_eq!(
            reply.header("retry-after").is_some(),
            matches!(status, 429 | 503),
            "{fault}"
        );
        assert!(!leaks(&reply), "{fault}");
        // Also for a stream, and if the client sets `on_error`.
        let mut request = streamed(&query);
        request["kb"] = json!({"name": "docs", "on_error": "fail"});
        let reply = gateway.as_key(READER, &request).await;
        assert_eq!(
            (
                reply.status.as_u16(),
                reply.error()["code"].as_str().unwrap()
            ),
            (status, code),
            "{fault}"
        );
    }
    assert!(conversed(&gateway).is_empty(), "no model was called");
}

#[tokio::test]
async fn a_failed_search_is_reported_with_on_error_answer_without() {
    let gateway = start().await;
    for (fault, _, code, _) in FAULTS {
        let request = asking(json!("docs"), &format!("Hi [simulate kb {fault}]"));
        let reply = gateway.as_key(READER, &request).await;
        let kb = kb(&reply);
        assert_eq!(
            (&kb["used"], &kb["reason"], &kb["passages"]),
            (&json!(false), &json!(code), &json!([])),
            "{fault}"
        );
        assert!(
            reply
                .header("x-lintel-warnings")
                .unwrap()
                .contains(&format!("'docs' could not be searched ({code})"))
        );
        assert!(!leaks(&reply));
        let message = &reply.json()["choices"][0]["message"];
        assert!(
            message["content"]
                .as_str()
                .unwrap()
                .starts_with("You said: Hi"),
            "{message}"
        );
    }
    let sent = conversed(&gateway);
    assert!(
        sent.iter()
            .all(|sent| !sent.to_string().contains("passages")),
        "the prompt contains no passages"
    );
}

#[tokio::test]
async fn a_slow_search_times_out() {
    let gateway = start().await;
    let reply = gateway
        .as_key(
            READER,
            &asking(
                json!({"name": "hasty", "on_error": "fail"}),
                "[simulate kb hang]",
            ),
        )
        .await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.error()["code"].as_str().unwrap()
        ),
        (504, "knowledge_base_timeout")
    );
    let reply = gateway
        .as_key(READER, &asking(json!("hasty"), "[simulate kb slow 1h]"))
        .await;
    assert_eq!(kb(&reply)["reason"], "knowledge_base_timeout");
}

#[tokio::test]
async fn transient_failures_of_searches_are_retried() {
    let gateway = start().await;
    let throttle = || {
        let mut scripted = ScriptedReply::json(429, r#"{"message":"slowly"}"#);
        scripted
            .headers
            .push(("x-amzn-errortype".into(), "ThrottlingException".into()));
        scripted
    };
    gateway.simulator.script(throttle());
    gateway.simulator.script(throttle());
    let reply = gateway
        .as_key(READER, &asking(json!("docs"), "budget"))
        .await;
    assert_eq!(
        (kb(&reply)["used"].clone(), searched(&gateway).len()),
        (json!(true), 3)
    );
    assert_eq!(
        reply.header("x-lintel-attempts"),
        Some("1"),
        "counts only requests to the model"
    );
    gateway.simulator.script(throttle());
    let reply = gateway
        .as_key(READER, &asking(json!("strict"), "budget"))
        .await;
    assert_eq!(
        (reply.status.as_u16(), searched(&gateway).len()),
        (429, 4),
        "with attempts = 1 there is no retry"
    );
    let (_, metrics) = gateway.admin("/metrics").await;
    assert!(
        metrics.contains(r#"lintel_upstream_retries_total{region="us-east-1",model="kb:docs"}"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn searches_without_results_report_the_reason() {
    let gateway = start().await;
    for (kb_object, reason) in [
        (json!({"name": "docs", "query": "xyzzy"}), "no_results"),
        // A search without results is not a failure.
        (json!({"name": "strict", "query": "xyzzy"}), "no_results"),
        (json!({"name": "docs", "min_score": 1}), "below_min_score"),
        // A failure takes precedence over a search without results.
        (
            json!({"name": ["docs", "readme"], "query": "xyzzy [simulate kb throttle]"}),
            "rate_limit_exceeded",
        ),
    ] {
        let reply = gateway.as_key(READER, &asking(kb_object, "budget")).await;
        let kb = kb(&reply);
        assert_eq!(
            (&kb["used"], &kb["reason"], &kb["context_chars"]),
            (&json!(false), &json!(reason), &json!(0))
        );
        assert_eq!(
            reply.json()["choices"][0]["message"]["content"],
            "You said: budget"
        );
    }
}

#[tokio::test]
async fn passages_of_the_other_searches_are_used_if_one_fails() {
    let gateway = start().await;
    super::results(&gateway, json!([result("good", Some(0.9))]));
    gateway.simulator.script(ScriptedReply::json(500, "{}"));
    let reply = gateway
        .as_key(READER, &asking(json!(["plain", "readme"]), "budget"))
        .await;
    let kb = kb(&reply);
    assert_eq!(
        (&kb["used"], &kb["reason"]),
        (&json!(true), &json!("upstream_error")),
        "{kb}"
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("could not be searched")
    );
}

#[tokio::test]
async fn a_guardrail_that_blocks_the_search_blocks_the_answer() {
    let gateway = start().await;
    let request = asking(json!("managed"), "budget [simulate kb guardrail]");
    let reply = gateway.as_key(READER, &request).await;
    let (kb, choice) = (kb(&reply), reply.json()["choices"][0].clone());
    assert_eq!(
        (&kb["used"], &kb["reason"], &choice["finish_reason"]),
        (&json!(false), &json!("guardrail"), &json!("content_filter"))
    );
    assert!(
        choice["message"]["content"]
            .as_str()
            .unwrap()
            .contains("guardrail")
    );
    let mut stream = request.clone();
    stream["stream"] = true.into();
    let reply = gateway.as_key(READER, &stream).await;
    let events = reply.events();
    let end: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(
        (&end["kb"]["reason"], &end["choices"][0]["finish_reason"]),
        (&json!("guardrail"), &json!("content_filter"))
    );
    assert!(conversed(&gateway).is_empty());
    assert_eq!(
        searched(&gateway)[0]["guardrailConfiguration"],
        json!({"guardrailId": "abc123", "guardrailVersion": "1"})
    );
}

#[tokio::test]
async fn invalid_kb_options_are_rejected_with_their_path() {
    let gateway = start().await;
    let cases = [
        (json!({"name": "docs", "max_results": 0}), "kb.max_results"),
        (
            json!({"name": "docs", "max_results": 101}),
            "kb.max_results",
        ),
        (json!({"name": "docs", "min_score": 1.1}), "kb.min_score"),
        (
            json!({"name": "docs", "max_context_chars": 0}),
            "kb.max_context_chars",
        ),
        (json!({"name": "docs", "search": "fuzzy"}), "kb.search"),
        (json!({"name": "docs", "on_error": "ignore"}), "kb.on_error"),
        (
            json!({"name": "docs", "rerank": "amazon.nova-lite-v1:0"}),
            "kb.rerank",
        ),
        (
            json!({"name": "docs", "filter": {"andAll": []}}),
            "kb.filter.andAll",
        ),
        (
            json!({"name": "docs", "filter": {"in": {"key": "a", "value": vec![1; 10_000]}}}),
            "kb.filter",
        ),
        (json!({"name": "docs", "filters": {}}), "kb.filters"),
        (json!({"name": "docs", "guardrail": {}}), "kb.guardrail"),
        (json!({"max_results": 3}), "kb.name"),
        (json!([]), "kb.name"),
        (json!(["docs", "docs"]), "kb.name"),
        (json!(7), "kb"),
    ];
    for (kb, param) in cases {
        let reply = gateway.as_key(READER, &asking(kb.clone(), "Hi")).await;
        assert_eq!(
            (
                reply.status.as_u16(),
                reply.error()["param"].as_str().unwrap()
            ),
            (400, param),
            "{kb}: {}",
            reply.text()
        );
    }
    let mut silent = asking(json!("docs"), "");
    silent["messages"] = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]);
    assert_eq!(
        gateway.as_key(READER, &silent).await.error()["param"],
        "kb.query"
    );
    let mut nested = asking(Value::Null, "Hi");
    nested["tools"] = json!([{"type": "file_search", "vector_store_ids": ["docs"], "file_search": {"filters": {}}}]);
    assert_eq!(
        gateway.as_key(READER, &nested).await.error()["param"],
        "tools[0].file_search",
        "the unsupported member could be a filter"
    );
    let mut strict = asking(json!({"name": "managed", "search": "semantic"}), "Hi");
    strict["model"] = "strict".into();
    assert_eq!(
        gateway.as_key(READER, &strict).await.error()["param"],
        "kb.search",
        "rejected before the search"
    );
    assert!(searched(&gateway).is_empty());
    // The service's message about the client's filter is shown, without ARNs.
    let own = asking(
        json!({"name": "strict", "filter": {"equals": {"key": "a", "value": 1}}}),
        "[simulate kb validation]",
    );
    let reply = gateway.as_key(READER, &own).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.error()["param"]),
        (400, &json!("kb.filter"))
    );
    assert_eq!(reply.error()["code"], "invalid_filter");
    assert!(
        !leaks(&reply) && reply.error()["message"].as_str().unwrap().contains("[arn]"),
        "{}",
        reply.text()
    );
    assert!(conversed(&gateway).is_empty());
}
