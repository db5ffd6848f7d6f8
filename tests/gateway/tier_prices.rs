//! Prices of service tiers that the operator sets, or that follow the operator's price.

use lintel::config::{self, Environment};
use serde_json::Value;

use crate::support::{Gateway, money::of, user};

/// `own` has its own tiers. `ratio` has the catalogue's: flex at half the price, priority at 1.75 times.
const SETTINGS: &str = r#"
    [models.own]
    target = "anthropic.claude-3-haiku-20240307-v1:0"
    price = { input = 1.0, output = 2.0, flex_input = 0.5, flex_output = 1.0, priority_input = 3.0, priority_output = 7.0 }
    [models.ratio]
    target = "us.amazon.nova-2-lite-v1:0"
    price = { input = 1.0, output = 2.0 }
"#;

/// Before, `flex_input` and `priority_input` were unknown settings, and the tiers of the catalogue were dropped.
#[tokio::test]
async fn tiers_have_the_operators_price_or_keep_their_ratio_to_it() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, tier, input, output) in [
        ("own", "default", 1.0, 2.0),
        ("own", "flex", 0.5, 1.0),
        ("own", "priority", 3.0, 7.0),
        ("ratio", "flex", 0.5, 1.0),
        ("ratio", "priority", 1.75, 3.5),
    ] {
        let mut request = of(model, user("Hi"));
        request["service_tier"] = tier.into();
        let reply = gateway.chat(&request).await.json();
        let usage: &Value = &reply["usage"];
        let tokens = |name: &str| usage[name].as_f64().unwrap();
        let cost = tokens("prompt_tokens") * input + tokens("completion_tokens") * output;
        let booked = usage["cost"].as_f64().unwrap();
        assert!(
            (booked * 1e6 - cost).abs() < 0.01,
            "{model} {tier}: {usage}"
        );
    }
}

#[test]
fn half_a_price_of_a_tier_is_a_problem() {
    let text = r#"
        [models.a]
        target = "anthropic.claude-3-haiku-20240307-v1:0"
        price = { priority_input = 3.0 }
        [keys.a]
        secret_env = "KEY"
    "#;
    let environment = Environment {
        variables: [("KEY", "sk-0123456789abcdef"), ("AWS_REGION", "us-east-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        flags: Vec::new(),
    };
    let problems = config::parse(text, &environment, None).unwrap_err();
    let message = &problems[0].message;
    assert!(
        message.contains("needs both 'priority_input' and 'priority_output'"),
        "{message}"
    );
}
