//! `POST /v1/images/generations` and `POST /v1/images/edits`.

mod edits;
mod generations;
mod money;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Gateway, KEY, Reply};

const GENERATIONS: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";

/// An image of `core` costs 40,000,000 nano-dollars, by the catalogue.
const SETTINGS: &str = r#"
    [models.core]
    target = "stability.stable-image-core-v1:1"
    [models.canvas]
    target = "amazon.nova-canvas-v1:0"
    [models.picky]
    target = "stability.stable-image-core-v1:1"
    dropped_parameters = "refuse"
    [models.guarded]
    target = "stability.stable-image-core-v1:1"
    guardrail = { identifier = "abc123", version = "1", apply = "both" }
    [models.unguarded]
    target = "stability.stable-image-core-v1:1"
    guardrail = { identifier = "abc123", version = "1" }
    [models.retried]
    target = "stability.stable-image-core-v1:1"
    retry = { attempts = 3, base = "1ms" }
    [models.scarce]
    target = "stability.stable-image-core-v1:1"
    max_n = 2
    [models.cheap]
    target = "stability.stable-image-core-v1:1"
    price = { output_image = 0.001 }
    [models.inpaint]
    target = "us.stability.stable-image-inpaint-v1:0"
    [models.bare]
    target = "stability.stable-image-inpaint-v1:0"
    [models.outpaint]
    target = "us.stability.stable-outpaint-v1:0"
    [models.background]
    target = "us.stability.stable-image-remove-background-v1:0"
    [models.recolor]
    target = "us.stability.stable-image-search-recolor-v1:0"
    [models.style]
    target = "us.stability.stable-style-transfer-v1:0"
    [models.chats]
    target = "amazon.nova-lite-v1:0"
"#;

/// PNGs of one pixel: RGB, and RGB with alpha.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";
const ALPHA: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn request(model: &str, prompt: &str) -> Value {
    json!({"model": model, "prompt": prompt})
}

async fn generate(gateway: &Gateway, request: &Value) -> Reply {
    gateway.ask(GENERATIONS, KEY, request).await
}

/// Sends a form. `image` and `mask` have Base64 of files.
async fn edit_as(gateway: &Gateway, secret: &str, members: &[(&str, &str)]) -> Reply {
    let mut body = Vec::new();
    for (name, value) in members {
        let is_file = matches!(*name, "image" | "image[]" | "mask" | "markup");
        let file = if is_file { "; filename=\"a.png\"" } else { "" };
        body.extend(
            format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                .bytes(),
        );
        match STANDARD.decode(value) {
            Ok(bytes) if is_file => body.extend(bytes),
            _ => body.extend(value.bytes()),
        }
        body.extend(b"\r\n");
    }
    body.extend(b"--limit--\r\n");
    let request = Request::post(format!("http://{}{EDITS}", gateway.data))
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "multipart/form-data; boundary=limit");
    gateway.send(request.body(body.into()).unwrap()).await
}

async fn edit(gateway: &Gateway, members: &[(&str, &str)]) -> Reply {
    edit_as(gateway, KEY, members).await
}

/// The images of a reply, which are PNGs.
fn images(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let reply = reply.json();
    assert!(reply["created"].as_u64().unwrap() > 1_700_000_000);
    let data = reply["data"].as_array().unwrap().clone();
    assert_eq!(reply["usage"]["images"], data.len());
    let image = |item: Value| {
        assert_eq!(item.as_object().unwrap().len(), 1);
        let image = item["b64_json"].as_str().unwrap().to_owned();
        assert!(STANDARD.decode(&image).unwrap().starts_with(b"\x89PNG"));
        image
    };
    data.into_iter().map(image).collect()
}
