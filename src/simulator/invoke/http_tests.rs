//! InvokeModel through the simulator's router, with a Bedrock API key instead of a signature.

use axum::{body::Body, http::Request, response::Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::simulator::{ScriptedReply, SecretKey, Simulator};

const TITAN: &str = "amazon.titan-embed-text-v2:0";
const COHERE: &str = "cohere.embed-english-v3";

fn simulator() -> Simulator {
    Simulator::new(SecretKey {
        access_key_id: "simulator".into(),
        secret_access_key: "simulator".into(),
    })
}

async fn send(
    simulator: &Simulator,
    model_id: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Response {
    let mut request =
        Request::post(format!("/model/{model_id}/invoke")).header("authorization", "Bearer key");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    simulator.router().oneshot(request).await.unwrap()
}

async fn json_of(response: Response) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_call_is_billed_with_its_tokens_and_metadata() {
    let simulator = simulator();
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-request-metadata", r#"{"team":"search"}"#),
    ];
    let response = send(
        &simulator,
        TITAN,
        &headers,
        &json!({"inputText": "one two"}),
    )
    .await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-amzn-bedrock-input-token-count"), "2");
    assert_eq!(header("x-amzn-bedrock-output-token-count"), "0");
    assert_eq!(header("content-type"), "application/json");
    assert!(
        response
            .headers()
            .contains_key("x-amzn-bedrock-invocation-latency")
    );
    assert_eq!(json_of(response).await["inputTextTokenCount"], 2);
    let [line] = &simulator.invocations()[..] else {
        panic!("one line");
    };
    assert_eq!(line["operation"], "InvokeModel");
    assert_eq!(line["modelId"], TITAN);
    assert_eq!(line["requestMetadata"], json!({"team": "search"}));
    assert_eq!(line["input"]["inputTokenCount"], 2);
    assert_eq!(line["output"]["outputTokenCount"], 0);
}

#[tokio::test]
async fn any_text_of_a_batch_may_ask_for_a_fault() {
    let simulator = simulator();
    let body = json!({"texts": ["one", "two [simulate throttle]"], "input_type": "search_query"});
    let response = send(&simulator, COHERE, &[], &body).await;
    assert_eq!(response.status(), 429);
    assert!(simulator.invocations().is_empty(), "an error is not billed");
    let body = json!({"texts": ["one [simulate cut]"], "input_type": "search_query"});
    let response = send(&simulator, COHERE, &[], &body).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(
        simulator.invocations().len(),
        1,
        "a reply that breaks is billed"
    );
}

#[tokio::test]
async fn a_scripted_reply_is_sent_as_it_is() {
    let simulator = simulator();
    simulator.script(ScriptedReply::json(200, r#"{"embedding":[1.0]}"#));
    let response = send(&simulator, TITAN, &[], &json!({"inputText": "one"})).await;
    assert_eq!(json_of(response).await, json!({"embedding": [1.0]}));
    assert_eq!(simulator.received()[0].model_id, TITAN);
}

#[tokio::test]
async fn an_arn_of_the_account_stands_for_its_model() {
    let simulator = simulator();
    let arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    let escaped = arn.replace('/', "%2F");
    let body = json!({"inputText": "one"});
    assert_eq!(send(&simulator, &escaped, &[], &body).await.status(), 400);
    simulator.describe(
        arn,
        &format!("arn:aws:bedrock:eu-west-1::foundation-model/{TITAN}"),
    );
    assert_eq!(send(&simulator, &escaped, &[], &body).await.status(), 200);
}

#[tokio::test]
async fn other_models_and_media_types_are_rejected() {
    let simulator = simulator();
    let body = json!({"inputText": "one"});
    let claude = "anthropic.claude-3-haiku-20240307-v1:0";
    assert_eq!(send(&simulator, claude, &[], &body).await.status(), 400);
    for header in [("content-type", "text/plain"), ("accept", "text/plain")] {
        assert_eq!(
            send(&simulator, TITAN, &[header], &body).await.status(),
            400
        );
    }
    assert_eq!(
        send(&simulator, TITAN, &[("accept", "*/*")], &body)
            .await
            .status(),
        200
    );
}
