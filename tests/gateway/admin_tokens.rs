//! Tokens of the admin API: names, roles and failed attempts.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Gateway, user};

/// The gateway, with a token of each role.
async fn start() -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = String::new();
    for (name, role) in [("alice", "full"), ("report", "read")] {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("token-of-{name}-0123456789abcdefgh\n")).unwrap();
        let file = file.display();
        settings += &format!("[admin.tokens.{name}]\ntoken_file = \"{file}\"\nrole = \"{role}\"\n");
    }
    (Gateway::start_with(&settings).await, folder)
}

async fn send(gateway: &Gateway, method: Method, token: &str, actor: &str) -> (StatusCode, Value) {
    let body = match method {
        Method::POST => json!({"name": "made"}).to_string(),
        _ => String::new(),
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}/admin/keys", gateway.admin))
        .header("authorization", format!("Bearer {token}"))
        .header("x-lintel-actor", actor);
    let request = request.body(Body::from(body)).unwrap();
    let response = gateway.client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Before, every change was made by whom the client claimed to be.
#[tokio::test]
async fn named_tokens_say_who_changed_what_and_readers_change_nothing() {
    let (gateway, _folder) = start().await;
    let (alice, report) = (
        "token-of-alice-0123456789abcdefgh",
        "token-of-report-0123456789abcdefgh",
    );
    let (status, made) = send(&gateway, Method::POST, alice, "bob").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let main = crate::support::ADMIN_TOKEN;
    for actor in ["carol", "token:alice", " Token:alice"] {
        let (status, _) = send(&gateway, Method::POST, main, actor).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    assert_eq!(
        send(&gateway, Method::GET, report, "").await.0,
        StatusCode::OK
    );
    for _ in 0..20 {
        let (status, refused) = send(&gateway, Method::POST, report, "").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(
            refused["error"]["message"],
            "This admin token can only read."
        );
    }
    let audit = gateway
        .administer(Method::GET, "/admin/audit", &Value::Null)
        .await
        .1;
    let who = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["who"].as_str().unwrap());
    let who: Vec<&str> = who.collect();
    assert_eq!(
        who,
        [
            "admin@127.0.0.1",
            "admin@127.0.0.1",
            "carol@127.0.0.1",
            "token:alice@127.0.0.1"
        ]
    );
}

/// Before, tokens could be tried without end, and nothing was counted.
#[tokio::test]
async fn failed_attempts_are_limited_and_counted() {
    let (gateway, _folder) = start().await;
    for _ in 0..10 {
        assert_eq!(
            send(&gateway, Method::GET, "guess", "").await.0,
            StatusCode::FORBIDDEN
        );
    }
    let right = crate::support::ADMIN_TOKEN;
    for token in ["guess", right] {
        let (status, body) = send(&gateway, Method::GET, token, "").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{body}");
    }
    let (_, metrics) = gateway.admin("/metrics").await;
    for why in ["unknown", "limited"] {
        let line = format!("lintel_admin_auth_failures_total{{why=\"{why}\"}}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    // Whoever guesses at the operator's address does not lock the operator out.
    let (other, _folder) = start().await;
    for (token, tries, status) in [
        (right, 1, StatusCode::OK),
        ("guess", 10, StatusCode::FORBIDDEN),
        ("guess", 1, StatusCode::TOO_MANY_REQUESTS),
        (right, 1, StatusCode::OK),
    ] {
        for _ in 0..tries {
            assert_eq!(send(&other, Method::GET, token, "").await.0, status);
        }
    }
    // The data port is another matter.
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
}

/// Before, it counted against no limit.
#[tokio::test]
async fn usage_page_counts_as_a_request_of_the_key() {
    let settings = json!({"name": "app", "limits": {"requests_per_minute": 60, "burst": 2}});
    let gateway = Gateway::start().await;
    let (_, made) = gateway
        .administer(Method::POST, "/admin/keys", &settings)
        .await;
    let secret = made["secret"].as_str().unwrap();
    for (remaining, status) in [
        ("1", StatusCode::OK),
        ("0", StatusCode::OK),
        ("0", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let request = Request::get(format!("http://{}/v1/usage", gateway.data))
            .header("authorization", format!("Bearer {secret}"));
        let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(
            reply.header("x-ratelimit-remaining-requests"),
            Some(remaining)
        );
    }
    assert_eq!(
        gateway.as_key(secret, &user("Hi")).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}
