//! Faults of docs/faults.md that no other module covers. Each name begins with the number of the row.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Gateway, KEY, PATIENCE,
    log::Log,
    money::{SETTINGS, budget, key, of},
    sha256, streamed, user,
};

#[tokio::test]
async fn row_8_body_that_is_not_utf8_is_rejected() {
    let gateway = Gateway::start().await;
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        let (before, after) = (
            &br#"{"model":"claude","messages":[{"role":"user","content":""#[..],
            &br#""}]}"#[..],
        );
        let reply = gateway.post([before, bytes, after].concat()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bytes:?}");
        assert_eq!(reply.error()["code"], "invalid_json", "{bytes:?}");
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn row_11_max_completion_tokens_takes_precedence_over_max_tokens() {
    for (first, second) in [
        (r#""max_tokens":900"#, r#""max_completion_tokens":40"#),
        (r#""max_completion_tokens":40"#, r#""max_tokens":900"#),
    ] {
        let gateway = Gateway::start().await;
        let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
        let body = format!(r#"{{"model":"claude",{first},{second},{messages}}}"#);
        let reply = gateway.post(body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let sent: Value = serde_json::from_slice(&gateway.sent().body).unwrap();
        assert_eq!(sent["inferenceConfig"]["maxTokens"], 40);
    }
}

#[tokio::test]
async fn row_14_messages_are_limited_in_number() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    for (count, member, expected) in [
        (10_001, "param", "messages"),
        (100_000, "code", "too_many_values"),
    ] {
        request["messages"] = vec![json!({"role": "user", "content": "x"}); count].into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.error()[member], expected);
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn row_17_schema_of_a_mebibyte_is_rejected_and_a_loop_of_references_is_not_followed() {
    let gateway = Gateway::start().await;
    let with = |schema: Value| {
        let mut request = user("Hi");
        request["tools"] =
            json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
        request
    };
    let long = with(json!({"type": "object", "description": "x".repeat(1 << 20)}));
    let reply = gateway.chat(&long).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "tools[0].function.parameters");
    assert!(gateway.simulator.received().is_empty());
    let endless = json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
    let reply = gateway.chat(&with(endless)).await;
    assert!(
        matches!(reply.status.as_u16(), 200 | 400),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn row_21_name_of_a_model_never_becomes_part_of_another_path() {
    let gateway = Gateway::start().await;
    let foreign = "arn:aws:bedrock:us-east-1:999999999999:application-inference-profile/other";
    let long = "a".repeat(4096);
    for model in [
        "../../model/x",
        "a/../claude",
        "%2e%2e/claude",
        "claude?x=1",
        "claude\nx",
        "claude\r\nhost: x",
        &long,
        foreign,
    ] {
        let mut request = user("Hi");
        request["model"] = model.into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{model}");
        assert_eq!(reply.error()["code"], "model_not_found", "{model}");
    }
    assert!(gateway.simulator.received().is_empty());
    // A key that may use raw ids chooses one segment of the path, and no more.
    for suffix in ["/../x", "?x=1", "%2f..", "\nx"] {
        let mut request = user("Hi");
        request["model"] = format!("us.amazon.nova-pro-v1:0{suffix}").into();
        gateway.any(&request).await;
    }
    for sent in gateway.simulator.received() {
        let inner = sent.path.strip_prefix("/model/").unwrap();
        let inner = inner.strip_suffix("/converse").unwrap();
        assert!(!inner.contains(['/', '?', '\n']), "{inner}");
    }
}

#[tokio::test]
async fn row_23_underscores_do_not_stand_for_hyphens_in_names_of_headers() {
    let settings = format!(
        "trusted_proxies = [\"127.0.0.0/8\"]\n[keys.inside]\nsha256 = \"{}\"\nallow_ips = [\"192.0.2.1\"]\n",
        sha256("sk-inside")
    );
    let gateway = Gateway::start_with(&settings).await;
    for (key, forwarded, status) in [
        ("x-api-key", "x-forwarded-for", 200),
        ("x-api-key", "x_forwarded_for", 401),
        ("x_api_key", "x-forwarded-for", 401),
    ] {
        let request = http::Request::get(format!("http://{}/v1/models", gateway.data))
            .header(key, "sk-inside")
            .header(forwarded, "192.0.2.1");
        let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{key} {forwarded}");
    }
}

#[tokio::test]
async fn row_24_headers_of_the_client_are_not_sent_to_bedrock() {
    let gateway = Gateway::start().await;
    let mut request = gateway.request(Method::POST, "/v1/chat/completions");
    let names = [
        "x-amzn-bedrock-accept",
        "x-amz-security-token",
        "x-amz-target",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-lintel-model",
        "cookie",
    ];
    for name in names {
        request = request.header(name, "from-the-client");
    }
    let body = Body::from(user("Hi").to_string());
    let reply = gateway.send(request.body(body).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_ne!(reply.header("x-lintel-model"), Some("from-the-client"));
    for (name, value) in &gateway.sent().headers {
        let value = value.to_str().unwrap();
        assert!(
            !value.contains("from-the-client") && !value.contains(KEY),
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn row_77_key_that_is_revoked_during_a_stream_finishes_it_and_starts_no_other() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of(
        "priced",
        streamed("[simulate words 40] [simulate pace 10ms]"),
    );
    let open = gateway.open_as(&secret, &request).await;
    assert_eq!(open.status(), StatusCode::OK);
    let path = format!("/admin/keys/{id}");
    let (status, _) = gateway
        .administer(Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        gateway.as_key(&secret, &request).await.status,
        StatusCode::UNAUTHORIZED
    );
    let body = http_body_util::BodyExt::collect(open.into_body());
    let body = tokio::time::timeout(PATIENCE, body).await.unwrap().unwrap();
    assert!(body.to_bytes().ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn row_90_key_in_the_query_is_neither_accepted_nor_logged() {
    let log = Log::start();
    let gateway = Gateway::start().await;
    let url = format!("http://{}/v1/models", gateway.data);
    for (query, name, value) in [
        (format!("?api_key={KEY}&key={KEY}"), "accept", "*/*".into()),
        (String::new(), "authorization", format!("Basic {KEY}")),
    ] {
        let request = http::Request::get(format!("{url}{query}")).header(name, value);
        let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{query}");
        assert!(!reply.text().contains(KEY));
    }
    let lines = log.requests("/v1/models");
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| !line.to_string().contains(KEY)));
}

#[tokio::test]
async fn row_91_text_of_the_client_is_one_short_line_of_the_log() {
    let log = Log::start();
    let gateway = Gateway::start().await;
    for text in [
        "a\n{\"level\":\"INFO\"}\r\n\u{1b}[31mred".to_owned(),
        "x".repeat(1 << 20),
    ] {
        for member in ["user", "model"] {
            let mut request = user("Hi");
            request[member] = text.clone().into();
            gateway.chat(&request).await;
        }
    }
    // Each line of the log is JSON, so a line break of the client would fail here.
    let lines = log.requests("/v1/chat/completions");
    assert_eq!(lines.len(), 4);
    for line in lines {
        let line = line.to_string();
        assert!(line.len() < 4096 && !line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn row_94_data_urls_that_are_no_images_are_rejected() {
    let gateway = Gateway::start().await;
    for url in [
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,%%%%",
        "data:image/png;base64,abc",
        "data:image/png,raw",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
    ] {
        let mut request = user("Hi");
        request["messages"][0]["content"] =
            json!([{"type": "image_url", "image_url": {"url": url}}]);
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{url}");
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn row_98_globs_with_many_wildcards_are_matched_in_time() {
    let glob = "*a".repeat(40) + "b";
    let settings = format!(
        "[keys.globs]\nsha256 = \"{}\"\nmodels = [\"{glob}\"]\nraw = true\n",
        sha256("sk-globs")
    );
    let gateway = Gateway::start_with(&settings).await;
    let mut request = user("Hi");
    // A matcher that backtracks would try more ways than fit into a lifetime.
    request["model"] = format!("us.amazon.{}", "a".repeat(2000)).into();
    let reply = gateway.as_key("sk-globs", &request).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
}

/// A scrape rendered all series anew, also if the last one was a moment ago.
#[tokio::test]
async fn row_101_metrics_are_rendered_once_a_second() {
    let gateway = Gateway::start().await;
    // On a slow machine a second may pass between two scrapes.
    gateway
        .until(async || {
            let (_, before) = gateway.admin("/metrics").await;
            gateway.get("/v1/models").await;
            before == gateway.admin("/metrics").await.1
        })
        .await;
    // A scraper that does not read holds nothing that another one needs.
    let mut slow = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    slow.read_u8().await.unwrap();
    assert_eq!(gateway.admin("/metrics").await.0, StatusCode::OK);
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
}
