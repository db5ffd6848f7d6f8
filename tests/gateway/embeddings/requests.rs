//! What a request may hold, and how it reaches the model.

use http::StatusCode;
use serde_json::{Value, json};

use super::{SETTINGS, request};
use crate::support::{ANY_KEY, Gateway, endpoints::COMPLETIONS, user};

#[tokio::test]
async fn a_wrong_request_is_a_400_that_names_the_member() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let one = |member: &str, value: Value| {
        let mut request = request("titan", "text");
        request[member] = value;
        request
    };
    let input = |value: Value| one("input", value);
    for (request, param) in [
        (input(json!([])), "input"),
        (input(json!("")), "input"),
        (input(json!("  \n")), "input"),
        (input(json!(["a", ""])), "input[1]"),
        (input(json!(["a", "b", "\t"])), "input[2]"),
        (input(json!(vec!["a"; 2049])), "input"),
        (input(json!([1, 2, 3])), "input"),
        (input(json!([[1, 2], [3]])), "input"),
        (input(json!(["a", 1])), "input"),
        (input(json!(7)), "input"),
        (input(json!(true)), "input"),
        (input(Value::Null), "input"),
        (input(json!({"text": "a"})), "input"),
        (input(json!([null])), "input[0]"),
        (input(json!(["a", {"text": "b"}])), "input[1]"),
        (input(json!([-1])), "input[0]"),
        (input(json!([1.5])), "input[0]"),
        (input(json!("data:image/tiff;base64,AAAA")), "input"),
        (input(json!(["a", "data:image/png;base64,?"])), "input[1]"),
        (input(json!("x".repeat(50_001))), "input"),
        (one("model", Value::Null), "model"),
        (one("model", json!(7)), "model"),
        (one("dimensions", json!("256")), "dimensions"),
        (one("dimensions", json!(-1)), "dimensions"),
        (one("dimensions", json!(256.5)), "dimensions"),
        (one("dimensions", json!(300)), "dimensions"),
        (one("encoding_format", json!("int8")), "encoding_format"),
        (one("encoding_format", json!(1)), "encoding_format"),
        (one("input_type", json!("image")), "input_type"),
        (one("input_type", json!(["search_query"])), "input_type"),
        (one("user", json!(1)), "user"),
        (one("max_cost_usd", json!("cheap")), "max_cost_usd"),
        (json!({"model": "titan"}), "input"),
        (json!({"input": "text"}), "model"),
    ] {
        let shown: String = request.to_string().chars().take(80).collect();
        let reply = gateway.embed(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
        let error = reply.error();
        assert_eq!(error["param"], param, "{shown}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
    }
    assert!(gateway.simulator.received().is_empty(), "nothing is sent");
}

#[tokio::test]
async fn the_error_for_2049_inputs_says_how_many_are_allowed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let error = gateway
        .embed(&request("cohere", json!(vec!["a"; 2049])))
        .await
        .error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("at most 2048"), "{message}");
    let mut largest = request("cohere", json!(vec!["a"; 2048]));
    largest["dimensions"] = 256.into();
    largest["encoding_format"] = "base64".into();
    let reply = gateway.embed(&largest).await;
    assert_eq!(super::vectors(&reply).len(), 2048);
}

#[tokio::test]
async fn a_text_that_is_longer_than_the_model_takes_is_rejected_before_it_is_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, most) in [("cohere3", 2048), ("titan", 50_000)] {
        let long = "é".repeat(most + 1);
        let error = gateway
            .embed(&request(model, json!(["a", long])))
            .await
            .error();
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!("input[1]"), &json!("context_length_exceeded")),
            "{model}"
        );
        assert!(gateway.simulator.received().is_empty(), "{model}");
    }
    // Characters are counted, not bytes.
    let reply = gateway.embed(&request("cohere3", "é".repeat(2048))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn a_text_with_more_tokens_than_the_model_takes_is_an_error_and_not_cut_off() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, tokens) in [("titan", 8193), ("cohere3", 600)] {
        let reply = gateway.embed(&request(model, "a ".repeat(tokens))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{model}");
        assert_eq!(reply.error()["code"], "context_length_exceeded", "{model}");
    }
}

#[tokio::test]
async fn input_type_reaches_cohere_and_is_search_document_unless_given() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["cohere", "cohere3"] {
        gateway.embed(&request(model, "text")).await;
        for input_type in [
            "search_document",
            "search_query",
            "classification",
            "clustering",
        ] {
            let mut request = request(model, "text");
            request["input_type"] = input_type.into();
            let reply = gateway.embed(&request).await;
            assert_eq!(reply.header("x-lintel-warnings"), None, "{model}");
        }
    }
    let bodies = gateway.bodies();
    let types: Vec<&str> = bodies
        .iter()
        .map(|body| body["input_type"].as_str().unwrap())
        .collect();
    let each = [
        "search_document",
        "search_document",
        "search_query",
        "classification",
        "clustering",
    ];
    assert_eq!(types, [each, each].concat());
}

#[tokio::test]
async fn input_type_is_a_warning_for_a_model_that_does_not_distinguish() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("titan", "text");
    request["input_type"] = "search_query".into();
    let reply = gateway.embed(&request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let warnings = reply.header("x-lintel-warnings").expect("a warning");
    assert!(warnings.contains("input_type: "), "{warnings}");
    request["model"] = "picky".into();
    assert_eq!(gateway.embed(&request).await.error()["param"], "input_type");
    assert_eq!(gateway.simulator.received().len(), 1);
}

#[tokio::test]
async fn an_unknown_member_is_a_warning_or_an_error_if_the_model_is_strict() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("titan", "text");
    request["truncate"] = "END".into();
    let reply = gateway.embed(&request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let warnings = reply.header("x-lintel-warnings").expect("a warning");
    assert!(
        warnings.contains("truncate: ignored, unknown"),
        "{warnings}"
    );
    request["model"] = "picky".into();
    let reply = gateway.embed(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "truncate");
    assert_eq!(gateway.simulator.received().len(), 1);
}

#[tokio::test]
async fn a_model_of_the_other_kind_is_a_clear_error() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut chat = user("Hi");
    chat["model"] = "titan".into();
    let reply = gateway.chat(&chat).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let error = reply.error();
    assert_eq!(error["param"], "model");
    assert_eq!(
        error["message"],
        "This model produces embeddings; it does not chat. Send the request to POST /v1/embeddings."
    );
    let prompt = json!({"model": "amazon.titan-embed-text-v2:0", "prompt": "Hi"});
    let reply = gateway.ask(COMPLETIONS, ANY_KEY, &prompt).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    for (model, text) in [
        (
            "claude",
            "This model is for chat; it does not produce embeddings.",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            "This model is for chat; it does not produce embeddings.",
        ),
    ] {
        let reply = gateway.embed_any(&request(model, "text")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{model}");
        let error = reply.error();
        assert_eq!(
            (&error["param"], &error["message"]),
            (&json!("model"), &json!(text)),
            "{model}"
        );
    }
    let reply = gateway.embed(&request("no-such-model", "text")).await;
    assert_eq!(reply.error()["code"], "model_not_found");
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn a_get_is_told_the_method_and_a_bad_body_its_place() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway.get("/v1/embeddings").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = gateway.embed(&json!(["not", "an", "object"])).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    reply.error();
    let reply = gateway
        .ask("/embeddings", ANY_KEY, &request("titan", "text"))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "also without /v1");
}
