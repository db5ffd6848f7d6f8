//! Models in other accounts of AWS, through roles.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::Router;
use http::{HeaderMap, StatusCode};

use crate::support::{
    Gateway,
    regions::{ask, failure},
    serve, simulator,
};

const MODELS: &str = r#"
    [models.shared]
    target = "amazon.nova-lite-v1:0"
    accounts = ["own", "other"]
    [models.foreign]
    target = "amazon.nova-micro-v1:0"
    accounts = ["other"]
"#;

fn token(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get("x-amz-security-token");
    token.and_then(|token| token.to_str().ok())
}

#[tokio::test]
async fn call_moves_to_another_account_with_its_own_credentials() {
    let bedrock = simulator();
    let roles = Arc::new(AtomicUsize::new(0));
    let assumed = roles.clone();
    let sts = Router::new().fallback(move |body: String| {
        assumed.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(body.contains("210987654321") && body.contains("ExternalId=shared-secret"), "{body}");
            let session = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                <AccessKeyId>simulator</AccessKeyId><SecretAccessKey>simulator</SecretAccessKey>\
                <SessionToken>session-of-other</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                </Credentials></AssumeRoleResult></AssumeRoleResponse>";
            ([("content-type", "text/xml")], session)
        }
    });
    let aws = format!(
        "endpoint_url = \"http://{}\"\nendpoints.sts = \"http://{}\"\n\
         accounts.other = {{ role_arn = \"arn:aws:iam::210987654321:role/bedrock\", external_id_env = \"EXTERNAL_ID\" }}",
        serve(bedrock.router()).await,
        serve(sts).await,
    );
    let variables = [("EXTERNAL_ID", "shared-secret")];
    let gateway = Gateway::start_in(bedrock, &aws, MODELS, &variables).await;
    gateway
        .simulator
        .script(failure(429, "ThrottlingException"));
    let reply = gateway.chat(&ask("shared", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-attempts"), Some("2"));
    let reply = gateway.chat(&ask("foreign", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let received = gateway.simulator.received();
    let tokens: Vec<_> = received
        .iter()
        .map(|request| token(&request.headers))
        .collect();
    let other = Some("session-of-other");
    assert_eq!(tokens, [None, other, other]);
    assert_eq!(
        roles.load(Ordering::SeqCst),
        1,
        "one session serves all requests"
    );
}
