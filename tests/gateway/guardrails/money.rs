//! What guardrails cost: reserved before, billed by unit, settled however a call ends.

use lintel::{catalogue, money::NanoUsd};
use proptest::{prelude::*, test_runner::Config};
use serde_json::{Value, json};

use super::{asking, judged, settings, start};
use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, standing},
};

/// The bill for the units that the simulator reports.
pub fn bill(gateway: &Gateway) -> u64 {
    let price = catalogue::guardrail_price();
    let cost = |usage: &Value| {
        price
            .cost(&serde_json::from_value(usage.clone()).unwrap())
            .0
    };
    gateway.simulator.guardrails().iter().map(cost).sum()
}

/// Waits for the settlement of the only call of a key, and returns its cost.
pub async fn settled(gateway: &Gateway, id: &str) -> u64 {
    gateway
        .until(async || {
            standing(gateway, id).await.1 == "0" && !booked(gateway, id).await.is_empty()
        })
        .await;
    let (cost, _) = standing(gateway, id).await;
    assert_eq!(
        booked(gateway, id).await[0].2,
        cost,
        "ledger and balance agree"
    );
    u64::try_from(nano(&cost)).unwrap()
}

/// The cost of the model's tokens in the invocation log.
pub fn model_bill(gateway: &Gateway) -> u64 {
    let count = |line: &Value| {
        let tokens = |part: &str, member: &str| line[part][member].as_u64().unwrap();
        tokens("input", "inputTokenCount") * 2000 + tokens("output", "outputTokenCount") * 10_000
    };
    gateway.simulator.invocations().iter().map(count).sum()
}

#[tokio::test]
async fn the_units_of_every_judgment_are_settled() {
    let long = format!("{}[simulate words 600]", "word ".repeat(500));
    for (model, text, stream, n) in [
        ("input", "Hi", false, 1),
        ("input", "contraband", true, 1),
        ("both", "Hi", true, 1),
        ("both", long.as_str(), true, 2),
        ("both", long.as_str(), false, 2),
        ("output", "secret-a1", false, 1),
        ("output", "smuggled", true, 1),
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
            assert_eq!(
                u64::try_from(cost).unwrap(),
                settled,
                "the client sees the same"
            );
        }
    }
}

#[tokio::test]
async fn a_guardrail_is_reserved_before_the_call() {
    let gateway = start().await;
    // 16 characters for each of 100 tokens are less than four windows. The prompt costs less than 0.002.
    let mut request = asking("output", "Hi", false);
    request["max_tokens"] = json!(100);
    request["max_cost_usd"] = json!(0.005);
    let rejected = gateway.chat(&request).await;
    assert_eq!(rejected.status, 400, "{}", rejected.text());
    assert!(gateway.simulator.received().is_empty(), "nothing was sent");
    request["max_cost_usd"] = json!(0.01);
    assert_eq!(gateway.chat(&request).await.status, 200);
}

#[tokio::test]
async fn judgments_that_may_be_billed_are_settled_when_calls_fail() {
    for (text, free) in [
        ("[simulate apply throttle]", true),
        ("[simulate apply validation]", true),
        ("[simulate apply internal]", false),
    ] {
        let gateway = start().await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        gateway.as_key(&secret, &asking("input", text, false)).await;
        let settled = settled(&gateway, &id).await;
        // Two attempts of one unit.
        assert_eq!(settled, if free { 0 } else { 2 * 740_000 }, "{text}");
    }
}

#[tokio::test]
async fn a_stream_without_a_client_is_read_but_not_judged() {
    let gateway = start().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = asking("output", "[simulate words 900] [simulate pace 1ms]", true);
    request["max_tokens"] = json!(1000);
    let response = gateway.open_as(&secret, &request).await;
    gateway
        .until(async || !gateway.simulator.received().is_empty())
        .await;
    drop(response);
    let settled = settled(&gateway, &id).await;
    assert_eq!(settled, bill(&gateway) + model_bill(&gateway));
    assert!(
        judged(&gateway).len() < 5,
        "4499 characters are five windows"
    );
}

/// Asks with `text`, and returns the bill of the guardrail and what its settings reserve for it.
fn bill_and_reservation(request: &Value) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let gateway = Gateway::start_with(&format!(
            "{}\n[keys.reader]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]",
            settings(),
            crate::support::sha256("sk-test-reader")
        ))
        .await;
        let mut capped = request.clone();
        // A limit that no call passes: the refusal names the reservation.
        capped["max_cost_usd"] = json!(0.000_001);
        let refused = gateway.as_key("sk-test-reader", &capped).await;
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        let amounts = message.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            nano(rest[..end.unwrap_or(rest.len())].trim_end_matches('.'))
        });
        let amount = amounts.max();
        let reply = gateway.as_key("sk-test-reader", request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let spent = bill(&gateway) + model_bill(&gateway);
        (spent, u64::try_from(amount.unwrap()).unwrap())
    })
}

fn words() -> impl Strategy<Value = String> {
    // Short and long words, characters of several bytes, and runs of white space.
    prop::collection::vec(("[a-zäé漢 .\n]{1,40}", 1usize..60), 1..6).prop_map(|parts| {
        let parts = parts.into_iter().map(|(text, times)| text.repeat(times));
        format!("x{}", parts.collect::<String>())
    })
}

proptest! {
    #![proptest_config(Config { cases: 12, ..Config::default() })]

    #[test]
    fn the_bill_never_exceeds_the_reservation(
        texts in prop::collection::vec(words(), 1..4), output in 1usize..800, stream: bool, n in 1u32..3, kb: bool, max_tokens in 1u32..900,
        in_call: bool,
    ) {
        let mut request = asking(if in_call { "call" } else { "both" }, "", stream);
        let mut messages: Vec<Value> = texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
        messages.push(json!({"role": "user", "content": format!("[simulate words {output}]")}));
        request["messages"] = json!(messages);
        request["n"] = n.into();
        request["max_tokens"] = max_tokens.into();
        if kb {
            request["kb"] = json!({"name": "docs", "query": "budget"});
        }
        let (bill, reservation) = bill_and_reservation(&request);
        prop_assert!(bill <= reservation, "{bill} > {reservation}");
        prop_assert!(NanoUsd(bill) > NanoUsd(0));
    }
}
