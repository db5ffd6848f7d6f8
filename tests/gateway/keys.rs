//! Virtual keys, teams, and the admin API.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, user};

const SETTINGS: &str = r#"
    [teams.search]
    limits = { requests_per_minute = 6000 }
    budget = { usd = 1, per = "month" }
"#;

async fn create(gateway: &Gateway, body: Value) -> (String, String) {
    let (status, made) = gateway.administer(Method::POST, "/admin/keys", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    (
        made["key"]["id"].as_str().unwrap().to_owned(),
        made["secret"].as_str().unwrap().to_owned(),
    )
}

/// A key that was revoked while its body arrived was served, up to an hour later.
#[tokio::test]
async fn revoked_key_is_rejected_after_its_body_arrives() {
    let gateway = Gateway::start().await;
    let (id, secret) = create(&gateway, json!({"name": "app", "models": ["nova"]})).await;
    let mut request = user("Hi");
    request["model"] = "nova".into();
    let body = request.to_string();
    let (first, rest) = body.split_at(10);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let path = format!("/admin/keys/{id}");
    let (status, revoked) = gateway
        .administer(Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!((status, &revoked["stored"]), (StatusCode::OK, &json!(true)));
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn key_works_from_creation_until_revocation() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = create(
        &gateway,
        json!({"name": "app", "team": "search", "models": ["nova"], "metadata": {"owner": "zoe"}}),
    )
    .await;
    assert!(secret.starts_with(&format!("sk-lintel-{id}-")));
    let request = |model: &str| {
        let mut request = user("Hi");
        request["model"] = model.into();
        request
    };
    assert_eq!(
        gateway.as_key(&secret, &request("nova")).await.status,
        StatusCode::OK,
        "a new key works immediately"
    );
    assert_eq!(
        gateway.as_key(&secret, &request("claude")).await.status,
        StatusCode::FORBIDDEN
    );
    let (_, listed) = gateway
        .administer(Method::GET, "/admin/keys", &Value::Null)
        .await;
    assert_eq!(listed["keys"][0]["metadata"]["owner"], "zoe");
    assert!(
        !listed.to_string().contains(&secret[secret.len() - 49..]),
        "no secret can be read back"
    );
    // New settings apply to the next request.
    let path = format!("/admin/keys/{id}");
    let (status, changed) = gateway
        .administer(Method::PATCH, &path, &json!({"models": ["claude"]}))
        .await;
    assert_eq!(
        (status, &changed["key"]["settings"]["team"]),
        (StatusCode::OK, &json!("search"))
    );
    assert_eq!(
        gateway.as_key(&secret, &request("claude")).await.status,
        StatusCode::OK
    );
    // A misspelled removal looked like success.
    for (change, status) in [
        (json!({"modells": null}), StatusCode::BAD_REQUEST),
        (json!({"expires": null}), StatusCode::OK),
    ] {
        let changed = gateway.administer(Method::PATCH, &path, &change).await;
        assert_eq!(changed.0, status, "{}", changed.1);
    }
    // After a rotation both secrets are valid, unless the overlap is zero.
    let (_, rotated) = gateway
        .administer(Method::POST, &format!("{path}/rotate"), &Value::Null)
        .await;
    let second = rotated["secret"].as_str().unwrap().to_owned();
    // Before, this ended the first secret at once and said nothing.
    let (status, refused) = gateway
        .administer(Method::POST, &format!("{path}/rotate"), &Value::Null)
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    for secret in [&secret, &second] {
        assert_eq!(
            gateway.as_key(secret, &request("claude")).await.status,
            StatusCode::OK
        );
    }
    let (_, rotated) = gateway
        .administer(
            Method::POST,
            &format!("{path}/rotate"),
            &json!({"overlap": "0s"}),
        )
        .await;
    let third = rotated["secret"].as_str().unwrap().to_owned();
    for (secret, status) in [(&secret, 401), (&second, 401), (&third, 200)] {
        assert_eq!(
            gateway
                .as_key(secret, &request("claude"))
                .await
                .status
                .as_u16(),
            status
        );
    }
    let (_, revoked) = gateway
        .administer(Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(revoked["key"]["status"], "revoked");
    let rejected = gateway.as_key(&third, &request("claude")).await;
    assert_eq!(rejected.status, StatusCode::UNAUTHORIZED);
    let unknown = gateway
        .as_key("sk-never-created-0123456789", &request("claude"))
        .await;
    assert_eq!(
        rejected.error(),
        unknown.error(),
        "the reply does not reveal that the key was once valid"
    );
    let (_, audit) = gateway
        .administer(Method::GET, "/admin/audit", &Value::Null)
        .await;
    let actions: Vec<&str> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "key.revoke",
            "key.rotate",
            "key.rotate",
            "key.change",
            "key.change",
            "key.create"
        ]
    );
    assert_eq!(audit["audit"][0]["who"], "admin@127.0.0.1");
    assert!(
        !audit.to_string().contains("sha256"),
        "the audit log contains no digest"
    );
}

#[tokio::test]
async fn invalid_settings_of_a_key_are_rejected() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (body, expected) in [
        (json!({}), "'name' is missing"),
        (json!([]), "must be a JSON object"),
        (
            json!({"name": "a", "team": "unknown"}),
            "team: there is no [teams.unknown]",
        ),
        (
            json!({"name": "a", "budget": {"usd": 1}}),
            "budget: needs 'per'",
        ),
        (
            json!({"name": "a", "modles": ["x"]}),
            "did you mean 'models'?",
        ),
        (
            json!({"name": "a", "limits": {"requests_per_minute": 0}}),
            "must be between 1 and",
        ),
        (
            json!({"name": "a", "secret": "sk-0123456789abcdef0123456789abcdef"}),
            "secret: unknown key",
        ),
        (json!({"name": "a\u{1b}[31m"}), "plain text"),
        (json!({"name": "a".repeat(101)}), "1 to 100 characters"),
        (
            json!({"name": "a", "expires": "2020-01-01T00:00:00Z"}),
            "expires: is in the past",
        ),
        (json!({"name": "a", "models": []}), "models: is empty"),
        (
            json!({"name": "a", "budget": {"usd": 0, "per": "day"}}),
            "budget.usd: must be more than zero",
        ),
    ] {
        let (status, answer) = gateway.administer(Method::POST, "/admin/keys", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains(expected),
            "{expected}: {answer}"
        );
    }
    let (status, _) = gateway
        .administer(Method::GET, "/admin/keys/unknown", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = gateway
        .administer(Method::GET, "/admin/nothing", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = gateway.admin("/admin/keys").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "without the token");
}

#[tokio::test]
async fn key_can_be_restricted_to_addresses_and_expires() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, elsewhere) = create(&gateway, json!({"name": "a", "allow_ips": ["10.0.0.0/8"]})).await;
    let (_, here) = create(
        &gateway,
        json!({"name": "b", "allow_ips": ["127.0.0.0/8", "::1"]}),
    )
    .await;
    let (id, old) = create(&gateway, json!({"name": "c"})).await;
    let over = json!({"expires": "2020-01-01T00:00:00Z"});
    let (status, ended) = gateway
        .administer(Method::PATCH, &format!("/admin/keys/{id}"), &over)
        .await;
    assert_eq!(
        (status, &ended["key"]["status"]),
        (StatusCode::OK, &json!("expired"))
    );
    for (secret, status) in [(elsewhere, 401), (here, 200), (old, 401)] {
        assert_eq!(
            gateway.as_key(&secret, &user("Hi")).await.status.as_u16(),
            status
        );
    }
    let (_, metrics) = gateway.admin("/metrics").await;
    for why in ["address", "expired"] {
        assert!(
            metrics.contains(&format!("lintel_auth_failures_total{{why=\"{why}\"}}")),
            "{why}"
        );
    }
}

#[tokio::test]
async fn key_can_read_its_own_limits_and_spend() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = create(
        &gateway,
        json!({"name": "a", "team": "search", "limits": {"requests_per_minute": 60}, "budget": {"usd": 0.5, "per": "day"}}),
    )
    .await;
    gateway.as_key(&secret, &user("Hi")).await;
    let request = http::Request::get(format!("http://{}/v1/usage", gateway.data))
        .header("x-api-key", &secret);
    let page = gateway
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await
        .json();
    assert_eq!(
        (&page["key_id"], &page["team"]),
        (&json!(id), &json!("search"))
    );
    assert_eq!(
        page["limits"][0],
        json!({"scope": format!("key:{id}"), "requests_per_minute": 60, "tokens_per_minute": null, "max_request_tokens": null, "in_flight": null})
    );
    let budgets = page["budgets"].as_array().unwrap();
    assert_eq!(budgets.len(), 2, "the budgets of the key and of its team");
    // One input token at $2.2 per million and three output tokens at $11.
    assert_eq!(
        (&budgets[0]["limit_usd"], &budgets[0]["settled_usd"]),
        (&json!(0.5), &json!(0.0000352))
    );
    assert_eq!(budgets[0]["reserved_usd"], 0);
    assert_eq!(
        (&page["spend"][0]["requests"], &page["spend"][0]["cost_usd"]),
        (&json!(1), &json!(0.0000352))
    );
    let (_, csv) = gateway
        .administer(
            Method::GET,
            "/admin/usage?by=key,model&format=csv",
            &Value::Null,
        )
        .await;
    assert!(
        csv.as_str()
            .unwrap()
            .contains(&format!("{id},claude,1,1,0,0,3,0.0000352")),
        "{csv}"
    );
    let (_, rows) = gateway
        .administer(Method::GET, "/admin/usage?by=team&since=1h", &Value::Null)
        .await;
    assert_eq!(rows["rows"][0]["team"], "search");
    let (status, _) = gateway
        .administer(Method::GET, "/admin/usage?by=shoe", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
