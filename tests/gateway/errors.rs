//! Errors for unknown paths, methods and content types.

use axum::body::Body;
use http::Method;

use crate::support::{Gateway, user};

#[tokio::test]
async fn unknown_paths_methods_and_content_types_have_distinct_errors() {
    let gateway = Gateway::start().await;
    let send =
        async |method: Method, path: &str, content_type: Option<&str>, encoding: Option<&str>| {
            let mut request = gateway.request(method, path);
            for (name, value) in [
                ("content-type", content_type),
                ("content-encoding", encoding),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let reply = gateway
                .send(request.body(Body::from(user("Hi").to_string())).unwrap())
                .await;
            if reply.status.is_success() {
                return (reply.status.as_u16(), String::new());
            }
            (
                reply.status.as_u16(),
                reply.error()["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
        };
    let chat = "/v1/chat/completions";
    let json = Some("application/json");
    assert_eq!(
        send(
            Method::POST,
            chat,
            Some("application/json; charset=utf-8"),
            None
        )
        .await
        .0,
        200
    );
    assert_eq!(
        send(Method::POST, "/chat/completions", json, None).await.0,
        200
    );
    assert_eq!(
        send(Method::POST, chat, None, None).await.0,
        200,
        "a body without a content type is read as JSON"
    );
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        assert_eq!(
            send(Method::POST, chat, Some(content_type), None).await,
            (415, "unsupported_media_type".into())
        );
    }
    assert_eq!(
        send(Method::POST, chat, json, Some("gzip")).await,
        (415, "unsupported_content_encoding".into())
    );
    assert_eq!(
        send(Method::GET, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    assert_eq!(
        send(Method::OPTIONS, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    assert_eq!(
        send(Method::TRACE, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    for (method, path, advice) in [
        (
            Method::GET,
            chat,
            "/v1/chat/completions does not support GET. Use POST.",
        ),
        (
            Method::DELETE,
            "/v1/models/x",
            "/v1/models/x does not support DELETE. Use GET.",
        ),
        (
            Method::POST,
            "/usage",
            "/usage does not support POST. Use GET.",
        ),
    ] {
        // The text did not say which method to use.
        let request = gateway.request(method, path).body(Body::empty()).unwrap();
        let reply = gateway.send(request).await;
        assert_eq!(reply.error()["message"], advice);
        let allowed = reply.header("allow").unwrap();
        assert!(
            allowed
                .split(',')
                .any(|one| advice.ends_with(&format!("{one}."))),
            "{allowed}"
        );
    }
    for path in [
        "/",
        "/v1",
        "/v2/chat/completions",
        "/v1/conversations/conv_1",
        "/v1/chat/completions/abc",
        "/metrics",
        "/admin/keys",
    ] {
        assert_eq!(
            send(Method::GET, path, None, None).await,
            (404, "unknown_url".into()),
            "{path}"
        );
    }
    // Without a key it was a 401, as if a key would help.
    let options = send(Method::OPTIONS, "/v1/models", None, None).await;
    assert_eq!(options, (405, "method_not_allowed".into()));
}
