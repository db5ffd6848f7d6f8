//! TwelveLabs: embeddings of Marengo, and Pegasus, which answers about a video.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    endpoints::EMBEDDINGS,
    money::{booked, budget, key, nano, standing},
    video::video,
};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const SETTINGS: &str = r#"
    [models.old]
    target = "us.twelvelabs.marengo-embed-2-7-v1:0"
    [models.bare]
    target = "twelvelabs.marengo-embed-2-7-v1:0"
    [models.new]
    target = "twelvelabs.marengo-embed-3-0-v1:0"
    [models.pegasus]
    target = "twelvelabs.pegasus-1-5-v1:0"
    max_tokens = 100
"#;

/// Nano-dollars of a text, of an image, of a second of video and of an output token.
const TEXT: i64 = 70_000;
const IMAGE: i64 = 100_000;
const SECOND: i64 = 490_000;
const TOKEN: i64 = 7_500;

fn question(url: &str) -> Value {
    json!({"model": "pegasus", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What happens?"}, {"type": "video_url", "video_url": {"url": url}}]}]})
}

fn cost(reply: &Value) -> i64 {
    let cost = reply["usage"]["cost"].as_f64().unwrap();
    nano(&format!("{cost:.9}"))
}

#[tokio::test]
async fn marengo_embeds_texts_and_images_at_a_price_for_each() {
    for (model, size) in [("old", 1024), ("new", 512)] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let request = json!({"model": model, "input": ["a cat", PNG, "a dog"], "dimensions": size});
        let reply = gateway.ask(EMBEDDINGS, &secret, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(
            reply.header("x-lintel-warnings").filter(|_| model == "new"),
            None
        );
        let body = reply.json();
        let vectors = body["data"].as_array().unwrap();
        assert_eq!(vectors.len(), 3);
        assert!(
            vectors
                .iter()
                .all(|one| one["embedding"].as_array().unwrap().len() == size)
        );
        assert_eq!(body["usage"]["images"], 1);
        assert_eq!(cost(&body), 2 * TEXT + IMAGE);
        assert_eq!(nano(&standing(&gateway, &id).await.0), 2 * TEXT + IMAGE);
        let units = gateway.simulator.invocations();
        let sum = |unit: &str| {
            units
                .iter()
                .map(|line| line["units"][unit].as_i64().unwrap())
                .sum::<i64>()
        };
        assert_eq!((sum("queries"), sum("images")), (2, 1));
        let mut inputs: Vec<Value> = gateway.bodies();
        inputs.sort_by_key(Value::to_string);
        let media = json!({"base64String": PNG.split_once(',').unwrap().1});
        let expected = match model {
            "old" => json!([
                {"inputType": "image", "mediaSource": media},
                {"inputType": "text", "inputText": "a cat", "textTruncate": "none"},
                {"inputType": "text", "inputText": "a dog", "textTruncate": "none"}]),
            _ => json!([
                {"inputType": "image", "image": {"mediaSource": media}},
                {"inputType": "text", "text": {"inputText": "a cat"}},
                {"inputType": "text", "text": {"inputText": "a dog"}}]),
        };
        assert_eq!(Value::from(inputs), expected);
    }
}

#[tokio::test]
async fn budget_reserves_the_price_of_each_text() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // Each of the two requests also rounds up its tokens, which cost nothing.
    let enough = (2 * TEXT + 2) as f64 / 1e9;
    for (usd, status) in [
        (enough, StatusCode::OK),
        (enough - 1e-8, StatusCode::TOO_MANY_REQUESTS),
    ] {
        let (_, secret) = key(&gateway, budget(usd)).await;
        let request = json!({"model": "new", "input": ["a cat", "a dog"]});
        let reply = gateway.ask(EMBEDDINGS, &secret, &request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let rejected = json!({"model": "new", "input": "a cat", "dimensions": 1024});
    let reply = gateway.embed(&rejected).await;
    assert_eq!(reply.error()["param"], "dimensions");
}

#[tokio::test]
async fn bare_id_of_marengo_is_called_through_its_profile() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway
        .embed(&json!({"model": "bare", "input": "a cat"}))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        gateway.sent().model_id,
        "us.twelvelabs.marengo-embed-2-7-v1:0"
    );
}

#[tokio::test]
async fn pegasus_answers_about_a_video_at_a_price_for_its_length() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(4.0)).await;
    let mut settled = 0;
    for (url, seconds) in [
        (video(7), 7),
        (video(3600), 3600),
        ("data:video/webm;base64,GkXfow==".to_owned(), 3600),
        ("s3://films/a.mp4".to_owned(), 3600),
    ] {
        let mut request = question(&url);
        request["temperature"] = 0.3.into();
        for stream in [false, true] {
            let mut request = request.clone();
            if stream {
                request["stream"] = true.into();
                request["stream_options"] = json!({"include_usage": true});
            }
            let reply = gateway.as_key(&secret, &request).await;
            if seconds == 3600 && settled > 4_000_000_000 - 3600 * SECOND - 100 * TOKEN {
                assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
                continue;
            }
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            assert_eq!(
                reply.header("x-lintel-route"),
                Some("invoke; reason=only_route")
            );
            assert_eq!(reply.content(), "You said: What happens?");
            let line = gateway.simulator.invocations().pop().unwrap();
            assert_eq!(line["units"]["video_seconds"], seconds);
            let tokens = line["output"]["outputTokenCount"].as_i64().unwrap();
            settled += seconds * SECOND + tokens * TOKEN;
            gateway
                .until(async || standing(&gateway, &id).await.1 == "0")
                .await;
            assert_eq!(nano(&standing(&gateway, &id).await.0), settled);
            let sent: Value =
                serde_json::from_slice(&gateway.simulator.received().pop().unwrap().body).unwrap();
            assert_eq!(sent["inputPrompt"], "What happens?");
            assert_eq!(
                (&sent["temperature"], &sent["maxOutputTokens"]),
                (&json!(0.3), &json!(100))
            );
        }
    }
    // A hold of an hour, twice, is more than the budget.
    assert!(settled > 2 * 3600 * SECOND);
    assert!(booked(&gateway, &id).await.len() == 1);
}

#[tokio::test]
async fn pegasus_follows_a_schema_and_ends_at_a_limit() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = question(&video(7));
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "scene", "strict": true,
        "schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": false}}});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let answer: Value = serde_json::from_str(&reply.content()).unwrap();
    assert!(answer["title"].is_string());
    assert_eq!(
        gateway.bodies()[0]["responseFormat"]["jsonSchema"]["required"],
        json!(["title"])
    );
    let mut request = question(&video(7));
    request["max_tokens"] = 2.into();
    request["top_p"] = 0.5.into();
    request["stop"] = "happens".into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("top_p: ignored")
    );
    assert_eq!(gateway.bodies()[1].get("stop"), None);
}

#[tokio::test]
async fn pegasus_takes_one_text_and_one_video() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let text = json!({"type": "text", "text": "What happens?"});
    let film = json!({"type": "video_url", "video_url": {"url": video(7)}});
    for content in [json!([text]), json!([film]), json!([film, film, text])] {
        let request =
            json!({"model": "pegasus", "messages": [{"role": "user", "content": content}]});
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
        assert_eq!(reply.error()["code"], "unsupported_content");
    }
    let mut turns = question(&video(7));
    let messages = turns["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "A cat sleeps."}));
    messages.push(json!({"role": "user", "content": "And then?"}));
    let error = gateway.chat(&turns).await.error();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no earlier turns")
    );
    let mut tools = question(&video(7));
    tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    assert_eq!(
        gateway.chat(&tools).await.error()["code"],
        "unsupported_parameter"
    );
    assert!(gateway.simulator.received().is_empty());
}
