//! Faults of Bedrock in every dialect, whole and streamed. Names begin with the number of the row in docs/faults.md.

use bytes::Bytes;
use http::StatusCode;
use lintel::{
    simulator::{ScriptedReply, encode_event},
    upstream::{Frame, FrameReader, encode_frame},
};
use serde_json::{Value, json};

use crate::support::{
    Gateway, KEY, Reply,
    log::Log,
    money::{SETTINGS, budget, key, of},
    streamed, user,
};

/// The paths of all dialects of chats, with a streamed request for `strict`.
fn streams() -> [(&'static str, Value); 5] {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let blocks = json!([{"role": "user", "content": [{"text": "Hi"}]}]);
    [
        (
            "/v1/chat/completions",
            json!({"model": "strict", "stream": true, "messages": messages}),
        ),
        (
            "/v1/completions",
            json!({"model": "strict", "stream": true, "prompt": "Hi"}),
        ),
        (
            "/v1/responses",
            json!({"model": "strict", "stream": true, "input": "Hi"}),
        ),
        (
            "/v1/messages",
            json!({"model": "strict", "stream": true, "max_tokens": 50, "messages": messages}),
        ),
        ("/model/strict/converse-stream", json!({"messages": blocks})),
    ]
}

/// A frame of `:message-type` `error`, which services send for errors that their model does not have.
fn error_frame(code: &str) -> Bytes {
    let headers = [
        (":error-code", code),
        (":error-message", "Something went wrong."),
        (":message-type", "error"),
    ];
    encode_frame(&headers, b"")
}

fn exception(name: &str) -> Bytes {
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    encode_frame(&headers, br#"{"message":"Something went wrong."}"#)
}

fn text() -> [Bytes; 2] {
    let delta = r#"{"contentBlockIndex":0,"delta":{"text":"Hello"}}"#;
    [
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event("contentBlockDelta", delta),
    ]
}

/// Asserts that the stream of a dialect has a part of the answer, and ends with an error in its own form.
fn assert_breaks(path: &str, reply: &Reply, what: &str) {
    assert_eq!(reply.status, StatusCode::OK, "{path} {what}");
    if path.starts_with("/model/") {
        let mut reader = FrameReader::default();
        reader.push(reply.body.clone());
        let mut last = None;
        while let Some(frame) = reader.next_frame().unwrap() {
            last = Some(frame);
        }
        let is_exception = matches!(last, Some(Frame::Exception { .. }));
        assert!(is_exception, "{path} {what}: {last:?}");
        return;
    }
    let text = reply.text();
    assert!(text.contains("Hello"), "{path} {what}: {text}");
    assert!(!text.contains("[DONE]"), "{path} {what}: {text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let is_error = match path {
        "/v1/responses" => last.starts_with("event: response.failed\n"),
        "/v1/messages" => last.starts_with("event: error\n"),
        _ => last.starts_with("data: {\"error\":"),
    };
    assert!(is_error, "{path} {what}: {last}");
}

/// Asserts that the error has the form of the dialect.
fn assert_error(path: &str, reply: &Reply, status: u16, what: &str) {
    assert_eq!(
        reply.status.as_u16(),
        status,
        "{path} {what}: {}",
        reply.text()
    );
    let error = reply.json();
    match path {
        "/v1/messages" => assert_eq!(error["type"], "error", "{path} {what}"),
        _ if path.starts_with("/model/") => {
            assert!(error["message"].is_string(), "{path} {what}: {error}");
            let kind = reply.header("x-amzn-errortype").unwrap();
            assert!(kind.ends_with("Exception"), "{kind}");
        }
        _ => {
            reply.error();
        }
    }
}

/// What Bedrock sends, its name, and the status before the first token.
fn failures() -> [(Bytes, &'static str, u16); 8] {
    let throttled = ["ThrottlingException", "throttlingException"];
    let internal = ["InternalServerException", "internalServerException"];
    let unavailable = "serviceUnavailableException";
    [
        (error_frame(throttled[0]), "error frame, throttled", 429),
        (error_frame(internal[0]), "error frame, internal", 502),
        (error_frame("Novelty"), "error frame, unknown", 502),
        (exception(throttled[1]), "exception, throttled", 429),
        (exception(internal[1]), "exception, internal", 502),
        (exception(unavailable), "exception, unavailable", 503),
        (
            exception("modelStreamErrorException"),
            "exception, model",
            502,
        ),
        (
            exception("validationException"),
            "exception, validation",
            400,
        ),
    ]
}

#[tokio::test]
async fn row_49_exception_or_error_frame_before_the_first_token_sets_the_status_in_every_dialect() {
    let gateway = Gateway::start().await;
    for (path, request) in streams() {
        for (frame, what, status) in failures() {
            gateway.simulator.script(ScriptedReply::stream(vec![frame]));
            let reply = gateway.ask(path, KEY, &request).await;
            // The AWS SDK has a status of its own for each exception.
            let status = match (path.starts_with("/model/"), status) {
                (true, 502) if what.contains("model") => 424,
                (true, 502) => 500,
                _ => status,
            };
            assert_error(path, &reply, status, what);
        }
    }
}

#[tokio::test]
async fn row_49_exception_or_error_frame_in_a_stream_ends_it_with_an_error_in_every_dialect() {
    let gateway = Gateway::start().await;
    for (path, request) in streams() {
        for (frame, what, _) in failures() {
            let [start, delta] = text();
            let frames = vec![start, delta, frame];
            gateway.simulator.script(ScriptedReply::stream(frames));
            let reply = gateway.ask(path, KEY, &request).await;
            assert_breaks(path, &reply, what);
        }
    }
}

#[tokio::test]
async fn rows_46_and_47_cut_or_damaged_frame_ends_the_stream_with_an_error_in_every_dialect() {
    let gateway = Gateway::start().await;
    for (path, request) in streams() {
        let [start, delta] = text();
        let cut = delta.slice(..delta.len() - 5);
        let mut damaged = delta.to_vec();
        // The last byte of the payload.
        let at = damaged.len() - 5;
        damaged[at] ^= 1;
        for (frame, what) in [(cut, "cut"), (damaged.into(), "damaged")] {
            let frames = vec![start.clone(), delta.clone(), frame];
            gateway.simulator.script(ScriptedReply::stream(frames));
            let reply = gateway.ask(path, KEY, &request).await;
            assert_breaks(path, &reply, what);
        }
    }
}

/// A failure of the model itself has the status that the model gave. Its words may quote another tenant's data.
#[tokio::test]
async fn row_42_status_of_the_model_decides_and_its_words_are_only_logged() {
    let log = Log::start();
    let gateway = Gateway::start().await;
    for (original, status, code) in [
        (json!(400), 400, "model_error"),
        (json!(429), 429, "rate_limit_exceeded"),
        (json!(500), 502, "model_error"),
        (json!(null), 502, "model_error"),
    ] {
        let body = json!({"message": "The model failed.", "originalStatusCode": original,
                          "originalMessage": "the words of the model", "resourceName": "arn:aws:x"});
        let mut reply = ScriptedReply::json(424, body.to_string());
        let kind = "ModelErrorException".to_owned();
        reply.headers.push(("x-amzn-errortype".into(), kind));
        for request in [user("Hi"), streamed("Hi")] {
            gateway.simulator.script(reply.clone());
            let reply = gateway.chat(&request).await;
            assert_eq!(
                reply.status.as_u16(),
                status,
                "{original}: {}",
                reply.text()
            );
            assert_eq!(reply.error()["code"], code, "{original}");
            assert_eq!(reply.header("retry-after").is_some(), status == 429);
            assert!(!reply.text().contains("the words of"), "{}", reply.text());
            let lines = log.requests("/v1/chat/completions");
            let last = lines.last().unwrap().to_string();
            assert!(last.contains("the words of the model"), "{last}");
        }
    }
}

/// A quota of the account is none of the caller's budgets, and trying again in a second does not help.
#[tokio::test]
async fn row_42_quota_of_the_account_is_reported_as_such_in_every_dialect() {
    let log = Log::start();
    let gateway = Gateway::start().await;
    for (path, request) in streams() {
        let body = json!({"message": "Too many tokens per day."});
        let mut reply = ScriptedReply::json(400, body.to_string());
        let kind = "ServiceQuotaExceededException".to_owned();
        reply.headers.push(("x-amzn-errortype".into(), kind));
        gateway.simulator.script(reply);
        let reply = gateway.ask(path, KEY, &request).await;
        let status = if path.starts_with("/model/") {
            400
        } else {
            429
        };
        assert_error(path, &reply, status, "quota");
        assert!(!reply.text().contains("insufficient_quota"), "{path}");
    }
    let lines = log.requests("/v1/chat/completions");
    assert!(lines[0].to_string().contains("upstream_quota"), "{lines:?}");
}

#[tokio::test]
async fn row_78_key_that_expires_during_a_stream_finishes_it_and_starts_no_other() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut settings = budget(1.0);
    let soon = jiff::SignedDuration::from_secs(4);
    settings["expires"] = (jiff::Timestamp::now() + soon).to_string().into();
    let (_, secret) = key(&gateway, settings).await;
    let request = of(
        "priced",
        streamed("[simulate words 100] [simulate pace 60ms]"),
    );
    let open = gateway.open_as(&secret, &request).await;
    assert_eq!(open.status(), StatusCode::OK);
    let is_rejected = async || {
        let reply = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
        reply.status == StatusCode::UNAUTHORIZED
    };
    gateway.until(is_rejected).await;
    let body = http_body_util::BodyExt::collect(open.into_body());
    let body = tokio::time::timeout(crate::support::PATIENCE, body);
    let body = body.await.unwrap().unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}
