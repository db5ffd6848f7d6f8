//! Credentials, clocks, endpoints and lookups: what the gateway needs of AWS beside the answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::Router;
use futures_util::future::join_all;
use http::{HeaderMap, StatusCode};
use lintel::config::{self, Environment};
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    money::{SETTINGS, booked, budget, key, of, standing},
    serve, simulator, streamed, user,
};

const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/team";
const NOVA: &str = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";

/// A model that only AWS can name.
fn profile() -> String {
    format!("[models.ours]\ntarget = \"{ARN}\"\n")
}

/// Row 57. Was a 502 that blames the gateway's credentials: the SDK learns the time, but its retries are off.
#[tokio::test]
async fn row_57_clock_that_is_wrong_is_corrected_from_the_first_rejection() {
    for seconds in [-600, 600] {
        let gateway = Gateway::start_with(&profile()).await;
        gateway.simulator.describe(ARN, NOVA);
        gateway.simulator.shift_clock(seconds);
        let mut attempts = Vec::new();
        for request in [user("Hi"), streamed("Hi"), of("ours", user("Hi"))] {
            let reply = gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{seconds}: {}", reply.text());
            attempts.push(reply.header("x-lintel-attempts").unwrap().to_owned());
        }
        assert_eq!(attempts, ["2", "1", "1"]);
        assert_eq!(
            gateway.simulator.received().len(),
            4,
            "only the first is sent again"
        );
        assert_eq!(gateway.simulator.describes(), 2, "and the lookup");
    }
}

/// A clock that jumps between the two attempts is an error, not a loop.
#[tokio::test]
async fn row_57_signature_that_stays_wrong_is_sent_twice_at_most() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let refuse = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            let headers = [
                ("date", "Sun, 22 Nov 2020 13:10:00 GMT"),
                ("x-amzn-errortype", "RequestTimeTooSkewed"),
            ];
            (StatusCode::FORBIDDEN, headers, "{}")
        }
    };
    let address = serve(Router::new().fallback(refuse)).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    let gateway = Gateway::start_at(simulator(), &aws, "").await;
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(reply.error()["code"], "upstream_access_denied");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

/// Each call looked the ARN up on its own.
#[tokio::test]
async fn calls_that_arrive_together_share_one_lookup() {
    let gateway = Gateway::start_with(&profile()).await;
    gateway.simulator.describe(ARN, NOVA);
    let request = of("ours", user("Hi"));
    for reply in join_all((0..20).map(|_| gateway.chat(&request))).await {
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.json()["usage"]["cost"].is_number());
    }
    assert_eq!(gateway.simulator.describes(), 1);
}

/// Was `model_unpriced` with `x-should-retry: false`, and stayed so for five minutes.
#[tokio::test]
async fn transient_failure_of_a_lookup_is_not_remembered_as_a_missing_price() {
    let gateway = Gateway::start_with(&profile()).await;
    gateway.simulator.describe(ARN, NOVA);
    for status in [500, 429] {
        gateway.simulator.fail_describe(status);
    }
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("ours", user("Hi"));
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.error()["code"], "model_unresolved");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("x-should-retry"), None);
    // Without a budget, the call does not depend on a price.
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("no price")
    );
    gateway
        .until(async || gateway.as_key(&secret, &request).await.status == StatusCode::OK)
        .await;
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    assert_eq!(booked(&gateway, &id).await[0].1, 1);
    assert_eq!(gateway.simulator.describes(), 3);
}

/// A role session as STS returns it.
fn session(number: usize) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>simulator</AccessKeyId><SecretAccessKey>simulator</SecretAccessKey>\
         <SessionToken>session-{number}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

const KNOWLEDGE: &str = "
    [knowledge_bases.docs]
    id = \"KB12345678\"
";

/// There was one URL for all services, and none for STS.
#[tokio::test]
async fn each_service_has_its_own_endpoint() {
    let [runtime, agent, control] = [simulator(), simulator(), simulator()];
    let sessions = Arc::new(AtomicUsize::new(0));
    let opened = sessions.clone();
    let sts = Router::new().fallback(move || {
        let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
        async move { ([("content-type", "text/xml")], session(number)) }
    });
    let aws = format!(
        "endpoint_url = \"http://127.0.0.1:1\"\n\
         assume_role = {{ arn = \"arn:aws:iam::123456789012:role/lintel\" }}\n\
         endpoints = {{ runtime = \"http://{}\", agent_runtime = \"http://{}\", control_plane = \"http://{}/\", sts = \"http://{}\" }}",
        serve(runtime.router()).await,
        serve(agent.router()).await,
        serve(control.router()).await,
        serve(sts).await,
    );
    control.describe(ARN, NOVA);
    let gateway = Gateway::start_at(runtime, &aws, &format!("{}{KNOWLEDGE}", profile())).await;
    let mut request = of("ours", user("How is a gateway set up?"));
    request["kb"] = json!({"name": "docs"});
    let (_, secret) = key(&gateway, json!({"knowledge_bases": ["docs"]})).await;
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let token = |headers: &HeaderMap| headers["x-amz-security-token"].clone();
    let sent = [gateway.sent(), agent.received().remove(0)];
    assert!(sent.iter().all(|sent| token(&sent.headers) == "session-1"));
    assert_eq!((control.describes(), agent.received().len()), (1, 1));
    assert_eq!(
        sessions.load(Ordering::SeqCst),
        1,
        "one session serves all requests"
    );
}

/// Was never ready: the check asked for credentials, which an API key replaces.
#[tokio::test]
async fn api_key_alone_makes_the_gateway_ready() {
    let simulator = simulator();
    // Nothing hands out credentials.
    let aws = format!(
        "endpoint_url = \"http://{}\"\n\
         assume_role = {{ arn = \"arn:aws:iam::123456789012:role/lintel\" }}\n\
         endpoints = {{ sts = \"http://127.0.0.1:1\" }}",
        serve(simulator.router()).await
    );
    let variable = ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key");
    let with_key = Gateway::start_in(simulator.clone(), &aws, &profile(), &[variable]).await;
    simulator.describe(ARN, NOVA);
    assert_eq!(with_key.admin("/readyz").await.0, StatusCode::OK);
    let reply = with_key.chat(&of("ours", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(
        reply.json()["usage"]["cost"].is_number(),
        "the lookup has the key, too"
    );
    let sent = with_key.sent();
    assert_eq!(sent.headers["authorization"], "Bearer bedrock-api-key");
    // Row 56.
    let without = Gateway::start_at(simulator, &aws, "").await;
    assert_eq!(
        without.admin("/readyz").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let reply = without.chat(&user("Hi")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.error()["code"], "credentials_unavailable");
}

/// The client waited a second for `[DONE]`, until the gateway gave up on the end of the body.
#[tokio::test]
async fn done_does_not_wait_for_the_end_of_the_body() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("priced", streamed("one two [simulate linger]"));
    let reply = gateway.as_key(&secret, &request).await;
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let finish: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let booked = booked(&gateway, &id).await;
    assert_eq!((booked[0].0.as_str(), booked[0].1), ("actual", 1));
}

#[test]
fn malformed_endpoints_and_ports_are_problems() {
    let environment = Environment {
        variables: Vec::new(),
        flags: Vec::new(),
    };
    let text = r#"
[aws]
region = "us-east-1"
endpoints = { runtime = "localhost:4566", mantel = "https://example.com" }
[remote_media]
hosts = ["*"]
ports = [443, 70000]
"#;
    let problems = config::parse(text, &environment, None).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "aws.endpoints.runtime: 'localhost:4566' is not an http or https URL",
        "aws.endpoints.mantel",
        "remote_media.ports: a port is between 1 and 65535",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {problems:#?}"
        );
    }
}
