//! Requests before their signature is verified: who sends them has proven nothing.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::{error_type, say},
    Pair, create, issue, signed, start,
};
use crate::support::Gateway;

/// Sends `head` without its body, and returns the reply.
async fn head_only(gateway: &Gateway, request: Request<Body>) -> String {
    let mut head = format!("POST {} HTTP/1.1\r\n", request.uri().path());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head += "content-length: 1000\r\n\r\n";
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = vec![0; 1000];
    let size = stream.read(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply[..size]).into_owned()
}

#[tokio::test]
async fn unknown_and_revoked_access_keys_are_rejected_before_their_body() {
    let gateway = start("").await;
    let id = create(&gateway, json!({})).await;
    let pair = issue(&gateway, &id).await;
    let unknown = Pair {
        access_key_id: "LNTL30313233343536373839414243".to_owned(),
        ..pair.clone()
    };
    let path = "/model/lite/converse";
    let request = signed(&gateway, &unknown, path, &say("Hello"));
    let reply = head_only(&gateway, request).await;
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    let key = format!("/admin/keys/{id}");
    gateway.administer(Method::DELETE, &key, &Value::Null).await;
    let request = signed(&gateway, &pair, path, &say("Hello"));
    let reply = head_only(&gateway, request).await;
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    assert!(reply.contains("UnrecognizedClientException"), "{reply}");
    let (status, _) = gateway
        .administer(Method::POST, &format!("{key}/aws"), &Value::Null)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "a revoked key has no pair");
}

#[tokio::test]
async fn signed_request_of_a_key_that_is_revoked_while_its_body_arrives_is_rejected() {
    let gateway = start("").await;
    let id = create(&gateway, json!({})).await;
    let pair = issue(&gateway, &id).await;
    let (path, body) = ("/model/lite/converse", say("Hello"));
    let request = signed(&gateway, &pair, path, &body);
    let mut head = format!("POST {path} HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let body = body.to_string();
    let (first, rest) = body.split_at(10);
    head += &format!(
        "connection: close\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let key = format!("/admin/keys/{id}");
    gateway.administer(Method::DELETE, &key, &Value::Null).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn guessing_of_signatures_is_slowed_down_but_locks_nobody_out() {
    let server = "failed_logins_per_minute = 3\ntrusted_proxies = [\"127.0.0.1\"]";
    let gateway = start(server).await;
    let pair = issue(&gateway, "any").await;
    let wrong = Pair {
        secret_access_key: "guessed".to_owned(),
        ..pair.clone()
    };
    let from = async |pair: &Pair, address: &str| {
        let mut request = signed(&gateway, pair, "/model/lite/converse", &say("Hello"));
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", address.parse().unwrap());
        gateway.send(request).await
    };
    let reply = from(&pair, "192.0.2.1").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    for address in ["192.0.2.2", "192.0.2.3", "192.0.2.1"] {
        let reply = from(&wrong, address).await;
        assert_eq!(error_type(&reply), "InvalidSignatureException");
    }
    for (pair, address) in [
        (&pair, "192.0.2.9"),
        (&wrong, "192.0.2.9"),
        (&wrong, "192.0.2.1"),
    ] {
        let reply = from(pair, address).await;
        assert_eq!(error_type(&reply), "ThrottlingException", "{address}");
    }
    let reply = from(&pair, "192.0.2.1").await;
    assert_eq!(reply.status, StatusCode::OK, "it has used the pair before");
}

/// Who knows the access key id of a key could exhaust its requests per second.
#[tokio::test]
async fn requests_with_wrong_signatures_leave_the_requests_per_second_to_the_key() {
    let server = "max_requests_per_second = 1\ntrusted_proxies = [\"127.0.0.1\"]";
    let gateway = start(server).await;
    let pair = issue(&gateway, "any").await;
    let wrong = Pair {
        secret_access_key: "guessed".to_owned(),
        ..pair.clone()
    };
    let from = async |pair: &Pair, address: &str| {
        let mut request = signed(&gateway, pair, "/model/lite/converse", &say("Hello"));
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", address.parse().unwrap());
        gateway.send(request).await
    };
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(error_type(&from(&wrong, "192.0.2.2").await).to_owned());
    }
    assert!(
        names.contains(&"ThrottlingException".to_owned()),
        "{names:?}"
    );
    let reply = from(&pair, "192.0.2.1").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}
