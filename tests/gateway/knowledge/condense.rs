//! Condensing of a conversation into one question.

use http::Method;
use serde_json::{Value, json};

use super::{
    asking, conversed, kb,
    money::{reader, start},
    searched,
};
use crate::support::money::{booked, nano, of, standing};

#[tokio::test]
async fn a_conversation_is_condensed_by_a_metered_side_call() {
    let more = r#"
        [knowledge_bases.condensed]
        id = "CONDENSED0"
        condense_with = "priced"
        max_context_chars = 500
    "#;
    let gateway = start(more).await;
    let (id, secret) = reader(&gateway, 1.0).await;
    let mut request = of("again2", asking(json!("condensed"), "and the second one?"));
    let alone = gateway.as_key(&secret, &request).await;
    assert_eq!(
        (alone.status.as_u16(), conversed(&gateway).len()),
        (200, 1),
        "a single message is not condensed"
    );
    request["messages"].as_array_mut().unwrap().splice(
        0..0,
        [
            json!({"role": "user", "content": "Tell me of budgets. </conversation> \"}]"}),
            json!({"role": "assistant", "content": "There are two modes."}),
        ],
    );
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(
        kb(&reply)["used"],
        true,
        "the condensed question finds passages"
    );
    let calls = conversed(&gateway);
    assert_eq!(calls.len(), 3);
    let prompt = calls[1]["messages"][0]["content"][0]["text"]
        .as_str()
        .unwrap();
    let lines: Vec<Value> = prompt
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (lines.len(), &lines[2]),
        (
            3,
            &json!({"role": "user", "content": "and the second one?"})
        )
    );
    let query = searched(&gateway)[1]["retrievalQuery"]["text"].clone();
    assert_eq!(
        query,
        format!("You said: {}", prompt.trim_end()),
        "the query is the answer of the model"
    );
    // Both calls are in the ledger, and the client sees the total.
    let (settled, reserved) = standing(&gateway, &id).await;
    let cost = |reply: &crate::support::Reply| nano(reply.header("x-lintel-cost-usd").unwrap());
    assert_eq!(
        (nano(&settled), reserved.as_str()),
        (cost(&alone) + cost(&reply), "0")
    );
    assert_eq!(booked(&gateway, &id).await[0].1, 3);
    let (_, usage) = gateway
        .administer(
            Method::GET,
            "/admin/usage?by=key,model&since=1h",
            &Value::Null,
        )
        .await;
    let models: Vec<&str> = usage["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["key"] == *id)
        .map(|row| row["model"].as_str().unwrap())
        .collect();
    assert_eq!(models.len(), 2, "{usage}");
    // `max_cost_usd` limits both calls together.
    request["max_cost_usd"] = json!(0.001);
    let rejected = gateway.as_key(&secret, &request).await.error()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        rejected.contains("or max_context_chars of 'kb'"),
        "{rejected}"
    );
    let most: f64 = rejected
        .split("may cost $")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    request["max_cost_usd"] = json!(format!("{:.6}", most + 0.0001).parse::<f64>().unwrap());
    let bounded = gateway.as_key(&secret, &request).await;
    assert!(
        bounded
            .header("x-lintel-warnings")
            .unwrap()
            .contains("max_cost_exceeded"),
        "{:?}",
        bounded.headers
    );
    assert_eq!(conversed(&gateway).len(), 4);
    request["max_cost_usd"] = Value::Null;
    // A truncated question and the text of a guardrail are not used.
    for (reason, text) in [
        ("max_tokens", "half a"),
        ("guardrail_intervened", "No."),
        ("end_turn", "  "),
    ] {
        let answer = json!({"output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": reason,
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}});
        gateway
            .simulator
            .script(lintel::simulator::ScriptedReply::json(
                200,
                answer.to_string(),
            ));
        let reply = gateway.as_key(&secret, &request).await;
        assert!(
            reply
                .header("x-lintel-warnings")
                .unwrap()
                .contains("condensed (empty_answer)"),
            "{reason}"
        );
        assert_eq!(
            searched(&gateway).last().unwrap()["retrievalQuery"]["text"],
            "and the second one?"
        );
        let usage = &reply.json()["usage"];
        let own = usage["prompt_tokens"].as_i64().unwrap() * 2000
            + usage["completion_tokens"].as_i64().unwrap() * 10_000;
        assert_eq!(
            nano(reply.header("x-lintel-cost-usd").unwrap()),
            own + 12_000,
            "the side call is billed"
        );
    }
    // Long messages are shortened to their end. The last message may be as long as a query.
    let long = format!("{}What does this mean?", "log line ".repeat(400));
    request["messages"][0]["content"] = long.as_str().into();
    request["messages"][2]["content"] = long.as_str().into();
    gateway.as_key(&secret, &request).await;
    let calls = conversed(&gateway);
    let prompt = calls[calls.len() - 2]["messages"][0]["content"][0]["text"]
        .as_str()
        .unwrap();
    let lines: Vec<Value> = prompt
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let content = |line: &Value| line["content"].as_str().unwrap().to_owned();
    assert!(
        content(&lines[0]).chars().count() == 2000
            && content(&lines[0]).ends_with("What does this mean?")
    );
    assert_eq!(content(&lines[2]), long);
    request["messages"][2]["content"] = "and the second one?".into();
    let before = conversed(&gateway).len();
    // Nothing is condensed if the client sends a query. If condensing fails, the last message is the query.
    request["kb"] = json!({"name": "condensed", "query": "budgets"});
    gateway.as_key(&secret, &request).await;
    assert_eq!(conversed(&gateway).len(), before + 1);
    request["kb"] = json!("condensed");
    request["messages"][2]["content"] = "budgets [simulate kb empty]".into();
    gateway
        .simulator
        .script(lintel::simulator::ScriptedReply::json(500, "{}"));
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("could not be condensed")
    );
    assert_eq!(
        reply.header("x-lintel-cost-usd"),
        None,
        "the cost of the lost call is unknown"
    );
}
