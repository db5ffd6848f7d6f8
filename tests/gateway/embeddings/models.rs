//! Every family, its sizes, and the formats of vectors.

use http::StatusCode;
use serde_json::json;

use super::{PNG, SETTINGS, request, vector, vectors};
use crate::support::Gateway;

/// An id, the default size of its vectors, and nano-dollars a token.
const MODELS: [(&str, usize, u64); 8] = [
    ("amazon.titan-embed-text-v1", 1536, 100),
    ("amazon.titan-embed-text-v2:0", 1024, 20),
    ("amazon.titan-embed-image-v1", 1024, 800),
    ("cohere.embed-english-v3", 1024, 100),
    ("cohere.embed-multilingual-v3", 1024, 100),
    ("cohere.embed-v4:0", 1536, 120),
    ("us.cohere.embed-v4:0", 1536, 120),
    ("amazon.nova-2-multimodal-embeddings-v1:0", 3072, 135),
];

#[tokio::test]
async fn every_family_answers_in_openais_shape_at_the_price_of_the_catalogue() {
    for (model, size, price) in MODELS {
        let gateway = Gateway::start().await;
        let texts = ["the first text", "a second", "third"];
        let reply = gateway.embed_any(&request(model, json!(texts))).await;
        let vectors = vectors(&reply);
        assert_eq!(vectors.len(), 3, "{model}");
        assert!(vectors.iter().all(|vector| vector.len() == size), "{model}");
        assert!(vectors[0] != vectors[1] && vectors[1] != vectors[2]);
        let list = reply.json();
        assert_eq!(
            list.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["object", "data", "model", "usage"]
        );
        assert_eq!(list["model"], model);
        let (tokens, _) = gateway.billed();
        assert!(tokens >= 6, "{model}");
        assert_eq!(list["usage"]["prompt_tokens"], tokens, "{model}");
        assert_eq!(list["usage"]["total_tokens"], tokens, "{model}");
        let nanos = tokens as u64 * price;
        assert_eq!(list["usage"]["cost"], nanos as f64 / 1e9, "{model}");
        assert_eq!(list["usage"].get("estimated"), None, "{model}");
        // One input is not a list, and gets the same vector.
        let single = gateway.embed_any(&request(model, texts[1])).await;
        assert_eq!(super::vectors(&single), [vectors[1].clone()], "{model}");
    }
}

#[tokio::test]
async fn dimensions_that_a_model_offers_are_returned_and_others_are_rejected() {
    let gateway = Gateway::start().await;
    let sized = |model: &str, size: u32| {
        let mut request = request(model, "some text");
        request["dimensions"] = size.into();
        request
    };
    for (model, sizes) in [
        ("amazon.titan-embed-text-v1", &[1536][..]),
        ("amazon.titan-embed-text-v2:0", &[1024, 512, 256]),
        ("amazon.titan-embed-image-v1", &[1024, 384, 256]),
        ("cohere.embed-english-v3", &[1024]),
        ("cohere.embed-v4:0", &[1536, 1024, 512, 256]),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            &[3072, 1024, 384, 256],
        ),
    ] {
        for size in sizes {
            let reply = gateway.embed_any(&sized(model, *size)).await;
            assert_eq!(vectors(&reply)[0].len(), *size as usize, "{model}");
        }
        let sent = gateway.simulator.received().len();
        for size in [0, 1, 255, 768, 4096, u32::MAX] {
            let reply = gateway.embed_any(&sized(model, size)).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{model} {size}");
            assert_eq!(reply.error()["param"], "dimensions", "{model} {size}");
        }
        assert_eq!(gateway.simulator.received().len(), sent, "nothing is sent");
    }
}

#[tokio::test]
async fn float_and_base64_are_the_same_vectors() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["titan", "cohere", "cohere3"] {
        let mut request = request(model, json!(["one", "two"]));
        let default = gateway.embed(&request).await;
        request["encoding_format"] = "float".into();
        let float = gateway.embed(&request).await;
        request["encoding_format"] = "base64".into();
        let base64 = gateway.embed(&request).await;
        assert!(default.json()["data"][0]["embedding"].is_array());
        assert!(float.json()["data"][0]["embedding"].is_array());
        assert!(base64.json()["data"][0]["embedding"].is_string());
        assert_eq!(vectors(&default), vectors(&float), "{model}");
        assert_eq!(vectors(&float), vectors(&base64), "{model}");
    }
    // The bytes are checked against numbers that have few digits in both forms.
    let mut numbers = vec![0.0; 256];
    numbers[..3].copy_from_slice(&[1.0, -0.5, 0.25]);
    let scripted = json!({"embedding": numbers, "inputTextTokenCount": 1}).to_string();
    let mut request = request("titan", "x");
    request["encoding_format"] = "base64".into();
    request["dimensions"] = 256.into();
    gateway
        .simulator
        .script(lintel::simulator::ScriptedReply::json(200, scripted));
    let reply = gateway.embed(&request).await.json();
    let base64 = reply["data"][0]["embedding"].as_str().unwrap();
    assert!(base64.starts_with("AACAPwAAAL8AAIA+AAAA"), "{base64}");
    assert_eq!(vector(&reply["data"][0]["embedding"]), numbers);
}

#[tokio::test]
async fn images_and_texts_are_embedded_in_one_request_and_images_cost_by_the_piece() {
    for (model, price) in [
        ("amazon.titan-embed-image-v1", 800),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 135),
    ] {
        let gateway = Gateway::start().await;
        let image = gateway.embed_any(&request(model, PNG)).await;
        let usage = &image.json()["usage"];
        assert_eq!(
            (&usage["prompt_tokens"], &usage["images"], &usage["cost"]),
            (&json!(0), &json!(1), &json!(0.00006)),
            "{model}"
        );
        let text = gateway.embed_any(&request(model, "some text")).await;
        let (before, _) = gateway.billed();
        let mixed = gateway
            .embed_any(&request(model, json!([PNG, "some text", PNG])))
            .await;
        let (image, text) = (vectors(&image).remove(0), vectors(&text).remove(0));
        assert_eq!(vectors(&mixed), [image.clone(), text, image], "{model}");
        let tokens = gateway.billed().0 - before;
        assert_eq!(
            mixed.json()["usage"]["cost"],
            (2 * 60_000 + tokens * price) as f64 / 1e9,
            "{model}"
        );
    }
    let gateway = Gateway::start_with(SETTINGS).await;
    for model in ["titan", "cohere", "cohere3"] {
        let error = gateway
            .embed(&request(model, json!(["text", PNG])))
            .await
            .error();
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!("input[1]"), &json!("unsupported_content")),
            "{model}"
        );
    }
    assert!(gateway.simulator.received().is_empty());
}
