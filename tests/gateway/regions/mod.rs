//! Models in several regions: which failures move a request, and what it costs where it is answered.

mod accounts;
mod attribution;
mod breakers;
mod choice;
mod config;
mod damage;
mod fallbacks;
mod money;
mod own_limits;
mod queue;
mod raw;
mod resume;

use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event, encode_exception};
use serde_json::{Value, json};

use crate::support::{
    regions::{Regions, ask, failure},
    simulator,
    upstream::Upstream,
};

/// A model in two regions, and one in three.
const SPREAD: &str = r#"
    [models.spread]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    max_tokens = 100
    first_token_timeout = "4s"
    idle_timeout = "4s"
    [models.wide]
    target = "us.anthropic.claude-haiku-5-5"
    regions = ["us-east-1", "us-west-2", "eu-west-1"]
    max_tokens = 100
"#;

fn both() -> [Value; 2] {
    let mut streamed = ask("spread", "Hi");
    streamed["stream"] = true.into();
    [ask("spread", "Hi"), streamed]
}

#[tokio::test]
async fn row_38_failure_of_a_region_moves_the_request_to_the_next_at_once() {
    let regions = Regions::start(SPREAD).await;
    let mut moved = 0;
    for (status, name) in [
        (429, "ThrottlingException"),
        (400, "ServiceQuotaExceededException"),
        (503, "ServiceUnavailableException"),
        (500, "InternalServerException"),
        (429, "ModelNotReadyException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (404, "ResourceNotFoundException"),
        (403, "AccessDeniedException"),
    ] {
        for request in both() {
            // A new gateway, because a region that throttles rests for a second.
            let regions = match name {
                "ThrottlingException" | "ServiceQuotaExceededException" => {
                    &Regions::start(SPREAD).await
                }
                _ => &regions,
            };
            let before = regions.received();
            regions.east.script(failure(status, name));
            let reply = regions.gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
            assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"), "{name}");
            assert_eq!(reply.header("x-lintel-attempts"), Some("2"), "{name}");
            let warnings = reply.header("x-lintel-warnings").unwrap();
            let expected = "attempts: the request moved from us-east-1 to us-west-2 (after '";
            assert!(warnings.contains(expected), "{name}: {warnings}");
            let received = regions.received();
            assert_eq!((received[0], received[1]), (before[0] + 1, before[1] + 1));
            moved += 1;
        }
    }
    assert_eq!(moved, 18);
}

#[tokio::test]
async fn failure_of_a_request_does_not_move_it() {
    let regions = Regions::start(SPREAD).await;
    for (status, name) in [(400, "ValidationException"), (400, "ConflictException")] {
        for request in both() {
            regions.east.script(failure(status, name));
            let reply = regions.gateway.chat(&request).await;
            assert!(reply.status.is_client_error(), "{name}: {}", reply.text());
        }
    }
    assert_eq!(regions.received()[1], 0);
}

/// The error of the last region would be "no such model", although the first is only busy.
#[tokio::test]
async fn error_of_a_busy_region_is_reported_rather_than_that_of_one_without_the_model() {
    let regions = Regions::start(SPREAD).await;
    regions.east.script(failure(429, "ThrottlingException"));
    regions
        .west
        .script(failure(404, "ResourceNotFoundException"));
    let reply = regions.gateway.chat(&ask("spread", "Hi")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn row_43_region_that_cannot_be_reached_is_left_at_once() {
    for url in ["http://127.0.0.1:1", "http://no-such-host.invalid"] {
        let regions = Regions::start_at(simulator(), url, SPREAD).await;
        for request in both() {
            let reply = regions.gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{url}: {}", reply.text());
            assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"), "{url}");
        }
    }
}

/// A region that accepts and never answers took the whole time of the call.
#[tokio::test]
async fn row_44_silent_region_takes_only_its_share_of_the_time_to_the_first_token() {
    let silent = Upstream::start(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("http://127.0.0.1:{}", silent.port);
    let regions = Regions::start_at(simulator(), &url, SPREAD).await;
    let [_, streamed] = both();
    let reply = regions.gateway.chat(&streamed).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
    assert!(
        reply.text().ends_with("data: [DONE]\n\n"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn row_49_stream_moves_before_its_first_token_and_not_after() {
    let regions = Regions::start(SPREAD).await;
    let [_, streamed] = both();
    let message = json!({"message": "no"}).to_string();
    let exception = encode_exception("serviceUnavailableException", &message);
    regions.east.script(ScriptedReply::stream(vec![exception]));
    let reply = regions.gateway.chat(&streamed).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
    let begun = |kind: &str, payload: Value| encode_event(kind, &payload.to_string());
    let events = [
        begun("messageStart", json!({"role": "assistant"})),
        begun(
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ),
    ];
    let events = events.to_vec();
    regions.east.script(ScriptedReply::stream(events));
    let before = regions.received();
    let reply = regions.gateway.chat(&streamed).await;
    assert!(
        reply.text().contains("upstream_truncated"),
        "{}",
        reply.text()
    );
    assert_eq!(
        regions.received()[1],
        before[1],
        "nothing was sent elsewhere"
    );
}

#[tokio::test]
async fn every_region_gets_the_profile_of_its_geography() {
    let regions = Regions::start(SPREAD).await;
    regions
        .east
        .script(failure(503, "ServiceUnavailableException"));
    regions
        .west
        .script(failure(503, "ServiceUnavailableException"));
    let reply = regions.gateway.chat(&ask("wide", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-region"), Some("eu-west-1"));
    let model = Some("eu.anthropic.claude-haiku-5-5");
    assert_eq!(reply.header("x-lintel-model"), model);
    assert_eq!(reply.header("x-lintel-attempts"), Some("3"));
    let path = |region: &lintel::simulator::Simulator| region.received()[0].path.clone();
    assert!(path(&regions.west).contains("/us.anthropic."));
    assert!(path(&regions.europe).contains("/eu.anthropic."));
}

#[tokio::test]
async fn embeddings_move_one_request_at_a_time() {
    let regions = Regions::start(
        r#"
        [models.vectors]
        target = "amazon.titan-embed-text-v2:0"
        regions = ["us-east-1", "us-west-2"]
        "#,
    )
    .await;
    regions.east.script(failure(500, "InternalServerException"));
    let inputs: Vec<String> = (0..6).map(|n| format!("text {n}")).collect();
    let request = json!({"model": "vectors", "input": inputs});
    let reply = regions.gateway.embed(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 6);
    assert_eq!(regions.received(), [6, 1, 0]);
}
