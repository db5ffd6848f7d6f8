//! Settlements: every call is settled exactly once, however it ends, and no budget is exceeded.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio::{sync::Notify, time::timeout};

use crate::support::{
    Gateway,
    money::{SETTINGS, booked, budget, key, nano, of, standing},
    streamed, user,
};

#[tokio::test]
async fn a_call_is_settled_once_however_it_ends() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (text, stream, kind, cost) in [
        // "You said: …": three tokens and those of the text.
        ("Hi", false, "actual", "0.000032"),
        ("Hi", true, "actual", "0.000032"),
        // Bedrock rejects it, so it is free.
        ("[simulate throttle]", false, "actual", "0"),
        ("[simulate access-denied]", true, "actual", "0"),
        (
            "[simulate first-exception throttlingException]",
            true,
            "actual",
            "0",
        ),
        // The outcome is unknown, so the whole hold counts.
        ("[simulate internal]", false, "presumed", ""),
        ("[simulate reset]", false, "presumed", ""),
        // The stream is counted up to the failure.
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
            "{text}: ledger and balance agree"
        );
        if cost.is_empty() {
            assert!(nano(&booked[0].2) > 0, "{text}: never free");
        } else {
            assert_eq!(booked[0].2, cost, "{text}");
        }
    }
}

#[tokio::test]
async fn input_without_reported_usage_costs_its_whole_reservation() {
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
    // The input has at most one token per byte, at 2000 nano-dollars each. Four bytes per token would be an estimate.
    assert!(
        kind == "estimated" && nano(&cost) >= text.len() as i64 * 2000,
        "{kind} {cost}"
    );
}

#[tokio::test]
async fn a_stream_is_drained_or_canceled_when_the_client_disconnects() {
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
            assert_eq!(nano(&booked[0].2), cost, "equals the bill");
        }
    }
}

#[tokio::test]
async fn a_whole_call_finishes_after_the_client_disconnects() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("priced", user("[simulate slow 100ms]"));
    // The client disconnects before its answer.
    tokio::select! {
        reply = gateway.as_key(&secret, &request) => panic!("{}", reply.text()),
        () = gateway.until(async || !gateway.simulator.received().is_empty()) => {}
    }
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    assert_eq!(
        booked(&gateway, &id).await[0],
        ("actual".to_owned(), 1, "0.000056".to_owned())
    );
}

/// The wait for the answer and the rest of its stream took a permit each, so the stream was cut and booked as estimated.
#[tokio::test]
async fn stream_that_outlives_its_client_needs_one_permit() {
    let gateway = Gateway::start_with(&format!("max_in_flight = 1\n{SETTINGS}")).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("priced", streamed("[simulate slow 100ms]"));
    // The client disconnects before its answer.
    tokio::select! {
        reply = gateway.as_key(&secret, &request) => panic!("{}", reply.text()),
        () = gateway.until(async || !gateway.simulator.received().is_empty()) => {}
    }
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    assert_eq!(booked(&gateway, &id).await[0].0, "actual");
}

#[tokio::test]
async fn a_request_that_may_be_billed_is_retried_only_if_the_budget_covers_both() {
    let refusal = || {
        let mut scripted = lintel::simulator::ScriptedReply::json(500, r#"{"message":"no"}"#);
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
        assert_eq!(
            booked[0].0, "presumed",
            "the failed request may be on the bill"
        );
        assert!(nano(&booked[0].2) <= nano(&format!("{usd}")), "{booked:?}");
    }
}

#[tokio::test]
async fn choices_that_succeeded_are_settled_when_another_fails() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut scripted = lintel::simulator::ScriptedReply::json(429, r#"{"message":"no"}"#);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), "ThrottlingException".into()));
    let mut request = of("priced", user("Hi"));
    request["n"] = 3.into();
    // One of the three requests fails. The others may have answered.
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
async fn replayed_reasoning_is_part_of_the_reservation() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut own = budget(100.0);
    own["raw"] = json!(true);
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
    // The client drops the reasoning. The gateway adds it again for the key that received it.
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
        "{with} must be more than {without}"
    );
}

/// Bedrock's report of 2^62 tokens cost $9 million, so that the budget admitted nothing more.
#[tokio::test]
async fn count_that_no_request_can_have_is_estimated_instead() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let reply = json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 1i64 << 62, "outputTokens": 1, "totalTokens": 1}, "metrics": {"latencyMs": 1}});
    let scripted = lintel::simulator::ScriptedReply::json(200, reply.to_string());
    gateway.simulator.script(scripted);
    gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    let booked = booked(&gateway, &id).await;
    assert_eq!(booked[0].0, "estimated", "{booked:?}");
    assert!(nano(&booked[0].2) < nano("0.01"), "{booked:?}");
    let next = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    assert_eq!(next.status, StatusCode::OK);
}

/// 100 whole and streamed calls of different cost race for a budget that fits a third of them. Some clients disconnect,
/// and some calls fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_calls_use_a_budget_up_and_never_exceed_it() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let limit = 0.03;
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
    let ended = Notify::new();
    let call = async |nth: usize| {
        let request = request(nth);
        // A rejected call is retried until the budget says that a retry is pointless.
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
            // Tries again when another call has ended. One that was dropped is read in the background, so its end is not
            // seen here.
            let _ = timeout(Duration::from_millis(250), ended.notified()).await;
        }
    };
    let calls = async |nth: usize| {
        let status = call(nth).await;
        ended.notify_waiters();
        status
    };
    let calls = stream::iter(0..100).map(calls).buffer_unordered(100);
    let statuses: Vec<StatusCode> = calls.collect().await;
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let (settled, _) = standing(&gateway, &id).await;
    let booked = booked(&gateway, &id).await;
    assert!(
        booked.iter().all(|(kind, ..)| kind == "actual"),
        "every call was read to its end: {booked:?}"
    );
    assert!(
        nano(&settled) <= nano("0.03"),
        "the limit is not exceeded: {settled}"
    );
    // A remainder smaller than the hold of the largest call may stay unused.
    let largest = nano("0.0015");
    assert!(
        nano(&settled) * 100 >= (nano("0.03") - largest) * 95,
        "at least 95 % is used: {settled}"
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
    assert_eq!(
        nano(&settled),
        billed,
        "settled and billed cost are equal to the nano-dollar"
    );
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
