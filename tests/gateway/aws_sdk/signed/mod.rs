//! Requests that AWS SDKs sign with the key pair of a key.

mod unproven;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{SETTINGS, claude, error_type, say};
use crate::support::{Gateway, Reply, serve, simulator};

const SECRET: &str = "c41b2f9d7e0a8356c41b2f9d7e0a8356-first";
const OTHER: &str = "9d3e5a7c1b0f8264e6a8c0d2f4b69718-second";

/// Starts a gateway with more settings of `[server]`.
async fn start(server: &str) -> Gateway {
    let server = format!("sigv4_key_env = [\"SIGV4\"]\n{server}");
    start_with(&server, &[("SIGV4", SECRET)]).await
}

async fn start_with(server: &str, variables: &[(&str, &str)]) -> Gateway {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    let more = format!("{server}\n{SETTINGS}");
    Gateway::start_in(simulator, &aws, &more, variables).await
}

/// A key pair, as SDKs have it.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    access_key_id: String,
    secret_access_key: String,
}

/// Issues the pair of a key.
async fn issue(gateway: &Gateway, id: &str) -> Pair {
    let path = format!("/admin/keys/{id}/aws");
    let (status, pair) = gateway.administer(Method::POST, &path, &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{pair}");
    let text = |name: &str| pair[name].as_str().unwrap().to_owned();
    Pair {
        access_key_id: text("access_key_id"),
        secret_access_key: text("secret_access_key"),
    }
}

/// Creates a virtual key. Returns its id.
async fn create(gateway: &Gateway, settings: Value) -> String {
    let mut body = json!({"name": "app", "models": ["lite", "sonnet", "*"], "raw": true});
    body.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    let (status, made) = gateway.administer(Method::POST, "/admin/keys", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["key"]["id"].as_str().unwrap().to_owned()
}

/// Returns a signed request.
fn signed(gateway: &Gateway, pair: &Pair, path: &str, body: &Value) -> Request<Body> {
    signed_at(gateway, pair, path, body, SystemTime::now())
}

fn signed_at(
    gateway: &Gateway,
    pair: &Pair,
    path: &str,
    body: &Value,
    time: SystemTime,
) -> Request<Body> {
    let (id, secret) = (&pair.access_key_id, &pair.secret_access_key);
    let identity = Credentials::new(id, secret, None, None, "tests").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("bedrock")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let (url, body) = (format!("http://{}{path}", gateway.data), body.to_string());
    let host = gateway.data.to_string();
    let headers = [
        ("host", host.as_str()),
        ("content-type", "application/json"),
    ];
    let payload = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), payload).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = Request::post(&url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    request
}

async fn converse(gateway: &Gateway, pair: &Pair, model: &str) -> Reply {
    let path = format!("/model/{model}/converse");
    gateway
        .send(signed(gateway, pair, &path, &say("Hello")))
        .await
}

#[tokio::test]
async fn signed_requests_are_those_of_their_key() {
    let gateway = start("").await;
    let budget = json!({"budget": {"usd": 1, "per": "day"}});
    let id = create(&gateway, budget).await;
    let pair = issue(&gateway, &id).await;
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-pro-v1%3A0";
    for model in [
        "lite",
        "amazon.nova-pro-v1%3A0",
        "amazon.nova-pro-v1:0",
        arn,
    ] {
        let reply = converse(&gateway, &pair, model).await;
        assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
    }
    for operation in ["converse-stream", "invoke", "invoke-with-response-stream"] {
        let body = match operation {
            "converse-stream" => say("Hello"),
            _ => claude("Hello"),
        };
        let path = format!("/model/sonnet/{operation}");
        let reply = gateway.send(signed(&gateway, &pair, &path, &body)).await;
        assert_eq!(
            reply.status,
            StatusCode::OK,
            "{operation}: {}",
            reply.text()
        );
    }
    let (_, shown) = gateway
        .administer(Method::GET, &format!("/admin/keys/{id}"), &Value::Null)
        .await;
    let settled = &shown["budgets"][0]["settled_usd"];
    assert!(settled.to_string().contains("0.000"), "{shown}");
    assert!(shown["key"]["last_used_at"].is_i64(), "{shown}");
    // The signature of the client does not go on.
    let sent = gateway.simulator.received().pop().unwrap();
    let authorization = sent.headers["authorization"].to_str().unwrap();
    assert!(!authorization.contains("LNTL"), "{authorization}");
}

#[tokio::test]
async fn static_keys_have_pairs_too() {
    let gateway = start("").await;
    let pair = issue(&gateway, "some").await;
    let reply = converse(&gateway, &pair, "nova").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let reply = converse(&gateway, &pair, "lite").await;
    assert_eq!(error_type(&reply), "AccessDeniedException");
    let pair = issue(&gateway, "old").await;
    let reply = converse(&gateway, &pair, "nova").await;
    assert_eq!(
        error_type(&reply),
        "UnrecognizedClientException",
        "it has expired"
    );
}

#[tokio::test]
async fn signatures_that_are_not_valid_are_rejected_in_the_form_of_aws() {
    let gateway = start("").await;
    let pair = issue(&gateway, "any").await;
    let (path, now) = ("/model/lite/converse", SystemTime::now());
    let request = |pair: &Pair| signed(&gateway, pair, path, &say("Hello"));
    let wrong_secret = Pair {
        secret_access_key: issue(&gateway, "all").await.secret_access_key,
        ..pair.clone()
    };
    let unknown = Pair {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        ..pair.clone()
    };
    let mut other_body = request(&pair);
    *other_body.body_mut() = Body::from(say("Hallo").to_string());
    let mut other_model = request(&pair);
    *other_model.uri_mut() = format!("http://{}/model/sonnet/converse", gateway.data)
        .parse()
        .unwrap();
    let mut unsigned_header = request(&pair);
    unsigned_header
        .headers_mut()
        .insert("x-amzn-bedrock-trace", "ENABLED".parse().unwrap());
    let late = now - Duration::from_secs(310);
    for (request, name) in [
        (request(&wrong_secret), "InvalidSignatureException"),
        (other_body, "InvalidSignatureException"),
        (other_model, "InvalidSignatureException"),
        (
            signed_at(&gateway, &pair, path, &say("Hello"), late),
            "InvalidSignatureException",
        ),
        (unsigned_header, "IncompleteSignature"),
        (request(&unknown), "UnrecognizedClientException"),
    ] {
        let reply = gateway.send(request).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert_eq!(error_type(&reply), name, "{}", reply.text());
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn rotated_key_has_another_pair_and_the_old_one_ends_with_its_secret() {
    let gateway = start("").await;
    let id = create(&gateway, json!({})).await;
    let old = issue(&gateway, &id).await;
    let rotate = async |overlap: &str| {
        let path = format!("/admin/keys/{id}/rotate");
        let body = json!({"overlap": overlap});
        gateway.administer(Method::POST, &path, &body).await
    };
    rotate("1h").await;
    let new = issue(&gateway, &id).await;
    assert_eq!(new.access_key_id, old.access_key_id);
    assert_ne!(new.secret_access_key, old.secret_access_key);
    for pair in [&old, &new] {
        let reply = converse(&gateway, pair, "lite").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    rotate("0s").await;
    for pair in [&old, &new] {
        let reply = converse(&gateway, pair, "lite").await;
        assert_eq!(error_type(&reply), "InvalidSignatureException");
    }
}

#[tokio::test]
async fn pairs_of_a_replaced_secret_stay_valid_while_it_is_configured() {
    let old = start("").await;
    let pair = issue(&old, "any").await;
    let server = "sigv4_key_env = [\"NEW\", \"SIGV4\"]";
    let both = start_with(server, &[("NEW", OTHER), ("SIGV4", SECRET)]).await;
    assert_eq!(converse(&both, &pair, "lite").await.status, StatusCode::OK);
    let new = issue(&both, "any").await;
    assert_ne!(new, pair);
    assert_eq!(converse(&both, &new, "lite").await.status, StatusCode::OK);
    let only = start_with("sigv4_key_env = [\"NEW\"]", &[("NEW", OTHER)]).await;
    let reply = converse(&only, &pair, "lite").await;
    assert_eq!(error_type(&reply), "InvalidSignatureException");
}

#[tokio::test]
async fn signatures_are_accepted_on_the_paths_of_aws_only() {
    let gateway = start("").await;
    let pair = issue(&gateway, "any").await;
    let request = signed(
        &gateway,
        &pair,
        "/v1/chat/completions",
        &crate::support::user("Hi"),
    );
    let reply = gateway.send(request).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signatures_are_rejected_without_a_secret_of_the_operator() {
    let gateway = start_with("", &[]).await;
    let (status, answer) = gateway
        .administer(Method::POST, "/admin/keys/any/aws", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        answer.to_string().contains("server.sigv4_key_env"),
        "{answer}"
    );
    let pair = Pair {
        access_key_id: "LNTL616E79".to_owned(),
        secret_access_key: "any".to_owned(),
    };
    let reply = converse(&gateway, &pair, "lite").await;
    assert_eq!(error_type(&reply), "UnrecognizedClientException");
    assert!(
        reply.text().contains("AWS_BEARER_TOKEN_BEDROCK"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn issued_pairs_are_in_the_audit_log_without_their_secret() {
    let gateway = start("").await;
    let pair = issue(&gateway, "any").await;
    let (_, log) = gateway
        .administer(Method::GET, "/admin/audit", &Value::Null)
        .await;
    assert_eq!(log["audit"][0]["action"], "key.aws");
    assert_eq!(log["audit"][0]["subject"], "key:any");
    assert!(!log.to_string().contains(&pair.secret_access_key));
}
