//! `POST /v1/completions`: text completions, whole.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    ANY_KEY, Gateway,
    endpoints::{COMPLETIONS, EMBEDDINGS},
    log::Log,
    money::{SETTINGS, booked, budget, key, nano, standing},
};

mod stream;

fn prompt(prompt: impl Into<Value>) -> Value {
    json!({"model": "claude", "prompt": prompt.into()})
}

#[tokio::test]
async fn a_prompt_is_answered_in_openais_shape() {
    let gateway = Gateway::start().await;
    let reply = gateway.complete(&prompt("one two three")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let completion = reply.json();
    assert_eq!(
        completion.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["id", "object", "created", "model", "choices", "usage"]
    );
    assert!(completion["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(completion["object"], "text_completion");
    assert_eq!(completion["model"], "claude");
    assert_eq!(
        completion["choices"],
        json!([{"text": "You said: one two three", "index": 0, "logprobs": null, "finish_reason": "stop"}])
    );
    let (input, output) = gateway.billed();
    assert_eq!(completion["usage"]["prompt_tokens"], input);
    assert_eq!(completion["usage"]["completion_tokens"], output);
    assert_eq!(completion["usage"]["total_tokens"], input + output);
    assert_eq!(reply.header("x-lintel-route"), Some("converse"));
    assert_eq!(reply.header("x-lintel-attempts"), Some("1"));
    let sent = &gateway.bodies()[0];
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": [{"text": "one two three"}]}])
    );
}

#[tokio::test]
async fn several_prompts_and_n_are_choices_in_the_order_of_the_prompts() {
    let gateway = Gateway::start().await;
    // The first prompt is answered last.
    let mut request = prompt(json!(["a [simulate slow 50ms]", "b", "c"]));
    request["n"] = 2.into();
    let reply = gateway.complete(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let completion = reply.json();
    let choices: Vec<(u64, &str)> = completion["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            (
                choice["index"].as_u64().unwrap(),
                choice["text"].as_str().unwrap(),
            )
        })
        .collect();
    let slow = "You said: a [simulate slow 50ms]";
    assert_eq!(
        choices,
        [
            (0, slow),
            (1, slow),
            (2, "You said: b"),
            (3, "You said: b"),
            (4, "You said: c"),
            (5, "You said: c")
        ]
    );
    let (input, output) = gateway.billed();
    assert_eq!(completion["usage"]["prompt_tokens"], input);
    assert_eq!(completion["usage"]["completion_tokens"], output);
    assert_eq!(reply.header("x-lintel-attempts"), Some("6"));
    let single = gateway.complete(&prompt(json!(["a"]))).await.json();
    assert_eq!(single["choices"][0]["text"], "You said: a");
}

#[tokio::test]
async fn max_tokens_and_stop_reach_the_model() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = json!({"model": "priced", "prompt": "[simulate words 50]", "max_tokens": 7});
    let limited = gateway.complete(&request).await.json();
    assert_eq!(limited["choices"][0]["finish_reason"], "length");
    assert_eq!(limited["usage"]["completion_tokens"], 7);
    assert_eq!(
        gateway.bodies()[0]["inferenceConfig"]["maxTokens"],
        7,
        "the model knows the limit"
    );
    request = json!({"model": "priced", "prompt": "one two three four", "stop": ["three"]});
    let stopped = gateway.complete(&request).await.json();
    assert_eq!(stopped["choices"][0]["text"], "You said: one two ");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        gateway.bodies()[1]["inferenceConfig"]["stopSequences"],
        json!(["three"])
    );
    request["stop"] = "two".into();
    let stopped = gateway.complete(&request).await.json();
    assert_eq!(stopped["choices"][0]["text"], "You said: one ");
    let mut sampled = json!({"model": "priced", "prompt": "Hi", "temperature": 0.25, "top_p": 0.5});
    gateway.complete(&sampled).await;
    let sent = &gateway.bodies()[3]["inferenceConfig"];
    assert_eq!(
        (&sent["temperature"], &sent["topP"]),
        (&json!(0.25), &json!(0.5))
    );
    sampled["seed"] = 7.into();
    let reply = gateway.complete(&sampled).await;
    let warnings = reply.header("x-lintel-warnings").expect("a warning");
    assert!(warnings.contains("seed: ignored"), "{warnings}");
}

#[tokio::test]
async fn what_cannot_be_honored_is_a_400_that_names_the_member() {
    let gateway = Gateway::start().await;
    let one = |member: &str, value: Value| {
        let mut request = prompt("Hi");
        request[member] = value;
        request
    };
    for (request, param) in [
        (one("suffix", json!("the end")), "suffix"),
        (one("best_of", json!(2)), "best_of"),
        (one("echo", json!(true)), "echo"),
        (one("logprobs", json!(0)), "logprobs"),
        (one("logprobs", json!(5)), "logprobs"),
        (one("logit_bias", json!({"50256": -100})), "logit_bias"),
        (one("prompt", json!([1, 2])), "prompt"),
        (one("prompt", json!([[1], [2]])), "prompt"),
        (one("prompt", json!([])), "prompt"),
        (one("prompt", json!("")), "prompt"),
        (one("prompt", json!(["a", " "])), "prompt[1]"),
        (one("prompt", json!(["a", {"b": 1}])), "prompt[1]"),
        (one("prompt", json!(7)), "prompt"),
        (one("prompt", Value::Null), "prompt"),
        (one("prompt", json!(vec!["a"; 129])), "prompt"),
        (one("n", json!(0)), "n"),
        (one("n", json!(129)), "n"),
        (one("n", json!("2")), "n"),
        (one("max_tokens", json!(0)), "max_tokens"),
        (one("max_tokens", json!(-1)), "max_tokens"),
        (one("temperature", json!(2.5)), "temperature"),
        (one("top_p", json!(-0.5)), "top_p"),
        (one("presence_penalty", json!(3)), "presence_penalty"),
        (one("frequency_penalty", json!(-3)), "frequency_penalty"),
        (one("stop", json!(["a", "b", "c", "d", "e"])), "stop"),
        (one("stop", json!([1])), "stop[0]"),
        (one("stream", json!("yes")), "stream"),
        (one("model", Value::Null), "model"),
        (json!({"model": "claude"}), "prompt"),
    ] {
        let shown: String = request.to_string().chars().take(90).collect();
        let reply = gateway.complete(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
        let error = reply.error();
        assert_eq!(error["param"], param, "{shown}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    let mut fewer = one("best_of", json!(1));
    fewer["n"] = 2.into();
    assert_eq!(gateway.complete(&fewer).await.error()["param"], "best_of");
    assert!(gateway.simulator.received().is_empty(), "nothing is sent");
    // What says nothing is no request.
    let harmless = json!({"model": "claude", "prompt": "Hi", "suffix": "", "best_of": 1, "echo": false,
        "logprobs": null, "logit_bias": {}, "n": 1, "user": "someone"});
    let reply = gateway.complete(&harmless).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-warnings"), None);
}

#[tokio::test]
async fn members_of_chats_only_are_warnings() {
    let gateway = Gateway::start().await;
    let mut request = prompt("Hi");
    request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let reply = gateway.complete(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").expect("warnings");
    assert!(warnings.contains("tools: ignored"), "{warnings}");
    assert!(gateway.bodies()[0]["toolConfig"].is_null());
    // Was lost with a warning.
    request["messages"] = json!([{"role": "user", "content": "Hi"}]);
    let reply = gateway.complete(&request).await;
    assert_eq!(reply.error()["param"], "messages");
}

#[tokio::test]
async fn errors_of_the_service_have_openais_shape() {
    let gateway = Gateway::start().await;
    for (fault, status) in [
        ("throttle", 429),
        ("validation", 400),
        ("internal", 502),
        ("unavailable", 503),
        ("too-long", 400),
    ] {
        for stream in [false, true] {
            let mut request = prompt(format!("[simulate {fault}]"));
            request["stream"] = stream.into();
            let reply = gateway.complete(&request).await;
            assert_eq!(reply.status.as_u16(), status, "{fault} {stream}");
            reply.error();
        }
    }
    // One of several prompts fails, and the request with it.
    let reply = gateway
        .complete(&prompt(json!(["a", "[simulate validation]"])))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    reply.error();
    let reply = gateway
        .ask(
            EMBEDDINGS,
            ANY_KEY,
            &json!({"model": "claude", "input": "a"}),
        )
        .await;
    assert_eq!(reply.error()["param"], "model");
}

#[tokio::test]
async fn budgets_and_the_ledger_book_a_completion_like_a_chat() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for stream in [false, true] {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let before = gateway.billed();
        let request =
            json!({"model": "priced", "prompt": ["one two", "three"], "n": 2, "stream": stream});
        let reply = gateway.ask(COMPLETIONS, &secret, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        gateway
            .until(async || !booked(&gateway, &id).await.is_empty())
            .await;
        let (input, output) = gateway.billed();
        let cost = (input - before.0) * 2000 + (output - before.1) * 10_000;
        assert!(cost > 0);
        let rows = booked(&gateway, &id).await;
        assert_eq!(
            (rows.len(), rows[0].0.as_str(), rows[0].1),
            (1, "actual", 1)
        );
        assert_eq!(nano(&rows[0].2), cost, "stream: {stream}");
        let (settled, reserved) = standing(&gateway, &id).await;
        assert_eq!((nano(&settled), reserved.as_str()), (cost, "0"));
        let page = gateway.page(&secret).await;
        assert_eq!(page["spend"][0]["input_tokens"], input - before.0);
        assert_eq!(page["spend"][0]["output_tokens"], output - before.1);
        if !stream {
            assert_eq!(reply.json()["usage"]["cost"], cost as f64 / 1e9);
            assert_eq!(nano(reply.header("x-lintel-cost-usd").unwrap()), cost);
        }
    }
}

#[tokio::test]
async fn a_budget_rejects_completions_before_anything_is_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // Each answer may cost a hundred tokens: one fits, two do not.
    for (prompts, n, admitted) in [
        (json!("Hi"), 1, true),
        (json!(["Hi", "Ho"]), 1, false),
        (json!("Hi"), 2, false),
    ] {
        let (id, secret) = key(&gateway, budget(0.002)).await;
        let before = gateway.simulator.received().len();
        let request = json!({"model": "priced", "prompt": prompts, "n": n});
        let reply = gateway.ask(COMPLETIONS, &secret, &request).await;
        let sent = gateway.simulator.received().len() - before;
        if admitted {
            assert_eq!((reply.status, sent), (StatusCode::OK, 1));
        } else {
            assert_eq!(reply.error()["code"], "insufficient_quota");
            assert_eq!(sent, 0, "nothing is sent");
            assert_eq!(standing(&gateway, &id).await.0, "0");
        }
    }
}

#[tokio::test]
async fn metrics_and_the_log_tell_completions_from_chats() {
    let log = Log::start();
    let gateway = Gateway::start_with(&SETTINGS.replace("models.priced", "models.texts")).await;
    let reply = gateway
        .complete(&json!({"model": "texts", "prompt": "a secret"}))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    gateway
        .until(async || log.requests(COMPLETIONS).len() == 1)
        .await;
    let line = log.requests(COMPLETIONS).remove(0);
    assert_eq!(
        (
            &line["model"],
            &line["status"],
            &line["ended"],
            &line["finish_reason"]
        ),
        (
            &json!("texts"),
            &json!(200),
            &json!("complete"),
            &json!("stop")
        )
    );
    assert_eq!(line["input_tokens"], gateway.billed().0);
    assert_eq!(line["output_tokens"], gateway.billed().1);
    assert!(!line.to_string().contains("secret"));
    let (_, metrics) = gateway.admin("/metrics").await;
    let has = |parts: &[&str]| {
        let mut lines = metrics.lines();
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(has(&[
        "lintel_http_requests_total",
        r#"route="/v1/completions""#,
        r#"status="200""#
    ]));
    assert!(has(&[
        "gen_ai_server_request_duration_seconds_count",
        r#"operation="chat""#,
        r#"request_model="texts""#
    ]));
}
