//! `previous_response_id`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{after, check_kept, check_unknown, id, seen, with_tool};
use crate::{
    response_api::{HAIKU, asking, events, items_of, last_response, streamed, with},
    support::{ANY_KEY, Gateway},
};

#[tokio::test]
async fn chain_of_three_turns_sends_what_a_client_without_state_sends() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&with_tool("Please look".into())).await;
    let output = seen(&first);
    let second = gateway
        .answer(&after(&first, with_tool(json!([output]))))
        .await;
    assert_eq!(second["previous_response_id"], first["id"]);
    let third = gateway
        .answer(&after(&second, with_tool("And now?".into())))
        .await;
    assert_eq!(third["store"], true);
    let chained = gateway.last_conversation();
    let mut items = vec![json!({"role": "user", "content": "Please look"})];
    items.extend(first["output"].as_array().unwrap().iter().cloned());
    items.push(output);
    items.extend(second["output"].as_array().unwrap().iter().cloned());
    items.push(json!({"role": "user", "content": "And now?"}));
    let whole = gateway.answer(&with_tool(items.into())).await;
    assert_eq!(chained, gateway.last_conversation());
    assert_eq!(chained["messages"].as_array().unwrap().len(), 5);
    let tokens = |response: &Value| response["usage"]["input_tokens"].clone();
    assert_eq!(tokens(&third), tokens(&whole));
}

#[tokio::test]
async fn thinking_comes_back_in_its_place() {
    let gateway = Gateway::start().await;
    let mut request = with_tool("Please look".into());
    request["model"] = HAIKU.into();
    request["reasoning"] = json!({"effort": "low"});
    let reply = gateway.respond_any(&request).await;
    let first = reply.json();
    assert_eq!(items_of(&first, "reasoning").len(), 1, "{first}");
    request["input"] = json!([seen(&first)]);
    let reply = gateway.respond_any(&after(&first, request)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    check_kept(&reply);
    let sent = gateway.last_sent();
    let turn = &sent["messages"][1]["content"];
    assert!(turn[0]["reasoningContent"].is_object(), "{sent}");
}

#[tokio::test]
async fn stream_can_be_continued_as_soon_as_it_has_ended() {
    let gateway = Gateway::start().await;
    let mut last = json!(null);
    for turn in 0..20 {
        let request = streamed(asking(&format!("turn {turn}")));
        let request = match last.is_null() {
            true => request,
            false => after(&last, request),
        };
        let reply = gateway.respond(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let events = events(&reply);
        assert_eq!(events[0]["response"]["store"], true);
        last = last_response(&events);
        assert_eq!(last["status"], "completed");
        let stored = gateway.retrieve(id(&last)).await;
        assert_eq!(stored.json(), last);
    }
    let sent = gateway.last_sent();
    assert_eq!(sent["messages"].as_array().unwrap().len(), 39);
}

#[tokio::test]
async fn instructions_and_tools_are_not_inherited() {
    let gateway = Gateway::start().await;
    let first = with(with_tool("Hi".into()), "instructions", "Be brief.".into());
    let first = gateway.answer(&first).await;
    let second = after(&first, asking("And?"));
    gateway
        .answer(&with(second, "instructions", "Be long.".into()))
        .await;
    let sent = gateway.last_sent();
    assert_eq!(sent["system"], json!([{"text": "Be long."}]));
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
    assert_eq!(sent.get("toolConfig"), None, "{sent}");
}

#[tokio::test]
async fn two_responses_may_continue_the_same_one() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one")).await;
    for text in ["left", "right"] {
        let second = gateway.answer(&after(&first, asking(text))).await;
        gateway.answer(&after(&second, asking("on"))).await;
        let sent = gateway.last_sent().to_string();
        assert!(sent.contains(&format!("You said: {text}")), "{sent}");
        assert_eq!(sent.matches("You said").count(), 2, "{sent}");
    }
}

#[tokio::test]
async fn response_of_another_key_is_as_unknown_as_one_that_never_was() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one")).await;
    let request = after(&first, asking("two"));
    let theirs = gateway.respond_any(&request).await;
    check_unknown(&theirs);
    let unknown = with(asking("two"), "previous_response_id", "resp_1".into());
    let unknown = gateway.respond(&unknown).await;
    check_unknown(&unknown);
    assert_eq!(theirs.error(), unknown.error());
    for method in [Method::GET, Method::DELETE] {
        let reply = gateway.stored(method, ANY_KEY, id(&first)).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    gateway.answer(&request).await;
}

#[tokio::test]
async fn deleted_response_is_unknown_but_those_that_continue_it_keep_it() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one")).await;
    let second = gateway.answer(&after(&first, asking("two"))).await;
    let deleted = gateway
        .stored(Method::DELETE, crate::support::KEY, id(&first))
        .await;
    let expected = json!({"id": first["id"], "object": "response", "deleted": true});
    assert_eq!(deleted.json(), expected);
    check_unknown(&gateway.respond(&after(&first, asking("x"))).await);
    gateway.answer(&after(&second, asking("three"))).await;
    assert_eq!(gateway.last_sent()["messages"].as_array().unwrap().len(), 5);
}

/// The continuation was lost, although its client had received it.
#[tokio::test]
async fn continuation_of_a_response_that_is_deleted_meanwhile_is_stored_whole() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one")).await;
    let request = after(&first, asking("two [simulate slow 200ms]"));
    let delete = async {
        gateway
            .until(async || gateway.simulator.received().len() == 2)
            .await;
        gateway
            .stored(Method::DELETE, crate::support::KEY, id(&first))
            .await
    };
    let (second, deleted) = tokio::join!(gateway.answer(&request), delete);
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text());
    check_unknown(&gateway.respond(&after(&first, asking("x"))).await);
    let third = gateway.answer(&after(&second, asking("three"))).await;
    gateway.answer(&after(&third, asking("four"))).await;
    let sent = gateway.last_sent();
    assert_eq!(sent["messages"].as_array().unwrap().len(), 7, "{sent}");
    assert_eq!(sent["messages"][0]["content"][0]["text"], "one");
    assert_eq!(gateway.retrieve(id(&second)).await.json(), second);
}

#[tokio::test]
async fn failed_and_broken_responses_are_not_stored() {
    let gateway = Gateway::start().await;
    let broken = streamed(asking("one two three [simulate cut]"));
    let broken = last_response(&events(&gateway.respond(&broken).await));
    assert_eq!(broken["status"], "failed");
    let mut blocked = asking("Hi [simulate guardrail]");
    blocked["bedrock"] = json!({"guardrail": {"identifier": "abc123", "version": "1"}});
    let blocked = gateway.answer(&blocked).await;
    assert_eq!(blocked["status"], "failed");
    for response in [broken, blocked] {
        check_unknown(&gateway.respond(&after(&response, asking("x"))).await);
        let reply = gateway.retrieve(id(&response)).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn incomplete_response_can_be_continued() {
    let gateway = Gateway::start().await;
    let short = with(asking("one two three four"), "max_output_tokens", 3.into());
    let first = gateway.answer(&with(short, "model", "nova".into())).await;
    assert_eq!(first["status"], "incomplete");
    gateway.answer(&after(&first, asking("Go on"))).await;
}

#[tokio::test]
async fn response_that_the_client_does_not_want_stored_is_not() {
    let gateway = Gateway::start().await;
    let first = gateway
        .answer(&with(asking("one"), "store", false.into()))
        .await;
    assert_eq!(first["store"], false);
    check_unknown(&gateway.respond(&after(&first, asking("two"))).await);
    let off = Gateway::start_with("[responses]\nstore = false").await;
    let reply = off.respond(&asking("one")).await;
    assert_eq!(reply.json()["store"], false);
    assert_eq!(reply.header("x-lintel-warnings"), None);
    check_unknown(&off.respond(&after(&reply.json(), asking("two"))).await);
    let wanted = off
        .respond(&with(asking("one"), "store", true.into()))
        .await;
    assert_eq!(wanted.json()["store"], false);
    let warnings = wanted.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("store: ignored"), "{warnings}");
}

#[tokio::test]
async fn compaction_stands_for_the_chain_before_it() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("Fix the bug")).await;
    let trigger = with(asking(""), "input", json!([{"type": "compaction_trigger"}]));
    let second = gateway.answer(&after(&first, trigger)).await;
    assert_eq!(second["output"][0]["type"], "compaction", "{second}");
    let third = gateway.answer(&after(&second, asking("Go on"))).await;
    assert_eq!(third["output"][0]["type"], "message");
    let sent = gateway.last_sent()["messages"].to_string();
    assert!(sent.contains("Summary of the conversation"), "{sent}");
    assert!(!sent.contains("\"Fix the bug\""), "{sent}");
}

#[tokio::test]
async fn errors_count_the_items_that_the_client_sent() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one")).await;
    let bad = json!([{"role": "user", "content": "Hi"}, {"role": "critic", "content": "x"}]);
    let reply = gateway
        .respond(&after(&first, with(asking(""), "input", bad)))
        .await;
    assert_eq!(reply.error()["param"], "input[1].role", "{}", reply.text());
    let reply = gateway
        .respond(&after(&first, with(asking(""), "input", 5.into())))
        .await;
    assert_eq!(reply.error()["param"], "input", "{}", reply.text());
}

#[tokio::test]
async fn tokens_of_a_chain_are_counted() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("one two three four five")).await;
    let count = async |request: &Value| {
        let path = "/v1/responses/input_tokens";
        let reply = gateway.ask(path, crate::support::KEY, request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["input_tokens"].as_u64().unwrap()
    };
    let alone = count(&asking("six")).await;
    let chained = count(&after(&first, asking("six"))).await;
    assert!(chained >= alone + 5, "{alone} {chained}");
    let path = "/v1/responses/compact";
    let request = after(&first, asking("six"));
    let reply = gateway.ask(path, crate::support::KEY, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(gateway.last_sent().to_string().contains("one two three"));
}
