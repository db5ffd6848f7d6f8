//! Chats of all dialects, Responses and Messages among them, and embeddings that race for the last money of one budget.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use http::StatusCode;
use serde_json::{Value, json};

use crate::response_api::RESPONSES;
use crate::support::{
    Gateway, KEY, Reply,
    endpoints::{COMPLETIONS, EMBEDDINGS, MESSAGES},
    money::{SETTINGS, booked, budget, key, nano, standing},
};

const CHAT: &str = "/v1/chat/completions";

/// Tokens of `dear` cost 2000 nano-dollars, like those of the input of `priced`.
fn settings() -> String {
    format!(
        "{SETTINGS}\n[models.dear]\ntarget = \"amazon.titan-embed-text-v2:0\"\nprice = {{ input = 2.0, output = 0.0 }}"
    )
}

/// A request that may cost between 0.001 and 0.0015 dollars, and costs more than half of that.
fn request(nth: usize) -> (&'static str, Value) {
    let prompt = "[simulate words 100] [simulate pace 1ms]";
    let chat = |stream: bool| {
        json!({"model": "priced", "max_tokens": 100, "stream": stream,
               "messages": [{"role": "user", "content": prompt}]})
    };
    match nth % 7 {
        0 => (CHAT, chat(false)),
        1 => (CHAT, chat(true)),
        5 => (MESSAGES, chat(true)),
        6 => (
            RESPONSES,
            json!({"model": "priced", "max_output_tokens": 100, "stream": true, "input": prompt}),
        ),
        2 => (
            COMPLETIONS,
            json!({"model": "priced", "max_tokens": 100, "prompt": prompt}),
        ),
        // A token is at most a byte, and here it is two.
        3 => (
            EMBEDDINGS,
            json!({"model": "dear", "input": "a ".repeat(300)}),
        ),
        _ => (
            EMBEDDINGS,
            json!({"model": "dear", "input": ["a ".repeat(100), "b ".repeat(100), "c ".repeat(100)]}),
        ),
    }
}

/// Runs `calls` and checks all the while that no more is settled and reserved than `limit`.
async fn watched<T>(
    gateway: &Gateway,
    id: &str,
    limit: i64,
    calls: impl Future<Output = Vec<T>>,
) -> Vec<T> {
    let done = AtomicBool::new(false);
    let watch = async {
        let mut looks = 0;
        while !done.load(Ordering::Relaxed) {
            let (settled, reserved) = standing(gateway, id).await;
            let sum = nano(&settled) + nano(&reserved);
            assert!(sum <= limit, "{settled} and {reserved} exceed {limit}");
            looks += 1;
        }
        looks
    };
    let calls = async {
        let replies = calls.await;
        done.store(true, Ordering::Relaxed);
        replies
    };
    let (replies, looks) = join(calls, watch).await;
    assert!(looks > 0);
    replies
}

fn is_refused_by_the_budget(reply: &Reply) -> bool {
    if reply.status != StatusCode::TOO_MANY_REQUESTS {
        return false;
    }
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    message.contains("the budget 'key:")
}

/// The price of what Bedrock has billed since `before`.
fn bill(gateway: &Gateway, before: (i64, i64)) -> i64 {
    let (input, output) = gateway.billed();
    (input - before.0) * 2000 + (output - before.1) * 10_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_for_one_more_call_admits_one_of_many_that_race() {
    let gateway = Gateway::start_with(&settings()).await;
    for round in 0..8 {
        let before = gateway.billed();
        let (id, secret) = key(&gateway, budget(0.0015)).await;
        let calls = (0..30).map(async |nth| {
            let (path, body) = request(nth + round);
            gateway.ask(path, &secret, &body).await
        });
        let replies = watched(&gateway, &id, nano("0.0015"), join_all(calls)).await;
        let (admitted, refused): (Vec<&Reply>, Vec<&Reply>) = replies
            .iter()
            .partition(|reply| reply.status == StatusCode::OK);
        assert_eq!(admitted.len(), 1, "round {round}");
        assert!(refused.iter().all(|reply| is_refused_by_the_budget(reply)));
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        gateway
            .until(async || !booked(&gateway, &id).await.is_empty())
            .await;
        let bill = bill(&gateway, before);
        let (settled, _) = standing(&gateway, &id).await;
        assert_eq!(nano(&settled), bill, "round {round}");
        assert!((nano("0.0005")..=nano("0.0015")).contains(&bill), "{bill}");
        let rows = booked(&gateway, &id).await;
        assert_eq!(
            rows,
            [("actual".to_owned(), 1, settled)],
            "what was admitted is booked, and nothing else"
        );
    }
}

/// Some calls are rejected by Bedrock and cost nothing, some are lost and cost what they may have
/// cost, and some clients disconnect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_fail_in_a_race_neither_exceed_the_budget_nor_get_lost() {
    let gateway = Gateway::start_with(&settings()).await;
    for round in 0..4 {
        let limit = nano("0.004");
        let (id, secret) = key(&gateway, budget(0.004)).await;
        let before = gateway.billed();
        let calls = (0..60).map(async |nth| {
            let (path, mut body) = request(nth + round);
            let fault = ["throttle", "reset", "validation", "slow 5ms"][nth / 7 % 4];
            let text = format!("[simulate {fault}] {}", "a ".repeat(280));
            match path {
                CHAT | MESSAGES => body["messages"][0]["content"] = text.into(),
                COMPLETIONS => body["prompt"] = text.into(),
                RESPONSES => body["input"] = text.into(),
                _ if nth.is_multiple_of(2) => body["input"] = json!([text, "short", "texts"]),
                _ => body["input"] = text.into(),
            }
            gateway.ask(path, &secret, &body).await
        });
        let replies = watched(&gateway, &id, limit, join_all(calls)).await;
        let admitted = replies
            .iter()
            .filter(|reply| !is_refused_by_the_budget(reply))
            .count();
        assert!(admitted > 0, "round {round}");
        let rows = async || {
            let rows = booked(&gateway, &id).await;
            let requests: i64 = rows.iter().map(|row| row.1).sum();
            let cost: i64 = rows.iter().map(|row| nano(&row.2)).sum();
            (usize::try_from(requests).unwrap(), cost)
        };
        gateway.until(async || rows().await.0 >= admitted).await;
        let (requests, cost) = rows().await;
        assert_eq!(requests, admitted, "each admitted call has one record");
        let (settled, reserved) = standing(&gateway, &id).await;
        assert_eq!((nano(&settled), reserved.as_str()), (cost, "0"));
        assert!(cost <= limit, "{cost}");
        assert!(cost >= bill(&gateway, before), "no less than the bill");
    }
}

#[tokio::test]
async fn no_request_costs_more_than_the_worst_case_that_is_announced() {
    let gateway = Gateway::start_with(&settings()).await;
    let long = "\u{1F600}\u{7}\"é\" ".repeat(300);
    let words = "[simulate words 200]";
    let completion = |prompt: Value, n: u32| json!({"model": "priced", "max_tokens": 100, "prompt": prompt, "n": n});
    for (path, mut body) in [
        (COMPLETIONS, completion(json!(words), 1)),
        (COMPLETIONS, completion(json!(words), 3)),
        (COMPLETIONS, completion(json!([words, words, words]), 2)),
        (
            COMPLETIONS,
            completion(json!([long, "short", format!("{long} {words}")]), 2),
        ),
        (EMBEDDINGS, json!({"model": "dear", "input": long})),
        (
            EMBEDDINGS,
            json!({"model": "dear", "input": [long, "a", "b c", "d"]}),
        ),
        (EMBEDDINGS, json!({"model": "dear", "input": vec!["a"; 50]})),
    ] {
        // As long as any amount that follows, because the bytes of a request bound its tokens.
        body["max_cost_usd"] = json!(0.000_100_001);
        let error = gateway.ask(path, KEY, &body).await.error();
        let message = error["message"].as_str().unwrap().to_owned();
        let worst = message
            .strip_prefix("This request may cost $")
            .and_then(|rest| rest.split(',').next())
            .unwrap_or_else(|| panic!("{message}"));
        body["max_cost_usd"] = serde_json::from_str(worst).unwrap();
        let before = gateway.billed();
        let reply = gateway.ask(path, KEY, &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let cost = nano(reply.header("x-lintel-cost-usd").unwrap());
        assert_eq!(cost, bill(&gateway, before));
        assert!(cost <= nano(worst), "{cost} is more than {worst}");
    }
}
