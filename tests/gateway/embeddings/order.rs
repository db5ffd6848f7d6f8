//! Vectors stand in the order of their inputs, in whatever order the replies come.

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{SETTINGS, request, vectors};
use crate::support::Gateway;

/// The vector of each text, asked for one by one.
async fn one_by_one(gateway: &Gateway, model: &str, texts: &[String]) -> Vec<Vec<f32>> {
    let ask = async |text: &String| {
        let mut request = request(model, text.as_str());
        request["dimensions"] = 256.into();
        request["encoding_format"] = "base64".into();
        vectors(&gateway.embed(&request).await).remove(0)
    };
    stream::iter(texts).map(ask).buffered(16).collect().await
}

#[tokio::test]
async fn a_fan_out_of_300_inputs_keeps_their_order_although_replies_overtake_each_other() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // The first of every eight is answered after the seven that follow it.
    let text = |n: usize| match n % 8 {
        0 => format!("input {n} [simulate slow 20ms]"),
        _ => format!("input {n}"),
    };
    let texts: Vec<String> = (0..300).map(text).collect();
    let mut request = request("titan", json!(texts));
    request["dimensions"] = 256.into();
    request["encoding_format"] = "base64".into();
    let reply = gateway.embed(&request).await;
    assert_eq!(gateway.simulator.received().len(), 300);
    assert_eq!(reply.header("x-lintel-attempts"), Some("300"));
    assert_eq!(reply.json()["usage"]["prompt_tokens"], gateway.billed().0);
    let expected = one_by_one(&gateway, "titan", &texts).await;
    assert!(vectors(&reply) == expected, "each vector is its input's");
}

#[tokio::test]
async fn batches_of_300_inputs_keep_their_order_although_replies_overtake_each_other() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let text = |n: usize| match n {
        0 => format!("input {n} [simulate slow 80ms]"),
        96 => format!("input {n} [simulate slow 40ms]"),
        _ => format!("input {n}"),
    };
    let texts: Vec<String> = (0..300).map(text).collect();
    let mut request = request("cohere", json!(texts));
    request["dimensions"] = 256.into();
    request["encoding_format"] = "base64".into();
    let reply = gateway.embed(&request).await;
    let mut sizes: Vec<usize> = gateway
        .bodies()
        .iter()
        .map(|body| body["texts"].as_array().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [12, 96, 96, 96]);
    assert_eq!(reply.json()["usage"]["prompt_tokens"], gateway.billed().0);
    let expected = one_by_one(&gateway, "cohere", &texts).await;
    assert!(vectors(&reply) == expected, "each vector is its input's");
}

#[tokio::test]
async fn equal_inputs_get_equal_vectors_each() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["titan", "cohere"] {
        let reply = gateway
            .embed(&request(model, json!(["a", "b", "a", "a"])))
            .await;
        let vectors = vectors(&reply);
        assert_eq!(vectors.len(), 4, "{model}: none is left out");
        assert!(vectors[0] == vectors[2] && vectors[0] == vectors[3]);
        assert_ne!(vectors[0], vectors[1]);
    }
}
