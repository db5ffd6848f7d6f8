//! Every model of the catalogue, called on the route that the gateway chooses. It answers and is booked, or is refused
//! with a reason.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, StatusCode};
use lintel::{
    catalogue,
    model::{Facts, LifecycleStatus, Target},
};
use serde_json::{Value, json};

use crate::support::{
    Gateway, Reply,
    endpoints::EMBEDDINGS,
    money::{key, nano, standing},
    video::video,
};

/// Models past their end of life of which no source has a price.
const NO_PRICE: [&str; 2] = [
    "stability.stable-diffusion-xl-v0",
    "stability.stable-diffusion-xl-v1",
];

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";

/// Why no route of this gateway serves a model, as the client reads it.
fn refusal(id: &str, facts: &Facts) -> Option<&'static str> {
    match facts.modality.as_str() {
        // InvokeModelWithBidirectionalStream.
        "speech" => Some("This model is for speech; it does not support chat."),
        // StartAsyncInvoke.
        "video" => Some("This model is for video; it does not support chat."),
        _ if NO_PRICE.contains(&id) => Some("This gateway does not support this image model."),
        _ => None,
    }
}

/// Asks for what the model is for.
async fn ask(gateway: &Gateway, secret: &str, id: &str, facts: &Facts) -> Reply {
    let (path, body) = match facts.modality.as_str() {
        "embedding" => (EMBEDDINGS, json!({"model": id, "input": "a text"})),
        "rerank" => (
            "/v1/rerank",
            json!({"model": id, "query": "a text", "documents": ["a text", "another"]}),
        ),
        "image" => (
            "/v1/images/generations",
            json!({"model": id, "prompt": "a hat"}),
        ),
        "image_edit" => return edit(gateway, secret, id, facts).await,
        _ => {
            let film = json!({"type": "video_url", "video_url": {"url": video(7)}});
            let text = json!({"type": "text", "text": "Hi"});
            // Only a model that knows nothing but video needs one.
            let content = match facts.video && !facts.system {
                true => json!([film, text]),
                false => json!([text]),
            };
            (
                "/v1/chat/completions",
                json!({"model": id, "messages": [{"role": "user", "content": content}], "max_tokens": 100}),
            )
        }
    };
    gateway.ask(path, secret, &body).await
}

/// Sends a form with the members that the model needs.
async fn edit(gateway: &Gateway, secret: &str, id: &str, facts: &Facts) -> Reply {
    let needs = &facts.draw.as_ref().unwrap().needs;
    let mut body = format!("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{id}\r\n")
        .into_bytes();
    for need in needs {
        let is_image = need.ends_with("image");
        let (name, file) = match is_image {
            true => ("image[]", "; filename=\"a.png\""),
            false => (need.as_str(), ""),
        };
        body.extend(
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        match is_image {
            true => body.extend(STANDARD.decode(PNG).unwrap()),
            false => body.extend(b"a hat"),
        }
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    let request = Request::post(format!("http://{}/v1/images/edits", gateway.data))
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "multipart/form-data; boundary=x");
    gateway.send(request.body(Body::from(body)).unwrap()).await
}

/// Returns what of the thing that was asked for is missing.
fn missing(facts: &Facts, body: &Value) -> Option<&'static str> {
    let (found, what) = match facts.modality.as_str() {
        "embedding" => (body["data"][0]["embedding"][0].is_number(), "a vector"),
        "rerank" => (body["results"][0]["relevance_score"].is_number(), "a score"),
        "image" | "image_edit" => (body["data"][0]["b64_json"].is_string(), "an image"),
        _ => {
            let choice = &body["choices"][0];
            let text = choice["message"]["content"].as_str().unwrap_or_default();
            let is_answer = text.ends_with("You said: Hi") && choice["finish_reason"] == "stop";
            (is_answer, "an answer")
        }
    };
    (!found).then_some(what)
}

/// The route that the catalogue puts first, of those that are proven.
fn first_route(facts: &Facts) -> &'static str {
    let mut routes = facts.routes.iter();
    let proven = routes.find(|route| !facts.unproven.contains(route));
    proven.unwrap().as_str()
}

/// Checks the refusal of a model.
fn check_refusal(reply: &Reply, reason: &str) -> Result<(), String> {
    let error = &reply.json()["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let is_refused = reply.status == StatusCode::NOT_FOUND
        && error["code"] == "model_not_found"
        && message.starts_with(reason);
    is_refused
        .then_some(())
        .ok_or_else(|| format!("not refused as it should be: {}", reply.text()))
}

/// Checks the answer of a model, and returns its cost in nano-dollars.
fn check_answer(facts: &Facts, reply: &Reply) -> Result<i64, String> {
    if reply.status != StatusCode::OK {
        return Err(format!("{}: {}", reply.status, reply.text()));
    }
    let body = reply.json();
    if let Some(what) = missing(facts, &body) {
        return Err(format!("no {what} in {body}"));
    }
    let route = reply.header("x-lintel-route").unwrap_or_default();
    if route.split(';').next() != Some(first_route(facts)) {
        return Err(format!("went by {route}, not by {}", first_route(facts)));
    }
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    let is_marked = warnings.contains("is past its end of life on Bedrock");
    if is_marked != (facts.lifecycle.status == LifecycleStatus::Eol) {
        return Err(format!("marked by its lifecycle: {is_marked}"));
    }
    let cost = body["usage"]["cost"].as_f64().unwrap_or_default();
    match nano(&format!("{cost:.9}")) {
        0 => Err(format!("costs nothing: {body}")),
        cost => Ok(cost),
    }
}

#[tokio::test]
async fn every_model_answers_or_is_refused_with_a_reason() {
    let gateway = Gateway::start().await;
    let settings = json!({"models": ["*"], "raw": true, "budget": {"usd": 1000, "per": "day"}});
    let (key, secret) = key(&gateway, settings).await;
    let mut wrong = Vec::new();
    let (mut settled, mut answers) = (0, 0);
    for id in catalogue::ids() {
        let entry = catalogue::lookup(&Target::new(id, "us-east-1"));
        let reply = ask(&gateway, &secret, id, &entry.facts).await;
        let outcome = match refusal(id, &entry.facts) {
            Some(reason) => check_refusal(&reply, reason).map(|()| 0),
            None => check_answer(&entry.facts, &reply),
        };
        match outcome {
            Ok(cost) => {
                settled += cost;
                answers += usize::from(cost > 0);
            }
            Err(problem) => wrong.push(format!("{id}: {problem}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((answers, catalogue::ids().count()), (168, 176));
    gateway
        .until(async || standing(&gateway, &key).await.1 == "0")
        .await;
    assert_eq!(nano(&standing(&gateway, &key).await.0), settled);
}
