use serde_json::{Value, json};

use super::*;

const TITAN_V1: &str = "amazon.titan-embed-text-v1";
const TITAN_V2: &str = "amazon.titan-embed-text-v2:0";
const TITAN_IMAGE: &str = "amazon.titan-embed-image-v1";
const COHERE_V3: &str = "cohere.embed-english-v3";
const COHERE_V4: &str = "eu.cohere.embed-v4:0";
const NOVA: &str = "amazon.nova-2-multimodal-embeddings-v1:0";
/// One pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn reply(model_id: &str, body: &Value) -> (Value, usize) {
    let embeddings = embed(model_id, body).unwrap();
    (embeddings.reply, embeddings.input_tokens)
}

fn error(model_id: &str, body: &Value) -> String {
    let error = embed(model_id, body).unwrap_err();
    assert_eq!((error.name, error.status), ("ValidationException", 400));
    error.message
}

fn vector(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn nova(params: Value) -> Value {
    let mut body = json!({
        "schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX"},
    });
    for (name, value) in params.as_object().unwrap() {
        body["singleEmbeddingParams"][name] = value.clone();
    }
    body
}

fn nova_text(text: &str) -> Value {
    nova(json!({"text": {"truncationMode": "END", "value": text}}))
}

#[test]
fn the_embedded_file_describes_all_models() {
    assert_eq!(FAMILIES.len(), 6);
    for id in [
        TITAN_V1,
        "amazon.titan-embed-g1-text-02",
        TITAN_V2,
        TITAN_IMAGE,
        COHERE_V3,
        COHERE_V4,
        NOVA,
    ] {
        assert!(Family::of(id).is_ok(), "{id}");
    }
    let message = error("somebody.embeddings-v1:0", &json!({}));
    assert!(message.contains("embedding models"), "{message}");
}

#[test]
fn every_family_returns_its_own_shape() {
    let (titan, tokens) = reply(TITAN_V1, &json!({"inputText": "one two"}));
    assert_eq!((vector(&titan["embedding"]).len(), tokens), (1536, 2));
    assert_eq!(titan["inputTextTokenCount"], 2);
    assert_eq!(titan.as_object().unwrap().len(), 2);

    let (titan, _) = reply(
        TITAN_V2,
        &json!({"inputText": "one", "dimensions": 256, "embeddingTypes": ["float", "binary"]}),
    );
    assert_eq!(titan["embedding"], titan["embeddingsByType"]["float"]);
    assert_eq!(
        titan["embeddingsByType"]["binary"]
            .as_array()
            .unwrap()
            .len(),
        256
    );

    let (titan, _) = reply(
        TITAN_IMAGE,
        &json!({"inputText": "one", "inputImage": PNG, "embeddingConfig": {"outputEmbeddingLength": 384}}),
    );
    assert_eq!(vector(&titan["embedding"]).len(), 384);
    assert_eq!(titan.get("message"), Some(&Value::Null));

    let (cohere, tokens) = reply(
        COHERE_V3,
        &json!({"texts": ["one two", "three"], "input_type": "search_document"}),
    );
    assert_eq!(
        (cohere["response_type"].as_str(), tokens),
        (Some("embeddings_floats"), 3)
    );
    assert_eq!(cohere["texts"], json!(["one two", "three"]));
    assert_eq!(vector(&cohere["embeddings"][1]).len(), 1024);

    let body = json!({"texts": ["one"], "input_type": "search_query", "output_dimension": 256, "embedding_types": ["float", "ubinary"]});
    let (cohere, _) = reply(COHERE_V4, &body);
    assert_eq!(cohere["response_type"], "embeddings_by_type");
    assert_eq!(vector(&cohere["embeddings"]["float"][0]).len(), 256);
    assert_eq!(
        cohere["embeddings"]["ubinary"][0].as_array().unwrap().len(),
        32
    );

    let (nova, tokens) = reply(NOVA, &nova_text("one two"));
    assert_eq!(
        (nova["embeddings"][0]["embeddingType"].as_str(), tokens),
        (Some("TEXT"), 2)
    );
    assert_eq!(vector(&nova["embeddings"][0]["embedding"]).len(), 3072);
}

#[test]
fn images_are_embedded() {
    let uri = format!("data:image/png;base64,{PNG}");
    let (cohere, _) = reply(COHERE_V3, &json!({"images": [uri], "input_type": "image"}));
    assert_eq!(vector(&cohere["embeddings"][0]).len(), 1024);
    let content =
        json!([{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": uri}}]);
    let (cohere, tokens) = reply(
        COHERE_V4,
        &json!({"inputs": [{"content": content}], "input_type": "clustering"}),
    );
    assert_eq!(tokens, 1 + 16, "the least image counts 16 tokens");
    assert_eq!(cohere["inputs"][0]["content"], content);
    let image =
        json!({"image": {"format": "png", "source": {"bytes": PNG}}, "embeddingDimension": 256});
    let (nova, _) = reply(NOVA, &nova(image));
    assert_eq!(nova["embeddings"][0]["embeddingType"], "IMAGE");
}

#[test]
fn only_unnormalized_vectors_are_longer_than_one() {
    let length = |body: Value, model: &str| {
        let (reply, _) = reply(model, &body);
        vector(&reply["embedding"])
            .iter()
            .map(|n| n * n)
            .sum::<f32>()
            .sqrt()
    };
    assert!((length(json!({"inputText": "one"}), TITAN_V2) - 1.0).abs() < 1e-4);
    assert!(length(json!({"inputText": "one", "normalize": false}), TITAN_V2) > 2.0);
    assert!(length(json!({"inputText": "one"}), TITAN_V1) > 2.0);
}

#[test]
fn bodies_that_the_service_rejects_are_rejected_in_its_words() {
    let words = |count: usize| vec!["word"; count].join(" ");
    let texts = |texts: Value| json!({"texts": texts, "input_type": "search_document"});
    for (model, body, message) in [
        (
            TITAN_V1,
            json!({"inputText": ""}),
            "#/inputText: expected minLength: 1, actual: 0",
        ),
        (
            TITAN_V1,
            json!({"inputText": ["a"]}),
            "#/inputText: expected type: String, found: JSONArray",
        ),
        (
            TITAN_V1,
            json!({"inputText": "a", "dimensions": 256}),
            "#: extraneous key [dimensions] is not permitted",
        ),
        (
            TITAN_V1,
            json!({"inputText": words(8193)}),
            "Max input tokens: 8192, request input token count: 8193",
        ),
        (
            TITAN_V2,
            json!({"inputText": "a", "dimensions": 300}),
            "#/dimensions: 300 is not a valid enum value",
        ),
        (
            TITAN_V2,
            json!({"inputText": "a".repeat(50_001)}),
            "expected maxLength: 50000, actual: 50001",
        ),
        (
            TITAN_IMAGE,
            json!({}),
            "required key [inputText] not found#: required key [inputImage] not found",
        ),
        (
            TITAN_IMAGE,
            json!({"inputImage": "?"}),
            "#/inputImage: the string is not valid base64",
        ),
        (
            TITAN_IMAGE,
            json!({"inputText": words(129)}),
            "Max input tokens: 128",
        ),
        (
            COHERE_V3,
            json!({"inputText": "a"}),
            "#: required key [input_type] not found#: required key [texts] not found",
        ),
        (
            COHERE_V3,
            texts(json!([])),
            "#/texts: expected minimum item count: 1, found: 0",
        ),
        (
            COHERE_V3,
            texts(json!(vec!["a"; 97])),
            "#/texts: expected maximum item count: 96, found: 97",
        ),
        (
            COHERE_V3,
            texts(json!(["a", ""])),
            "#/texts/1: expected minLength: 1, actual: 0",
        ),
        (
            COHERE_V3,
            texts(json!(["a".repeat(2049)])),
            "#/texts/0: expected maxLength: 2048, actual: 2049",
        ),
        (
            COHERE_V3,
            texts(json!([" ".repeat(600)])),
            "Input is too long for requested model.",
        ),
        (
            COHERE_V3,
            json!({"texts": ["a"], "input_type": "image"}),
            "images only",
        ),
        (
            COHERE_V3,
            json!({"images": ["a.png"], "input_type": "image"}),
            "#/images/0: string [a.png] does not match pattern",
        ),
        (
            COHERE_V4,
            json!({"texts": ["a"], "images": ["data:image/png;base64,AAAA"], "input_type": "clustering"}),
            "#: 2 subschemas matched instead of one",
        ),
        (
            COHERE_V4,
            json!({"texts": ["a"], "input_type": "clustering", "truncate": "END"}),
            "END is not a valid enum value",
        ),
        (
            COHERE_V4,
            json!({"texts": ["one two"], "input_type": "clustering", "max_tokens": 1}),
            "too long",
        ),
        (
            COHERE_V4,
            json!({"texts": ["a"], "input_type": "clustering", "output_dimension": 384}),
            "384 is not a valid enum value",
        ),
        (
            NOVA,
            json!({"inputText": "a"}),
            "required key [taskType] not found",
        ),
        (
            NOVA,
            nova_text(""),
            "#/singleEmbeddingParams/text/value: expected minLength: 1",
        ),
        (
            NOVA,
            nova_text(&"a".repeat(8193)),
            "expected maxLength: 8192, actual: 8193",
        ),
        (
            NOVA,
            nova(
                json!({"embeddingPurpose": "SEARCH", "text": {"truncationMode": "END", "value": "a"}}),
            ),
            "SEARCH is not a valid enum value",
        ),
        (
            NOVA,
            nova(json!({"text": {"value": "a"}})),
            "required key [truncationMode] not found",
        ),
        (NOVA, nova(json!({})), "required key [text] not found"),
    ] {
        let error = error(model, &body);
        assert!(error.contains(message), "{model}: {error}");
    }
}

#[test]
fn long_texts_are_truncated_on_request() {
    let blanks = " ".repeat(600);
    let body =
        json!({"texts": [blanks, "one"], "input_type": "search_document", "truncate": "END"});
    assert_eq!(reply(COHERE_V3, &body).1, 512 + 1);
    let (nova, tokens) = reply(NOVA, &nova_text(&" ".repeat(8192)));
    assert_eq!(tokens, 8172);
    assert_eq!(nova["embeddings"][0]["truncatedCharLength"], 8172);
}

#[test]
fn request_metadata_must_be_an_object_of_strings() {
    let headers = |value: &'static str| {
        HeaderMap::from_iter([(
            "x-amzn-bedrock-request-metadata".parse().unwrap(),
            HeaderValue::from_static(value),
        )])
    };
    assert_eq!(
        request_metadata(&headers(r#"{"a":"b"}"#)).unwrap(),
        json!({"a": "b"})
    );
    assert!(request_metadata(&headers("a=b")).is_err());
    assert!(request_metadata(&headers(r#"{"a":1}"#)).is_err());
    assert_eq!(request_metadata(&HeaderMap::new()).unwrap(), Value::Null);
}
