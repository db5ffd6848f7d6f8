//! Answers whose stream breaks after its first token are continued, if the operator allows it.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event, encode_exception};
use serde_json::{Value, json};

use crate::support::{
    KEY, Reply,
    endpoints::MESSAGES,
    money::{booked, budget, key, nano, standing},
    regions::{Regions, ask},
};

const SETTINGS: &str = r#"
    [models.resumed]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    max_tokens = 100
    resume = true
    [models.counted]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    max_tokens = 100
    resume = true
    [models.alone]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    max_tokens = 100
    idle_timeout = "500ms"
    resume = true
    [models.invoked]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    api = "invoke"
    max_tokens = 100
    resume = true
    [models.plain]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    max_tokens = 100
    [models.dear]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    price = { input = 1000.0, output = 1000.0 }
    max_tokens = 100
    resume = true
"#;

const PROMPT: &str = "Hello there, world";
const ANSWER: &str = "You said: Hello there, world";

fn streamed(model: &str) -> Value {
    let mut request = ask(model, PROMPT);
    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true, "include_warnings": true});
    request
}

/// The events of an answer up to `text`.
fn begun(text: &str) -> Vec<Bytes> {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}});
    vec![
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event("contentBlockDelta", &delta.to_string()),
    ]
}

/// A stream that breaks after `text`.
fn broken(text: &str) -> ScriptedReply {
    ScriptedReply::stream(begun(text))
}

fn body(regions: &lintel::simulator::Simulator, at: usize) -> Value {
    serde_json::from_slice(&regions.received()[at].body).unwrap()
}

/// The last chunk of a stream of chat completions, which reports usage and warnings.
fn last(reply: &Reply) -> Value {
    let events = reply.events();
    assert_eq!(events.last(), Some(&"[DONE]"), "{}", reply.text());
    serde_json::from_str(events[events.len() - 2]).unwrap()
}

#[tokio::test]
async fn broken_answer_is_continued_in_another_region_without_a_seam() {
    let regions = Regions::start(SETTINGS).await;
    // The model does not see white space at the end, and writes it again.
    for (nth, text) in [
        "You said: Hello",
        "Y",
        "You said: ",
        "You said: Hello there, world",
    ]
    .iter()
    .enumerate()
    {
        regions.east.script(broken(text));
        let reply = regions.gateway.chat(&streamed("counted")).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.content(), ANSWER, "{}", reply.text());
        assert_eq!(regions.received(), [nth + 1, nth + 1, 0]);
        let sent = body(&regions.west, nth);
        let messages = sent["messages"].as_array().unwrap();
        let expected = json!({"role": "assistant", "content": [{"text": text.trim_end()}]});
        assert_eq!(messages.last(), Some(&expected));
        let most = |sent: &Value| sent["inferenceConfig"]["maxTokens"].as_u64().unwrap();
        assert!(most(&sent) < most(&body(&regions.east, nth)), "{sent}");
        let last = last(&reply);
        let warnings = last["x_lintel_warnings"].to_string();
        let expected = "attempts: us-west-2 continued the answer whose stream from us-east-1 broke (after 'upstream_truncated')";
        assert!(warnings.contains(expected), "{warnings}");
        assert!(reply.text().contains(r#""finish_reason":"stop""#));
    }
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    let series = "lintel_resumed_streams_total{model=\"counted\",outcome=\"resumed\"} 4";
    assert!(metrics.contains(series), "{metrics}");
}

#[tokio::test]
async fn answer_is_continued_after_any_break_that_another_region_may_not_have() {
    let regions = Regions::start(SETTINGS).await;
    let exception = |name| encode_exception(name, r#"{"message":"no"}"#);
    let mut damaged = encode_event("contentBlockStop", r#"{"contentBlockIndex":0}"#).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let half = encode_event("messageStop", r#"{"stopReason":"end_turn"}"#).slice(..20);
    for end in [
        exception("throttlingException"),
        exception("internalServerException"),
        exception("serviceUnavailableException"),
        exception("modelStreamErrorException"),
        damaged.into(),
        half,
    ] {
        let mut events = begun("You said: Hello");
        events.push(end.clone());
        regions.east.script(ScriptedReply::stream(events));
        let reply = regions.gateway.chat(&streamed("resumed")).await;
        assert_eq!(reply.content(), ANSWER, "{end:?}: {}", reply.text());
        last(&reply);
    }
    // The request itself is at fault.
    let mut events = begun("You said: Hello");
    events.push(exception("validationException"));
    regions.east.script(ScriptedReply::stream(events));
    let before = regions.received();
    let reply = regions.gateway.chat(&streamed("resumed")).await;
    assert!(!reply.text().contains("[DONE]"), "{}", reply.text());
    assert_eq!(regions.received()[1], before[1]);
}

#[tokio::test]
async fn stream_that_stalls_is_continued() {
    let regions = Regions::start(SETTINGS).await;
    let mut request = streamed("alone");
    request["messages"][0]["content"] = "[simulate words 9] [simulate stall]".into();
    let reply = regions.gateway.chat(&request).await;
    // Each stream stalls, and two of them continue the answer.
    assert_eq!(regions.received(), [3, 0, 0]);
    assert!(reply.text().contains("upstream_idle"), "{}", reply.text());
    assert!(!reply.text().contains("[DONE]"));
    let bodies = regions.gateway.bodies();
    let text = |nth: usize| {
        bodies[nth]["messages"][1]["content"][0]["text"]
            .as_str()
            .unwrap()
    };
    assert!(text(2).starts_with(text(1)) && text(2).len() > text(1).len());
    let words = ["word"; 9].join(" ");
    let given = reply.content();
    assert!(
        words.starts_with(&given) && given.starts_with(text(2)),
        "{given}"
    );
}

#[tokio::test]
async fn responses_messages_and_invoke_model_continue_an_answer() {
    let regions = Regions::start(SETTINGS).await;
    let response = json!({"model": "resumed", "input": PROMPT, "stream": true});
    let message = json!({"model": "resumed", "max_tokens": 50, "stream": true, "messages": [{"role": "user", "content": PROMPT}]});
    for (path, request, end) in [
        ("/v1/responses", response, "response.completed"),
        (MESSAGES, message, "message_stop"),
    ] {
        regions.east.script(broken("You said: Hello "));
        let reply = regions.gateway.ask(path, KEY, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let mut text = String::new();
        let mut ended = false;
        for line in reply.text().lines() {
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let event: Value = serde_json::from_str(data).unwrap();
            let delta = event["delta"].as_str().or(event["delta"]["text"].as_str());
            text.push_str(delta.unwrap_or_default());
            ended |= event["type"] == end;
        }
        assert_eq!((text.as_str(), ended), (ANSWER, true), "{}", reply.text());
    }
    let chunk = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "You said: Hello"}});
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 5, "output_tokens": 1}}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let encoded = [start, block, chunk].map(|event| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let bytes = STANDARD.encode(event.to_string());
        encode_event("chunk", &json!({"bytes": bytes}).to_string())
    });
    regions.east.script(ScriptedReply::stream(encoded.to_vec()));
    let reply = regions.gateway.chat(&streamed("invoked")).await;
    assert_eq!(reply.content(), ANSWER, "{}", reply.text());
    let sent = body(&regions.west, 2);
    assert_eq!(sent["messages"][1]["content"][0]["text"], "You said: Hello");
}

#[tokio::test]
async fn turn_that_the_client_has_begun_is_continued() {
    let regions = Regions::start(SETTINGS).await;
    let mut request = streamed("resumed");
    let turn = json!({"role": "assistant", "content": "You said: "});
    request["messages"].as_array_mut().unwrap().push(turn);
    regions.east.script(broken(" Hello"));
    let reply = regions.gateway.chat(&request).await;
    assert_eq!(reply.content(), " Hello there, world", "{}", reply.text());
    let sent = body(&regions.west, 0);
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{"text": "You said: Hello"}])
    );
}

#[tokio::test]
async fn answer_that_must_not_be_continued_breaks_as_before() {
    let regions = Regions::start(SETTINGS).await;
    let with = |members: Value| {
        let mut request = streamed("resumed");
        let own = members.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(own);
        request
    };
    let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let file = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGVsbG8="}});
    for request in [
        streamed("plain"),
        with(json!({"response_format": {"type": "json_object"}})),
        with(json!({"reasoning_effort": "low", "max_tokens": 5000})),
        with(json!({"bedrock": {"guardrail": {"identifier": "guard1234567", "version": "1"}}})),
        with(json!({"tools": tool, "tool_choice": "required"})),
        with(
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, file]}]}),
        ),
        // They are not read, and may bound the answer.
        with(json!({"bedrock": {"additional_model_request_fields": {"top_k": 5}}})),
        // The text may be the beginning of a stop sequence.
        with(json!({"stop": ["lower"]})),
        // As much as the client wants.
        with(json!({"max_tokens": 1})),
    ] {
        regions.east.script(broken("You said: Hel"));
        let before = regions.received();
        let reply = regions.gateway.chat(&request).await;
        assert!(
            reply.text().contains("upstream_truncated"),
            "{request}: {}",
            reply.text()
        );
        assert!(!reply.text().contains("[DONE]"));
        assert_eq!(
            regions.received(),
            [before[0] + 1, before[1], 0],
            "{request}"
        );
    }
    // A tool call has begun.
    let mut events = begun("You said: Hel");
    let start =
        json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "look"}}});
    events.push(encode_event(
        "contentBlockStop",
        r#"{"contentBlockIndex":0}"#,
    ));
    events.push(encode_event("contentBlockStart", &start.to_string()));
    regions.east.script(ScriptedReply::stream(events));
    let reply = regions.gateway.chat(&with(json!({"tools": tool}))).await;
    assert!(
        reply.text().contains("upstream_truncated"),
        "{}",
        reply.text()
    );
    assert_eq!(regions.received()[1], 0);
}

/// Both requests are billed, so both must fit into the budget.
#[tokio::test]
async fn answer_is_continued_only_if_the_budget_covers_both_requests() {
    let regions = Regions::start(SETTINGS).await;
    for (usd, is_continued) in [(0.75, false), (10.0, true)] {
        let (id, secret) = key(&regions.gateway, budget(usd)).await;
        regions.east.script(broken("You said: Hello"));
        let before = regions.received();
        let reply = regions.gateway.as_key(&secret, &streamed("dear")).await;
        assert_eq!(reply.status, StatusCode::OK, "{usd}: {}", reply.text());
        let sent = regions.received()[1] - before[1];
        assert_eq!(sent == 1, is_continued, "{usd}: {}", reply.text());
        let settled = async || standing(&regions.gateway, &id).await.1 == "0";
        regions.gateway.until(settled).await;
        let rows = booked(&regions.gateway, &id).await;
        assert_eq!(
            (rows.len(), rows[0].0.as_str(), rows[0].1),
            (1, "estimated", 1),
            "{rows:?}"
        );
        let spent = nano(&rows[0].2);
        assert!(spent > 0 && spent <= nano(&usd.to_string()), "{rows:?}");
        if is_continued {
            let usage = &last(&reply)["usage"];
            let told = usage["cost"].to_string();
            assert_eq!(
                nano(&told),
                spent,
                "the client sees what is charged: {usage}"
            );
            let bill = regions.west.invocations();
            let input = bill[0]["input"]["inputTokenCount"].as_u64().unwrap();
            assert!(usage["prompt_tokens"].as_u64().unwrap() > input, "{usage}");
        }
    }
}

/// Each of three streams breaks, and the second and third may have to be paid for with the answer in their input.
#[tokio::test]
async fn no_bill_of_broken_continuations_exceeds_the_reservation() {
    let regions = Regions::start(SETTINGS).await;
    let (id, secret) = key(&regions.gateway, budget(10.0)).await;
    let mut request = streamed("dear");
    request["messages"][0]["content"] = "[simulate words 20] [simulate cut]".into();
    let reply = regions.gateway.as_key(&secret, &request).await;
    assert!(
        reply.text().contains("upstream_truncated"),
        "{}",
        reply.text()
    );
    assert_eq!(regions.received().iter().sum::<usize>(), 3);
    let settled = async || standing(&regions.gateway, &id).await.1 == "0";
    regions.gateway.until(settled).await;
    let rows = booked(&regions.gateway, &id).await;
    let count = |line: &Value, part: &str, name: &str| line[part][name].as_i64().unwrap_or(0);
    let bills = [&regions.east, &regions.west].map(|region| region.invocations());
    let bill: i64 = bills
        .iter()
        .flatten()
        .map(|line| {
            count(line, "input", "inputTokenCount") + count(line, "output", "outputTokenCount")
        })
        .sum();
    // A token costs a thousandth of a dollar.
    assert!(nano(&rows[0].2) >= bill * 1_000_000, "{rows:?}: {bill}");
}
