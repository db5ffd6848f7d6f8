//! Calls that fit into the quota of no target, by the estimate, wait or are rejected. AWS is asked where the quota is not known.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Reply,
    regions::{Regions, ask, failure},
};

/// Each test has a gateway of its own. Models with one target share its quota.
const MODELS: &str = r#"
    [models.full-refused]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    retry = { attempts = 1 }
    [models.full-lowered]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    retry = { attempts = 1 }
    [models.full-alternative]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    retry = { attempts = 1 }
    fallbacks = ["spare"]
    [models.full-patient]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    queue = "20s"
    retry = { attempts = 1 }
    [models.full-again]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    queue = "20s"
    [models.full-hasty]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    queue = "50ms"
    retry = { attempts = 1 }
    [models.full-stormy]
    target = "amazon.nova-lite-v1:0"
    strategy = "headroom"
    queue = "2500ms"
    retry = { attempts = 1 }
    [models.full-pair]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    strategy = "headroom"
    retry = { attempts = 1 }
    [models.spare]
    target = "amazon.nova-micro-v1:0"
"#;

fn request(model: &str, text: &str, max_tokens: u32) -> Value {
    let mut request = ask(model, text);
    request["max_tokens"] = max_tokens.into();
    request
}

/// Makes AWS throttle a call after another one, so that the quota of `us-east-1` is known to be about 1,000 tokens.
async fn learn(regions: &Regions, model: &str) {
    regions.region_of(model, "Hi").await;
    throttle(regions, model).await;
}

async fn throttle(regions: &Regions, model: &str) {
    regions.east.script(failure(429, "ThrottlingException"));
    let reply = regions.gateway.chat(&request(model, "Hi", 1000)).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
}

async fn outcomes(regions: &Regions, model: &str, outcome: &str) -> u64 {
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    let series = format!("lintel_quota_full_total{{model=\"{model}\",outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().unwrap())
}

fn is_refused_unsent(reply: &Reply) {
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    assert_eq!(reply.error()["code"], "rate_limit_exceeded");
    let text = reply.error()["message"].as_str().unwrap().to_owned();
    assert!(text.contains("estimate"), "{text}");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn call_that_fits_nowhere_is_refused_with_the_time_until_it_fits() {
    let regions = Regions::start(MODELS).await;
    learn(&regions, "full-refused").await;
    let large = request("full-refused", "Hi", 1000);
    is_refused_unsent(&regions.gateway.chat(&large).await);
    assert_eq!(regions.received(), [2, 0, 0]);
    assert_eq!(outcomes(&regions, "full-refused", "refused").await, 1);
    let small = regions
        .gateway
        .chat(&request("full-refused", "Hi", 100))
        .await;
    assert_eq!(small.status, StatusCode::OK, "a smaller call fits");
}

#[tokio::test]
async fn call_that_fits_nowhere_falls_back_to_another_model() {
    let regions = Regions::start(MODELS).await;
    learn(&regions, "full-refused").await;
    let request = request("full-alternative", "Hi", 1000);
    let reply = regions.gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("amazon.nova-micro-v1:0")
    );
}

#[tokio::test]
async fn region_whose_quota_is_unknown_gets_the_call() {
    let regions = Regions::start(MODELS).await;
    learn(&regions, "full-refused").await;
    for _ in 0..3 {
        let reply = regions
            .gateway
            .chat(&request("full-pair", "Hi", 4000))
            .await;
        assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
    }
}

/// Also a call that is larger than the whole estimate: only AWS knows.
#[tokio::test]
async fn idle_region_gets_the_call_whatever_was_learned() {
    let regions = Regions::start(MODELS).await;
    throttle(&regions, "full-refused").await;
    let large = request("full-refused", "Hi", 4000);
    let reply = regions.gateway.chat(&large).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn call_waits_until_another_one_has_left_room() {
    let regions = Regions::start(MODELS).await;
    let slow = request("full-patient", "[simulate slow 1s]", 5000);
    let others = async {
        let has_begun = async || regions.received() == [1, 0, 0];
        regions.gateway.until(has_begun).await;
        throttle(&regions, "full-refused").await;
        let next = request("full-patient", "Hi", 1000);
        regions.gateway.chat(&next).await
    };
    let (slow, waited) = tokio::join!(regions.gateway.chat(&slow), others);
    assert_eq!(slow.status, StatusCode::OK, "{}", slow.text());
    assert_eq!(waited.status, StatusCode::OK, "{}", waited.text());
    assert_eq!(regions.received(), [3, 0, 0]);
    assert_eq!(outcomes(&regions, "full-patient", "admitted").await, 1);
}

/// It was rejected after its retries, although it had time to wait.
#[tokio::test]
async fn call_that_aws_throttles_waits_again() {
    let regions = Regions::start(MODELS).await;
    let slow = request("full-patient", "[simulate slow 2s]", 5000);
    let others = async {
        let has_begun = async || regions.received() == [1, 0, 0];
        regions.gateway.until(has_begun).await;
        // Nothing is known of the quota yet.
        regions.east.script(failure(429, "ThrottlingException"));
        let next = request("full-again", "Hi", 1000);
        regions.gateway.chat(&next).await
    };
    let (slow, waited) = tokio::join!(regions.gateway.chat(&slow), others);
    assert_eq!(slow.status, StatusCode::OK, "{}", slow.text());
    assert_eq!(waited.status, StatusCode::OK, "{}", waited.text());
    assert_eq!(waited.header("x-lintel-attempts"), Some("2"));
    assert_eq!(regions.received(), [3, 0, 0]);
    assert_eq!(outcomes(&regions, "full-again", "admitted").await, 1);
}

/// Hundreds of requests were sent for one call, each at once after the last.
#[tokio::test]
async fn call_that_aws_goes_on_throttling_leaves_it_alone_in_between() {
    let regions = Regions::start(MODELS).await;
    let stormy = |text: &str| request("full-stormy", text, 1000);
    let reply = regions.gateway.chat(&stormy("[simulate throttle]")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    // A second between them.
    assert_eq!(regions.received(), [3, 0, 0]);
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    let retries = "lintel_upstream_retries_total{region=\"us-east-1\",model=\"full-stormy\"} 2";
    assert!(metrics.contains(retries), "{metrics}");
    // More than the whole wait.
    let mut demand = failure(429, "ThrottlingException");
    demand.headers.push(("retry-after".into(), "3".into()));
    regions.east.script(demand);
    let reply = regions.gateway.chat(&stormy("Hi")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), Some("3"));
    assert_eq!(regions.received(), [4, 0, 0]);
}

#[tokio::test]
async fn wait_ends_with_the_queue_or_the_time_of_the_call() {
    let regions = Regions::start(MODELS).await;
    learn(&regions, "full-refused").await;
    let hasty = request("full-hasty", "Hi", 1000);
    is_refused_unsent(&regions.gateway.chat(&hasty).await);
    assert_eq!(outcomes(&regions, "full-hasty", "refused").await, 1);
    let mut short = request("full-patient", "Hi", 1000);
    short["timeout"] = json!(0.1);
    let reply = regions.gateway.chat(&short).await;
    assert_eq!(
        reply.status,
        StatusCode::GATEWAY_TIMEOUT,
        "{}",
        reply.text()
    );
    assert_eq!(regions.received(), [2, 0, 0], "{}", reply.text());
    let is_counted = async || outcomes(&regions, "full-patient", "abandoned").await == 1;
    regions.gateway.until(is_counted).await;
}

/// An automatic limit of 10,000 tokens was counted as 4,096, sent, and throttled.
#[tokio::test]
async fn automatic_limit_is_lowered_to_what_fits_into_the_quota() {
    let models = format!("[defaults]\nmax_tokens = \"auto\"\n{MODELS}");
    let regions = Regions::start(&models).await;
    let limit = |request: usize| -> Value {
        let body = &regions.east.received()[request].body;
        let body: Value = serde_json::from_slice(body).unwrap();
        body["inferenceConfig"]["maxTokens"].clone()
    };
    // The call under way takes 6,000 tokens of the quota, which is then known to be about that.
    let slow = request("full-lowered", "[simulate slow 1s]", 6000);
    let others = async {
        let has_begun = async || regions.received() == [1, 0, 0];
        regions.gateway.until(has_begun).await;
        throttle(&regions, "full-lowered").await;
    };
    let (slow, ()) = tokio::join!(regions.gateway.chat(&slow), others);
    assert_eq!(slow.status, StatusCode::OK, "{}", slow.text());
    let reply = regions.gateway.chat(&ask("full-lowered", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("max_tokens: 4096 was sent instead of the default (the quota"),
        "{warnings}"
    );
    assert_eq!(limit(2), 4096);
    // The limit of a client is its own.
    is_refused_unsent(
        &regions
            .gateway
            .chat(&request("full-lowered", "Hi", 8000))
            .await,
    );
}
