//! What embeddings cost, and what limits them.

use std::time::Duration;

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::json;

use super::{PNG, SETTINGS, request, vectors};
use crate::support::{
    Gateway,
    endpoints::EMBEDDINGS,
    money::{booked, budget, key, nano, standing},
};

fn failure(status: u16, name: &str) -> ScriptedReply {
    let mut scripted = ScriptedReply::json(status, r#"{"message":"no"}"#);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), name.into()));
    scripted
}

/// Checks that the ledger and the budget of a key have one request, and returns its kind and cost.
async fn only_record(gateway: &Gateway, id: &str) -> (String, i64) {
    gateway
        .until(async || !booked(gateway, id).await.is_empty())
        .await;
    let mut rows = booked(gateway, id).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let (kind, requests, cost) = rows.remove(0);
    assert_eq!(requests, 1);
    let (settled, reserved) = standing(gateway, id).await;
    assert_eq!((settled, reserved.as_str()), (cost.clone(), "0"));
    (kind, nano(&cost))
}

#[tokio::test]
async fn a_budget_admits_the_worst_case_and_rejects_it_at_a_nanodollar_less() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // A token is at least a byte: 100 and 50 tokens, with those of begin and end, and a
    // nano-dollar for the rounding of each request.
    let request = request("dear", json!(["x".repeat(98), "x".repeat(48)]));
    let (id, secret) = key(&gateway, budget(0.000_300_001)).await;
    let rejected = gateway.ask(EMBEDDINGS, &secret, &request).await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    let error = rejected.error();
    assert_eq!(error["code"], "insufficient_quota");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("$0.000300002"), "{message}");
    assert!(
        message.contains("Send fewer or shorter inputs"),
        "{message}"
    );
    assert!(!message.contains("max_tokens"), "{message}");
    assert_eq!(rejected.header("x-should-retry"), Some("false"));
    assert!(gateway.simulator.received().is_empty(), "nothing was sent");
    assert_eq!(
        standing(&gateway, &id).await,
        ("0".to_owned(), "0".to_owned())
    );
    let (id, secret) = key(&gateway, budget(0.000_300_002)).await;
    let admitted = gateway.ask(EMBEDDINGS, &secret, &request).await;
    assert_eq!(vectors(&admitted).len(), 2);
    // The simulator counts each of these texts as one token.
    assert_eq!(
        only_record(&gateway, &id).await,
        ("actual".to_owned(), 4000)
    );
}

#[tokio::test]
async fn the_reply_the_ledger_the_budget_and_the_usage_page_agree_with_the_bill() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["dear", "cohere"] {
        let (before, _) = gateway.billed();
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let texts: Vec<String> = (1..=100).map(|n| "word ".repeat(n)).collect();
        let mut request = request(model, json!(texts));
        request["dimensions"] = 256.into();
        let reply = gateway.ask(EMBEDDINGS, &secret, &request).await;
        let tokens = gateway.billed().0 - before;
        let cost = tokens * if model == "dear" { 2000 } else { 120 };
        assert_eq!(reply.json()["usage"]["prompt_tokens"], tokens);
        assert_eq!(reply.json()["usage"]["cost"], cost as f64 / 1e9);
        assert_eq!(nano(reply.header("x-lintel-cost-usd").unwrap()), cost);
        assert_eq!(
            only_record(&gateway, &id).await,
            ("actual".to_owned(), cost),
            "{model}"
        );
        let page = gateway.page(&secret).await;
        for spend in page["spend"].as_array().unwrap() {
            assert_eq!(
                (
                    &spend["requests"],
                    &spend["input_tokens"],
                    &spend["output_tokens"]
                ),
                (&json!(1), &json!(tokens), &json!(0))
            );
            assert_eq!(spend["cost_usd"], cost as f64 / 1e9, "{spend}");
        }
    }
}

#[tokio::test]
async fn a_part_that_fails_fails_the_request_and_what_was_billed_until_then_is_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    // Eight requests run at a time. The first fails while the other seven are answered.
    let mut texts = vec!["one two three [simulate slow 50ms]"; 20];
    texts[0] = "[simulate validation]";
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("dear", json!(texts)))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["type"], "invalid_request_error");
    assert_eq!(reply.header("x-lintel-attempts"), Some("8"));
    assert_eq!(
        gateway.simulator.received().len(),
        8,
        "nothing is sent after the failure"
    );
    let (tokens, _) = gateway.billed();
    assert_eq!(tokens, 7 * 6);
    assert_eq!(
        only_record(&gateway, &id).await,
        ("actual".to_owned(), tokens * 2000)
    );
    let page = gateway.page(&secret).await;
    assert_eq!(page["spend"][0]["input_tokens"], tokens);
    assert_eq!(page["budgets"][0]["reserved_usd"], 0.0);
}

#[tokio::test]
async fn one_part_is_retried_without_repeating_the_others() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    let expected = vectors(&gateway.embed(&request("dear", json!(texts))).await);
    let before = (gateway.billed().0, gateway.simulator.received().len());
    let (id, secret) = key(&gateway, budget(1.0)).await;
    gateway
        .simulator
        .script(failure(429, "ThrottlingException"));
    gateway
        .simulator
        .script(failure(503, "ServiceUnavailableException"));
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("retried", json!(texts)))
        .await;
    assert!(vectors(&reply) == expected);
    assert_eq!(reply.header("x-lintel-attempts"), Some("22"));
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("attempts: "), "{warnings}");
    assert_eq!(gateway.simulator.received().len() - before.1, 22);
    let tokens = gateway.billed().0 - before.0;
    assert_eq!(reply.json()["usage"]["prompt_tokens"], tokens);
    assert_eq!(only_record(&gateway, &id).await.1, tokens * 2000);
}

#[tokio::test]
async fn a_retry_of_what_may_be_billed_is_paid_for_twice() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    gateway
        .simulator
        .script(failure(500, "InternalServerException"));
    let texts = ["x".repeat(98), "x".repeat(48)];
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("retried", json!(texts)))
        .await;
    assert_eq!(vectors(&reply).len(), 2);
    // Two tokens were billed. The lost request may have been the larger one.
    assert_eq!(
        only_record(&gateway, &id).await,
        ("presumed".to_owned(), 4000 + 200_000)
    );
}

#[tokio::test]
async fn lost_parts_never_cost_more_than_was_reserved() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut texts = vec!["[simulate reset]".to_owned(); 8];
    texts[0] = "x".repeat(3998);
    let most = (4000 + 7 * 18) * 2000 + 8;
    let (id, secret) = key(&gateway, budget(most as f64 / 1e9)).await;
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("dear", json!(texts)))
        .await;
    assert!(reply.status.is_server_error(), "{}", reply.text());
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "presumed");
    assert!(cost >= gateway.billed().0 * 2000, "{cost}");
    assert!(cost <= most, "{cost} is more than {most}");
}

#[tokio::test]
async fn lost_images_never_cost_more_than_was_reserved() {
    let settings = "[models.pictures]\ntarget = \"amazon.titan-embed-image-v1\"";
    let gateway = Gateway::start_with(settings).await;
    let most = 8 * 60_000 + 8;
    let (id, secret) = key(&gateway, budget(most as f64 / 1e9)).await;
    for _ in 0..8 {
        gateway
            .simulator
            .script(failure(500, "InternalServerException"));
    }
    let pictures = request("pictures", json!(vec![PNG; 8]));
    let reply = gateway.ask(EMBEDDINGS, &secret, &pictures).await;
    assert!(reply.status.is_server_error(), "{}", reply.text());
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "presumed");
    assert!((60_000..=most).contains(&cost), "{cost}");
}

#[tokio::test]
async fn usage_that_the_service_does_not_report_is_estimated_and_costs_its_reservation() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    gateway.simulator.script(ScriptedReply::json(
        200,
        json!({"embeddings": {"float": [vec![0.5; 1536]]}}).to_string(),
    ));
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("cohere", "x".repeat(98)))
        .await;
    let usage = &reply.json()["usage"];
    assert_eq!(usage["estimated"], true);
    assert_eq!(usage["prompt_tokens"], 25, "four bytes a token");
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "estimated");
    assert!((100 * 120..=100 * 120 + 1).contains(&cost), "{cost}");
}

#[tokio::test]
async fn an_unreadable_reply_is_an_error_and_booked() {
    for body in [
        "{}",
        r#"{"embedding": []}"#,
        r#"{"embedding": ["a"]}"#,
        r#"{"embedding": [1.0, 1e99]}"#,
        r#"{"embedding": [1.0"#,
    ] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        gateway.simulator.script(ScriptedReply::json(200, body));
        let reply = gateway
            .ask(EMBEDDINGS, &secret, &request("dear", "text"))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{body}");
        assert_eq!(reply.error()["code"], "upstream_malformed", "{body}");
        let (kind, cost) = only_record(&gateway, &id).await;
        assert_eq!((kind.as_str(), cost > 0), ("presumed", true), "{body}");
    }
}

#[tokio::test]
async fn a_batch_with_a_wrong_number_of_vectors_is_an_error() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for vectors in ["[[0.5]]", "[[0.5],[0.5],[0.5]]", "[[0.5],[]]"] {
        let body = format!(r#"{{"embeddings": {{"float": {vectors}}}}}"#);
        gateway.simulator.script(ScriptedReply::json(200, body));
        let reply = gateway.embed(&request("cohere", json!(["a", "b"]))).await;
        assert_eq!(reply.error()["code"], "upstream_malformed", "{vectors}");
    }
}

#[tokio::test]
async fn a_timeout_ends_the_request_and_books_what_it_may_have_cost() {
    let settings = format!(
        "{SETTINGS}\n[models.brief]\ntarget = \"amazon.titan-embed-text-v2:0\"\nprice = {{ input = 2.0, output = 0.0 }}\ntimeout = \"200ms\""
    );
    let gateway = Gateway::start_with(&settings).await;
    let most = (10 + 17) * 2000 + 2;
    let (id, secret) = key(&gateway, budget(most as f64 / 1e9)).await;
    let texts = json!(["x".repeat(8), "[simulate hang]"]);
    let reply = gateway
        .ask(EMBEDDINGS, &secret, &request("brief", texts))
        .await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(reply.error()["code"], "upstream_timeout");
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "presumed");
    assert_eq!(
        cost,
        2000 + 17 * 2000,
        "what was billed, and the hanging part"
    );
}

#[tokio::test]
async fn after_the_client_disconnects_what_was_sent_is_booked_and_nothing_new_is_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = request("dear", json!(vec!["[simulate slow 50ms]"; 16]));
    let ask = gateway.ask(EMBEDDINGS, &secret, &request);
    let gone = tokio::time::timeout(Duration::from_millis(30), ask).await;
    assert!(gone.is_err(), "the client has disconnected");
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "actual");
    let sent = gateway.simulator.received().len();
    assert_eq!(sent, 8, "as many as run at a time");
    assert_eq!(cost, 8 * 3 * 2000);
}

#[tokio::test]
async fn a_failed_request_reports_the_error_that_a_retry_does_not_help_in_any_order() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (throttled, invalid) = ("[simulate throttle]", "[simulate validation]");
    for texts in [[throttled, invalid], [invalid, throttled]] {
        let reply = gateway.embed(&request("dear", json!(texts))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    }
}

#[tokio::test]
async fn a_vector_of_another_size_than_the_request_asked_for_is_an_error() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for dimensions in [json!(null), json!(256)] {
        let mut request = request("titan", "text");
        request["dimensions"] = dimensions;
        let reply = r#"{"embedding": [0.5, 0.5, 0.5], "inputTextTokenCount": 1}"#;
        gateway.simulator.script(ScriptedReply::json(200, reply));
        let reply = gateway.embed(&request).await;
        assert_eq!(reply.error()["code"], "upstream_malformed");
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn a_canceled_request_books_what_its_parts_may_have_cost_and_sends_no_more() {
    let settings = format!("{SETTINGS}\n[defaults]\non_disconnect = \"cancel\"");
    let gateway = Gateway::start_with(&settings).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let text = "[simulate hang]";
    let request = request("dear", json!(vec![text; 20]));
    let ask = gateway.ask(EMBEDDINGS, &secret, &request);
    let begun = gateway.until(async || gateway.simulator.received().len() == 8);
    tokio::select! {
        _ = ask => panic!("there is no reply"),
        () = begun => {}
    }
    let (kind, cost) = only_record(&gateway, &id).await;
    assert_eq!(kind, "presumed");
    assert_eq!(cost, 8 * (text.len() as i64 + 2) * 2000);
    assert_eq!(gateway.simulator.received().len(), 8);
}
