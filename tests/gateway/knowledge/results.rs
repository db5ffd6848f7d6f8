//! Every kind of result and location, including incomplete ones.

use serde_json::{Value, json};

use super::{READER, asking, context, conversed, kb, result, results, start};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test]
async fn every_location_is_converted_to_a_source() {
    let gateway = start().await;
    let located = [
        ("S3", "s3Location", "uri"),
        ("WEB", "webLocation", "url"),
        ("CONFLUENCE", "confluenceLocation", "url"),
        ("SALESFORCE", "salesforceLocation", "url"),
        ("SHAREPOINT", "sharePointLocation", "url"),
        ("CUSTOM", "customDocumentLocation", "id"),
        ("KENDRA", "kendraDocumentLocation", "uri"),
        ("SQL", "sqlLocation", "query"),
        ("ONEDRIVE", "oneDriveLocation", "url"),
        ("GOOGLEDRIVE", "googleDriveLocation", "url"),
    ];
    let mut all: Vec<Value> = located
        .iter()
        .map(|(kind, member, name)| json!({"content": {"text": kind}, "location": {"type": kind, *member: {*name: format!("{kind}/of a source")}}, "score": 0.5}))
        .collect();
    all.push(
        json!({"content": {"text": "by metadata"}, "metadata": {"x-amz-bedrock-kb-source-uri": "s3://b/metadata"}}),
    );
    all.push(json!({"content": {"text": "by id"}, "documentId": "doc-1"}));
    all.push(json!({"content": {"text": "from nowhere"}, "location": {"type": "NEW"}}));
    results(&gateway, json!(all));
    let kb = kb(&gateway
        .as_key(
            READER,
            &asking(json!({"name": "docs", "max_results": 20}), "Hi"),
        )
        .await);
    let passages = kb["passages"].as_array().unwrap();
    for (nth, (kind, member, _)) in located.iter().enumerate() {
        assert_eq!(passages[nth]["source"], format!("{kind}/of a source"));
        assert_eq!(passages[nth]["location"]["type"], *kind);
        assert!(passages[nth]["location"][member].is_object());
    }
    let rest: Vec<&str> = passages[10..]
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    assert_eq!(rest, ["s3://b/metadata", "doc-1", ""]);
    assert_eq!(
        (
            &passages[11]["score"],
            &passages[11]["location"],
            &passages[11]["metadata"]
        ),
        (&Value::Null, &Value::Null, &json!({}))
    );
}

#[tokio::test]
async fn every_kind_of_result_becomes_text_or_an_image() {
    let gateway = start().await;
    results(
        &gateway,
        json!([
            {"content": {"type": "ROW", "row": [{"columnName": "name", "columnValue": "Ada", "type": "STRING"}, {"columnName": "born", "columnValue": "1815"}, {"type": "NULL"}]}},
            {"content": {"type": "AUDIO", "audio": {"s3Uri": "s3://b/a.mp3", "transcription": "spoken words"}}},
            {"content": {"type": "VIDEO", "video": {"s3Uri": "s3://b/v.mp4", "summary": "moving pictures"}}},
            {"content": {"type": "IMAGE", "byteContent": PNG}, "location": {"type": "S3", "s3Location": {"uri": "s3://b/i.png"}}},
            {"content": {"type": "AUDIO", "audio": {"s3Uri": "s3://b/silent.mp3"}}},
            {"content": {}}, {}, {"content": {"text": "  "}}, {"content": {"text": 7}}, "text", null,
            result("text", None),
        ]),
    );
    let reply = gateway
        .as_key(
            READER,
            &asking(json!({"name": "docs", "max_results": 20}), "Hi"),
        )
        .await;
    let kb = kb(&reply);
    let sources: Vec<&str> = kb["passages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        sources,
        [
            "",
            "s3://b/a.mp3",
            "s3://b/v.mp4",
            "s3://b/i.png",
            "s3://b/text"
        ]
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("results of 'docs' dropped: 7 (neither text nor an image)")
    );
    let context = context(&gateway);
    for text in [
        "name: Ada\nborn: 1815",
        "spoken words",
        "moving pictures",
        "(image 1)",
    ] {
        assert!(context.contains(text), "{text}: {context}");
    }
    let turn = conversed(&gateway)[0]["messages"][0]["content"].clone();
    assert_eq!(
        (&turn[1]["image"]["format"], &turn[2]["text"]),
        (&json!("png"), &json!("Hi")),
        "the image follows the passages"
    );
}

#[tokio::test]
async fn images_that_the_model_does_not_support_are_dropped() {
    let gateway = start().await;
    let broken = "data:image/png;base64,AA==";
    results(
        &gateway,
        json!([{"content": {"type": "IMAGE", "byteContent": broken}}, result("text", None)]),
    );
    let reply = gateway.as_key(READER, &asking(json!("docs"), "Hi")).await;
    assert_eq!(
        reply.status,
        200,
        "a broken image in a document does not fail the request: {}",
        reply.text()
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("images among the passages that the model is not shown: 1")
    );
    results(
        &gateway,
        json!([{"content": {"type": "IMAGE", "byteContent": PNG}}, result("text", None)]),
    );
    let mut request = asking(json!("docs"), "Hi");
    request["model"] = "strict".into();
    let reply = gateway.as_key(READER, &request).await;
    assert_eq!(kb(&reply)["passages"].as_array().unwrap().len(), 1);
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("images among the passages that the model is not shown: 1")
    );
}

#[tokio::test]
async fn oversized_replies_and_endless_pages_are_bounded() {
    let gateway = start().await;
    let many: Vec<Value> = (0..500)
        .map(|n| result(&format!("{n}"), Some(1e9 - f64::from(n))))
        .collect();
    results(&gateway, json!(many));
    let kb = kb(&gateway.as_key(READER, &asking(json!("docs"), "Hi")).await);
    assert_eq!(
        kb["passages"].as_array().unwrap().len(),
        5,
        "as many passages as requested"
    );
    let long = "x".repeat(100_000);
    results(
        &gateway,
        json!([{"content": {"text": "t"}, "documentId": long, "metadata": {"a": long, "title": long}}, 7]),
    );
    let reply = gateway.as_key(READER, &asking(json!("docs"), "Hi")).await;
    assert!(reply.body.len() < 10_000, "{} bytes", reply.body.len());
    assert_eq!(reply.json()["kb"]["passages"][0]["metadata"], json!({}));
    for _ in 0..9 {
        let page = json!({"retrievalResults": [], "nextToken": "again"}).to_string();
        gateway
            .simulator
            .script(lintel::simulator::ScriptedReply::json(200, page));
    }
    gateway.as_key(READER, &asking(json!("docs"), "Hi")).await;
    let searches = gateway
        .simulator
        .received()
        .iter()
        .filter(|one| one.path.ends_with("/retrieve"))
        .count();
    assert_eq!(searches, 2 + 5, "the search ends after the most pages");
}
