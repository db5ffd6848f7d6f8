//! Models that are billed by the unit, and the reservation of large batches.

use serde_json::{Value, json};

use super::{call, error_type, money::settled};
use crate::support::{
    Gateway,
    money::{budget, key},
    video::video,
};

const SETTINGS: &str = r#"
    [models.image]
    target = "stability.sd3-5-large-v1:0"
    price = { input = 0, output = 0, output_image = 0.08 }
    [models.rank]
    target = "cohere.rerank-v3-5:0"
    price = { input = 0, output = 0, query = 0.002 }
    [models.marengo]
    target = "us.twelvelabs.marengo-embed-3-0-v1:0"
    price = { input = 0, output = 0, query = 0.00007, input_image = 0.0001 }
    [models.pegasus]
    target = "us.twelvelabs.pegasus-1-2-v1:0"
    max_tokens = 100
    price = { input = 0, output = 10.0, video_second = 0.0005 }
    [models.cohere]
    target = "us.cohere.embed-v4:0"
    price = { input = 0.5, output = 0 }
"#;

/// Bodies, with their cost in nano-dollars. As much is reserved.
fn cases() -> Vec<(&'static str, Value, u32)> {
    let rank = |count: usize| json!({"query": "q", "documents": vec!["short"; count], "top_n": 1, "api_version": 2});
    let text = json!({"inputType": "text", "text": {"inputText": "x"}});
    let image =
        json!({"inputType": "image", "image": {"mediaSource": {"base64String": "iVBORw0KGgo="}}});
    vec![
        ("image", json!({"prompt": "x"}), 80_000_000),
        ("rank", rank(1), 2_000_000),
        ("rank", rank(101), 4_000_000),
        ("marengo", text, 70_000),
        ("marengo", image, 100_000),
    ]
}

#[tokio::test]
async fn units_are_reserved_and_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let usd = |nano: u32| budget(f64::from(nano) / 1e9);
    for (model, body, cost) in cases() {
        let path = format!("/model/{model}/invoke");
        let (_, secret) = key(&gateway, usd(cost - 1000)).await;
        let before = gateway.simulator.received().len();
        let reply = call(&gateway, &secret, &path, &body).await;
        assert_eq!(
            error_type(&reply),
            "ServiceQuotaExceededException",
            "{model}"
        );
        assert_eq!(gateway.simulator.received().len(), before, "{model}");
        // Rounding takes a nano-dollar or two.
        let (id, secret) = key(&gateway, usd(cost + 1000)).await;
        let reply = call(&gateway, &secret, &path, &body).await;
        assert_eq!(reply.status, 200, "{model} {body}: {}", reply.text());
        assert_eq!(
            settled(&gateway, &id).await.1,
            i64::from(cost),
            "{model} {body}"
        );
    }
}

/// Its length is in the file, and the longest video is reserved.
#[tokio::test]
async fn video_of_pegasus_is_billed_by_its_length() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let data = video(12);
    let data = data.rsplit_once(',').map_or(&*data, |(_, data)| data);
    let body = json!({"inputPrompt": "What?", "mediaSource": {"base64String": data}});
    let path = "/model/pegasus/invoke";
    let (_, secret) = key(&gateway, budget(1.5)).await;
    let reply = call(&gateway, &secret, path, &body).await;
    assert_eq!(error_type(&reply), "ServiceQuotaExceededException");
    let (id, secret) = key(&gateway, budget(2.0)).await;
    let reply = call(&gateway, &secret, path, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let output = reply.header("x-amzn-bedrock-output-token-count").unwrap();
    let output: i64 = output.parse().unwrap();
    let bill = 12 * 500_000 + output * 10_000;
    assert_eq!(settled(&gateway, &id).await, ("actual".to_owned(), bill));
}

#[tokio::test]
async fn what_cannot_be_priced_is_rejected_without_a_budget_too() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let clip = json!({"inputType": "video", "video": {"mediaSource": {"s3Location": {"uri": "s3://a/b"}}}});
    for (model, operation, body) in [
        ("marengo", "invoke", clip),
        (
            "image",
            "invoke-with-response-stream",
            json!({"prompt": "x"}),
        ),
    ] {
        let path = format!("/model/{model}/{operation}");
        let reply = call(&gateway, crate::support::KEY, &path, &body).await;
        assert_eq!(error_type(&reply), "ValidationException", "{model}");
    }
    assert!(gateway.simulator.received().is_empty());
}

/// Each text may have as many tokens as the model accepts: 96 of them far exceed one context window of 128,000.
#[tokio::test]
async fn batch_of_texts_is_reserved_text_by_text() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let body = json!({"texts": vec!["a ".repeat(19_000); 32], "input_type": "search_document"});
    let path = "/model/cohere/invoke";
    // At 1.2 million bytes, $0.6 could be billed; 128,000 tokens cost $0.064.
    let (_, secret) = key(&gateway, budget(0.5)).await;
    let reply = call(&gateway, &secret, path, &body).await;
    assert_eq!(error_type(&reply), "ServiceQuotaExceededException");
    assert!(gateway.simulator.received().is_empty());
    let (id, secret) = key(&gateway, budget(0.7)).await;
    let reply = call(&gateway, &secret, path, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let (input, _) = gateway.billed();
    assert_eq!(settled(&gateway, &id).await.1, input * 500);
}
