//! Calls whose client disconnects before their model is asked: nothing new is sent for them.

use serde_json::json;

use crate::support::{
    Gateway,
    log::Log,
    money::{SETTINGS, booked, key, of, standing},
    sha256, streamed, user,
};

const ROUTE: &str = "/v1/chat/completions";

/// Sends `request`, and disconnects as soon as it `waits`.
async fn abandon(
    gateway: &Gateway,
    secret: &str,
    request: &serde_json::Value,
    waits: impl AsyncFnMut() -> bool,
) {
    tokio::select! {
        reply = gateway.as_key(secret, request) => panic!("{}", reply.text()),
        () = gateway.until(waits) => {}
    }
}

async fn ends_unanswered(gateway: &Gateway, log: &Log) {
    let ended = || {
        let lines = log.requests(ROUTE);
        lines.iter().any(|line| line["status"] == 499)
    };
    gateway.until(async || ended()).await;
}

/// The call was admitted once there was money, and billed, although nobody received its answer.
#[tokio::test]
async fn client_that_leaves_while_it_waits_for_money_spends_none() {
    for request in [user("gone"), streamed("gone")] {
        let log = Log::start();
        let gateway = Gateway::start_with(SETTINGS).await;
        let settings = json!({
            "budget": {"usd": 0.0025, "per": "day", "wait": "10s"}, "limits": {"in_flight": 2}
        });
        let (id, secret) = key(&gateway, settings).await;
        // Never admitted into the budget, so only a call that waits can be the second in flight.
        let mut probe = of("priced", user("Hi"));
        probe["max_cost_usd"] = json!(0.000001);
        let first = of("priced", user("[simulate slow 400ms]"));
        let first = gateway.as_key(&secret, &first);
        let second = of("priced", request);
        let (first, ()) = tokio::join!(first, async {
            gateway
                .until(async || standing(&gateway, &id).await.1 != "0")
                .await;
            let waits = async || gateway.as_key(&secret, &probe).await.status == 429;
            abandon(&gateway, &secret, &second, waits).await;
        });
        assert_eq!(first.status, 200);
        ends_unanswered(&gateway, &log).await;
        assert_eq!(gateway.simulator.received().len(), 1);
        assert_eq!(standing(&gateway, &id).await.1, "0");
        let booked: Vec<String> = booked(&gateway, &id)
            .await
            .into_iter()
            .map(|row| row.2)
            .collect();
        assert_eq!(booked, [standing(&gateway, &id).await.0]);
    }
}

/// After the search, the model was asked and billed.
#[tokio::test]
async fn client_that_leaves_during_a_search_asks_no_model() {
    let log = Log::start();
    let settings = format!(
        "[knowledge_bases.docs]\nid = \"LINTELDOCS\"\n[keys.reader]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]",
        sha256("sk-reader")
    );
    let gateway = Gateway::start_with(&settings).await;
    let mut request = user("budgets [simulate kb slow 400ms]");
    request["kb"] = "docs".into();
    let waits = async || !gateway.simulator.received().is_empty();
    abandon(&gateway, "sk-reader", &request, waits).await;
    ends_unanswered(&gateway, &log).await;
    assert!(gateway.simulator.invocations().is_empty());
}
