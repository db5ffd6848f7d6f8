//! However a call ends, its cost is booked, once, and no budget is ever exceeded.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use crate::support::{
    Gateway,
    money::{SETTINGS, booked, budget, key, nano, of, standing},
    streamed, user,
};

#[tokio::test]
async fn however_a_call_ends_its_cost_is_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (text, stream, kind, cost) in [
        // "You said: …": three tokens and those of the text.
        ("Hi", false, "actual", "0.000032"),
        ("Hi", true, "actual", "0.000032"),
        // Refused by the service: nothing.
        ("[simulate throttle]", false, "actual", "0"),
        ("[simulate access-denied]", true, "actual", "0"),
        (
            "[simulate first-exception throttlingException]",
            true,
            "actual",
            "0",
        ),
        // Nobody knows: all that was set aside.
        ("[simulate internal]", false, "presumed", ""),
        ("[simulate reset]", false, "presumed", ""),
        // Counted up to where it broke.
        ("[simulate words 50] [simulate cut]", true, "estimated", ""),
        ("[simulate no-metadata]", true, "estimated", ""),
    ] {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let mut request = of("priced", user(text));
        request["stream"] = stream.into();
        gateway.as_key(&secret, &request).await;
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        let booked = booked(&gateway, &id).await;
        assert_eq!(
            (booked.len(), booked[0].0.as_str(), booked[0].1),
            (1, kind, 1),
            "{text} {stream}: {booked:?}"
        );
        assert_eq!(
            booked[0].2,
            standing(&gateway, &id).await.0,
            "{text}: ledger and balance say the same"
        );
        if cost.is_empty() {
            assert!(nano(&booked[0].2) > 0, "{text}: never free");
        } else {
            assert_eq!(booked[0].2, cost, "{text}");
        }
    }
}

#[tokio::test]
async fn the_input_of_an_unknown_usage_costs_all_that_was_set_aside_for_it() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let text = format!("[simulate words 50] [simulate cut] {}", "long ".repeat(400));
    gateway
        .as_key(&secret, &of("priced", streamed(&text)))
        .await;
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let (kind, _, cost) = booked(&gateway, &id).await.remove(0);
    // Four bytes a token is an estimate, and one byte a token what the input cannot exceed: at 2000 nano-dollars each.
    assert!(
        kind == "estimated" && nano(&cost) >= text.len() as i64 * 2000,
        "{kind} {cost}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_read_on_for_or_cut() {
    for (policy, kind) in [("drain", "actual"), ("cancel", "estimated")] {
        let settings = format!("{SETTINGS}\n[defaults]\non_disconnect = \"{policy}\"");
        let gateway = Gateway::start_with(&settings).await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let request = of(
            "priced",
            streamed("[simulate words 40] [simulate pace 5ms]"),
        );
        drop(gateway.open_as(&secret, &request).await);
        gateway
            .until(async || !booked(&gateway, &id).await.is_empty())
            .await;
        let booked = booked(&gateway, &id).await;
        assert_eq!(
            (booked[0].0.as_str(), booked[0].1),
            (kind, 1),
            "{policy}: {booked:?}"
        );
        if policy == "drain" {
            let billed = &gateway.simulator.invocations()[0];
            let tokens = |part: &str, name: &str| billed[part][name].as_i64().unwrap();
            let cost = tokens("input", "inputTokenCount") * 2000
                + tokens("output", "outputTokenCount") * 10_000;
            assert_eq!(nano(&booked[0].2), cost, "as on the bill");
        }
    }
}

#[tokio::test]
async fn a_whole_call_is_finished_for_a_client_that_leaves() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("priced", user("[simulate slow 100ms]"));
    let gone = tokio::time::timeout(
        std::time::Duration::from_millis(30),
        gateway.as_key(&secret, &request),
    )
    .await;
    assert!(gone.is_err(), "the client has left");
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    assert_eq!(
        booked(&gateway, &id).await[0],
        ("actual".to_owned(), 1, "0.000056".to_owned())
    );
}

#[tokio::test]
async fn a_lost_request_is_made_again_only_if_there_is_money_for_both() {
    let refusal = || {
        let mut scripted = lintel::simulator::Scripted::json(500, r#"{"message":"no"}"#);
        scripted
            .headers
            .push(("x-amzn-errortype".into(), "InternalServerException".into()));
        scripted
    };
    for (usd, requests) in [(1.0, 2), (0.0025, 1)] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let (id, secret) = key(&gateway, budget(usd)).await;
        gateway.simulator.script(refusal());
        let reply = gateway.as_key(&secret, &of("again2", user("Hi"))).await;
        assert_eq!(
            gateway.simulator.received().len(),
            requests,
            "{}",
            reply.text()
        );
        let booked = booked(&gateway, &id).await;
        assert_eq!(booked[0].0, "presumed", "the lost one may be on the bill");
        assert!(nano(&booked[0].2) <= nano(&format!("{usd}")), "{booked:?}");
    }
}

#[tokio::test]
async fn what_its_siblings_have_said_is_paid_for_when_one_fails() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut scripted = lintel::simulator::Scripted::json(429, r#"{"message":"no"}"#);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), "ThrottlingException".into()));
    let mut request = of("priced", user("Hi"));
    request["n"] = 3.into();
    // The failure comes last: the others have answered.
    gateway.simulator.script(scripted);
    assert_eq!(
        gateway.as_key(&secret, &request).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let billed = gateway.simulator.invocations().len() as i64;
    let (_, _, cost) = booked(&gateway, &id).await.remove(0);
    assert!(
        nano(&cost) >= billed * nano("0.000032"),
        "{cost} for {billed}"
    );
}

#[tokio::test]
async fn reasoning_that_is_put_back_is_set_aside_for() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut own = budget(100.0);
    own["models"] = json!(["*"]);
    let (knows, secret) = key(&gateway, own.clone()).await;
    let mut request = json!({"model": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [{"role": "user", "content": "Use f"}]});
    let answer = gateway.as_key(&secret, &request).await.json();
    let message = &answer["choices"][0]["message"];
    let call = &message["tool_calls"][0];
    assert!(
        message["thinking_blocks"].is_array() && call.is_object(),
        "{answer}"
    );
    // A plain client drops the reasoning; the gateway puts it back for the key that has seen it.
    request["messages"] = json!([{"role": "user", "content": "Use f"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "1"}, {"role": "user", "content": "[simulate stall]"}]);
    request["stream"] = true.into();
    let (stranger, other) = key(&gateway, own).await;
    let open = [
        gateway.open_as(&secret, &request).await,
        gateway.open_as(&other, &request).await,
    ];
    assert!(open.iter().all(|open| open.status() == StatusCode::OK));
    let (with, without) = (
        standing(&gateway, &knows).await.1,
        standing(&gateway, &stranger).await.1,
    );
    assert!(
        nano(&with) > nano(&without),
        "{with} is more than {without}"
    );
}

/// 500 calls of random cost, whole and streamed, some of clients that leave, some that fail, race for a budget that fits
/// a tenth of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_cent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let limit = 0.06;
    let (id, secret) = key(&gateway, json!({"budget": {"usd": limit, "per": "day"}})).await;
    let request = |nth: usize| {
        let words = 20 + nth * 7 % 75;
        let mut request = of(
            "priced",
            user(&format!("[simulate words {words}] [simulate pace 1ms]")),
        );
        request["max_tokens"] = 100.into();
        request["stream"] = nth.is_multiple_of(2).into();
        match nth % 50 {
            7 => request["messages"][0]["content"] = "[simulate throttle]".into(),
            9 => request["messages"][0]["content"] = "[simulate unavailable]".into(),
            _ => {}
        }
        request
    };
    let calls = (0..500).map(async |nth| {
        let request = request(nth);
        // Refused calls come again until the budget says that waiting is pointless.
        loop {
            if nth.is_multiple_of(10) {
                let open = gateway.open_as(&secret, &request).await;
                if open.status() == StatusCode::OK {
                    drop(open);
                    return StatusCode::OK;
                }
            }
            let reply = gateway.as_key(&secret, &request).await;
            if reply.status != StatusCode::TOO_MANY_REQUESTS
                || reply.header("x-should-retry") == Some("false")
            {
                return reply.status;
            }
            if reply.header("retry-after-ms") != Some("500") {
                return reply.status;
            }
            tokio::task::yield_now().await;
        }
    });
    let statuses = join_all(calls).await;
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let (settled, _) = standing(&gateway, &id).await;
    let booked = booked(&gateway, &id).await;
    assert!(
        booked.iter().all(|(kind, ..)| kind == "actual"),
        "everything was read to its end: {booked:?}"
    );
    assert!(
        nano(&settled) <= nano("0.06"),
        "never more than the limit: {settled}"
    );
    // The largest call may need all of its hold: what is left below that cannot be used.
    let largest = nano("0.0015");
    assert!(
        nano(&settled) * 100 >= (nano("0.06") - largest) * 95,
        "at least 95 % was used: {settled}"
    );
    let billed: i64 = gateway
        .simulator
        .invocations()
        .iter()
        .map(|line| {
            line["input"]["inputTokenCount"].as_i64().unwrap() * 2000
                + line["output"]["outputTokenCount"].as_i64().unwrap() * 10_000
        })
        .sum();
    assert_eq!(nano(&settled), billed, "to the nano-dollar");
    assert_eq!(
        booked.iter().map(|(_, _, cost)| nano(cost)).sum::<i64>(),
        billed
    );
    let admitted = statuses
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    assert!(admitted > 20 && admitted < 250, "{admitted} were admitted");
}
