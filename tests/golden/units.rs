//! Snapshots of the requests that are not billed by tokens alone: embeddings, images, reranking, moderations.

use http::StatusCode;
use serde_json::{Value, json};

use super::settings;
use crate::support::{ANY_KEY, Gateway, serve, simulator};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Returns the paths and bodies that Bedrock receives for `requests` to `endpoint`, each with its warnings.
async fn sent(gateway: &Gateway, endpoint: &str, requests: &[Value]) -> String {
    let mut text = String::new();
    for request in requests {
        let before = gateway.simulator.received().len();
        let reply = gateway.ask(endpoint, ANY_KEY, request).await;
        assert_eq!(reply.status, StatusCode::OK, "{request}: {}", reply.text());
        let received = gateway.simulator.received();
        let mut lines: Vec<String> = received[before..]
            .iter()
            .map(|one| format!("{} {}\n", one.path, String::from_utf8_lossy(&one.body)))
            .collect();
        // Requests of one call are sent at once.
        lines.sort();
        let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
        text.push_str(&format!(
            "{request}\n{}warnings: {warnings}\n\n",
            lines.concat()
        ));
    }
    text
}

fn of(model: &str, more: Value) -> Value {
    let mut request = json!({"model": model});
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// A gateway that calls Bedrock with an API key, which Rerank does not take.
async fn with_api_key() -> Gateway {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    let variables = [("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-test")];
    Gateway::start_in(simulator, &aws, "", &variables).await
}

#[tokio::test]
async fn embeddings_are_sent_in_the_body_of_each_family() {
    let gateway = Gateway::start().await;
    let inputs = json!({"input": ["a \"cat\"", "a dog"]});
    let images = json!({"input": ["a cat", PNG]});
    let requests = [
        of("amazon.titan-embed-text-v1", inputs.clone()),
        of(
            "amazon.titan-embed-text-v2:0",
            json!({"input": "a cat", "dimensions": 256}),
        ),
        of("amazon.titan-embed-image-v1", images.clone()),
        of("cohere.embed-english-v3", inputs.clone()),
        of(
            "cohere.embed-v4:0",
            json!({"input": "a cat", "dimensions": 512, "input_type": "search_query"}),
        ),
        of("amazon.nova-2-multimodal-embeddings-v1:0", images.clone()),
        of("us.twelvelabs.marengo-embed-2-7-v1:0", images.clone()),
        of("twelvelabs.marengo-embed-3-0-v1:0", images),
    ];
    let text = sent(&gateway, "/v1/embeddings", &requests).await;
    settings().bind(|| insta::assert_snapshot!("units_embeddings", text));
}

#[tokio::test]
async fn images_are_sent_in_the_body_of_each_family() {
    let gateway = Gateway::start().await;
    let hat = json!({"prompt": "a \"hat\"", "size": "1536x1024", "seed": 7, "n": 2, "negative_prompt": "a cat"});
    let requests = [
        of("stability.stable-image-core-v1:1", hat.clone()),
        of(
            "stability.sd3-5-large-v1:0",
            json!({"prompt": "a hat", "aspect_ratio": "21:9", "output_format": "jpeg"}),
        ),
        of("amazon.nova-canvas-v1:0", hat),
        of(
            "amazon.titan-image-generator-v2:0",
            json!({"prompt": "a hat", "quality": "high"}),
        ),
    ];
    let text = sent(&gateway, "/v1/images/generations", &requests).await;
    settings().bind(|| insta::assert_snapshot!("units_images", text));
}

#[tokio::test]
async fn documents_are_sent_to_rerank_and_with_an_api_key_to_invoke_model() {
    let request =
        json!({"query": "a \"hat\"", "documents": ["a cat", {"text": "a hat"}], "top_n": 1});
    let requests = [
        of("cohere.rerank-v3-5:0", request.clone()),
        of("amazon.rerank-v1:0", request),
    ];
    let signed = sent(&Gateway::start().await, "/v1/rerank", &requests).await;
    let bearer = sent(&with_api_key().await, "/v1/rerank", &requests).await;
    settings().bind(|| {
        insta::assert_snapshot!(
            "units_rerank",
            format!("{signed}With an API key:\n\n{bearer}")
        )
    });
}

#[tokio::test]
async fn moderations_are_sent_to_guardrail_checks_or_to_a_guardrail() {
    let texts = json!({"input": ["a \"cat\"", "a dog"]});
    let parts = json!({"input": [{"type": "text", "text": "a cat"}, {"type": "image_url", "image_url": {"url": PNG}}]});
    let checks = sent(
        &Gateway::start().await,
        "/v1/moderations",
        std::slice::from_ref(&texts),
    )
    .await;
    let guarded = "[moderations]\nguardrail = { identifier = \"abc123\", version = \"1\" }\n";
    let guarded = Gateway::start_with(guarded).await;
    let named = sent(&guarded, "/v1/moderations", &[texts, parts]).await;
    settings().bind(|| {
        insta::assert_snapshot!(
            "units_moderations",
            format!("{checks}With a guardrail:\n\n{named}")
        )
    });
}
