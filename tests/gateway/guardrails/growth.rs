//! Masks that are longer than the text: the hold grows before the model is called, or the call is rejected.

use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{asking, sent, start};
use crate::support::{
    Gateway,
    endpoints::EMBEDDINGS,
    money::{budget, key, nano, standing},
};

/// The verdict of a guardrail whose mask is at most 48,000 tokens long, which cost 0.096 as input.
fn long_mask(gateway: &Gateway) {
    let verdict = json!({
        "usage": {"contentPolicyUnits": 1},
        "action": "GUARDRAIL_INTERVENED",
        "outputs": [{"text": "{CVV} ".repeat(8_000)}],
        "assessments": [{"sensitiveInformationPolicy": {"piiEntities": [{"action": "ANONYMIZED"}]}}],
    });
    gateway
        .simulator
        .script(ScriptedReply::json(200, verdict.to_string()));
}

#[tokio::test]
async fn a_budget_that_does_not_cover_longer_masks_rejects_the_call() {
    for (endpoint, model) in [("/v1/chat/completions", "input"), (EMBEDDINGS, "vectors")] {
        let gateway = start().await;
        let request = match model {
            "vectors" => json!({"model": model, "input": "123 456"}),
            _ => {
                let mut request = asking(model, "123 456", false);
                request["max_tokens"] = json!(10);
                request
            }
        };
        let (id, secret) = key(&gateway, budget(0.03)).await;
        long_mask(&gateway);
        let rejected = gateway.ask(endpoint, &secret, &request).await;
        // Was 200: the budget was overdrawn.
        assert_eq!(rejected.status, 429, "{}", rejected.text());
        assert_eq!(rejected.error()["code"], "insufficient_quota");
        assert!(sent(&gateway, "/converse").is_empty() && sent(&gateway, "/invoke").is_empty());
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        let spent = standing(&gateway, &id).await.0;
        assert_eq!(nano(&spent), 150_000, "the guardrail alone");

        let (id, secret) = key(&gateway, budget(0.3)).await;
        long_mask(&gateway);
        let served = gateway.ask(endpoint, &secret, &request).await;
        assert_eq!(served.status, 200, "{}", served.text());
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        assert!(nano(&standing(&gateway, &id).await.0) < 126_000_000);
    }
}

#[tokio::test]
async fn max_cost_usd_includes_longer_masks() {
    let gateway = start().await;
    let mut request: Value = asking("input", "123 456", false);
    request["max_tokens"] = json!(10);
    request["max_cost_usd"] = json!(0.03);
    long_mask(&gateway);
    // Was 200, at a multiple of the limit.
    let rejected = gateway.chat(&request).await;
    assert_eq!(rejected.status, 400, "{}", rejected.text());
    assert_eq!(rejected.error()["code"], "max_cost_exceeded");
    assert!(sent(&gateway, "/converse").is_empty());
    request["max_cost_usd"] = json!(0.2);
    long_mask(&gateway);
    assert_eq!(gateway.chat(&request).await.status, 200);
}

#[tokio::test]
async fn a_fitting_budget_lowers_max_tokens_by_what_judging_them_costs() {
    let gateway = start().await;
    let settings = json!({"budget": {"usd": 0.05, "per": "day", "fit": true}});
    let (_, secret) = key(&gateway, settings).await;
    let mut request = asking("output", "Hi", false);
    request["max_tokens"] = json!(4000);
    let fitted = gateway.as_key(&secret, &request).await;
    // Was 429 with "less than the input may cost", because judging 4000 tokens was subtracted from the budget.
    assert_eq!(fitted.status, 200, "{}", fitted.text());
    let warnings = fitted.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("max_tokens: lowered to"), "{warnings}");
    let limit = sent(&gateway, "/converse")[0]["inferenceConfig"]["maxTokens"].as_u64();
    assert!((500..1500).contains(&limit.unwrap()), "{limit:?}");
}
