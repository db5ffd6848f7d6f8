//! What the guardrail in the call to the model costs.

use serde_json::{Value, json};

use super::{
    asking,
    money::{bill, model_bill, settled},
    receive, sent, start,
};
use crate::support::money::{budget, key, nano};

/// Before, the ledger had only the cost of the tokens.
#[tokio::test]
async fn units_in_the_trace_are_settled() {
    let long = format!("{}[simulate words 600]", "word ".repeat(500));
    for (model, text, stream, n) in [
        ("call", "Hi", false, 1),
        ("call", "Hi", true, 1),
        ("call", "contraband", false, 1),
        ("call", "contraband", true, 1),
        ("shown", long.as_str(), true, 2),
        ("shown", long.as_str(), false, 2),
    ] {
        let gateway = start().await;
        let (id, secret) = key(&gateway, budget(100.0)).await;
        let mut request = asking(model, text, stream);
        request["n"] = n.into();
        request["max_tokens"] = json!(700);
        let reply = gateway.as_key(&secret, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let settled = settled(&gateway, &id).await;
        assert!(bill(&gateway) > 0);
        assert_eq!(
            settled,
            bill(&gateway) + model_bill(&gateway),
            "{model} {text} {stream}"
        );
        if !stream {
            let cost = nano(reply.header("x-lintel-cost-usd").unwrap());
            assert_eq!(u64::try_from(cost).unwrap(), settled);
        }
    }
}

/// What the service does not report is booked as reserved, because it is billed all the same.
#[tokio::test]
async fn units_without_a_trace_are_settled_at_their_bound() {
    for (model, text, stream) in [
        ("silent", "Hi", false),
        ("silent", "Hi", true),
        ("call", "[simulate truncate] Hi there, you", true),
        ("call", "[simulate no-metadata] Hi", true),
        ("call", "[simulate reset] Hi", false),
    ] {
        let gateway = start().await;
        let (id, secret) = key(&gateway, budget(100.0)).await;
        gateway.as_key(&secret, &asking(model, text, stream)).await;
        let settled = settled(&gateway, &id).await;
        assert!(
            settled >= bill(&gateway) + model_bill(&gateway),
            "{model} {text}: {settled}"
        );
    }
}

#[tokio::test]
async fn trace_that_only_the_gateway_needs_is_not_shown() {
    let gateway = start().await;
    for (model, trace, is_shown) in [
        ("call", "enabled", false),
        ("shown", "enabled", true),
        ("silent", "disabled", false),
    ] {
        let reply = receive(&gateway, &asking(model, "contraband", false)).await;
        let request = sent(&gateway, "/converse").pop().unwrap();
        assert_eq!(request["guardrailConfig"]["trace"], trace);
        assert_eq!(reply.member("bedrock_guardrail") != &Value::Null, is_shown);
    }
}

/// Before, the call was admitted, because its guardrail was not reserved.
#[tokio::test]
async fn guardrail_of_a_client_is_reserved() {
    let gateway = start().await;
    let mut request = asking("bare", "Hi", false);
    request["max_tokens"] = json!(100);
    request["max_cost_usd"] = json!(0.005);
    assert_eq!(gateway.chat(&request).await.status, 200);
    request["bedrock"] = json!({"guardrail": {"identifier": "abc123", "version": "1"}});
    let rejected = gateway.chat(&request).await;
    assert_eq!(rejected.status, 400, "{}", rejected.text());
    assert_eq!(rejected.error()["code"], "max_cost_exceeded");
}
