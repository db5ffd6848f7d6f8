//! Edits: forms, and what each model needs.

use http::StatusCode;
use serde_json::{Value, json};

use super::{ALPHA, EDITS, PNG, SETTINGS, edit, images};
use crate::support::{Gateway, KEY};

#[tokio::test]
async fn files_and_members_of_a_form_reach_the_model() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = edit(
        &gateway,
        &[
            ("model", "inpaint"),
            ("prompt", "a hat"),
            ("image", PNG),
            ("mask", PNG),
            ("n", "2"),
            ("seed", "41"),
            ("grow_mask", "3"),
            ("output_format", "webp"),
        ],
    )
    .await;
    assert_eq!(images(&reply).len(), 2);
    // The simulator writes only PNG.
    assert_eq!(reply.json()["output_format"], "png");
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.14"));
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.starts_with("output_format: the model returned png"),
        "{warnings}"
    );
    let mut bodies = gateway.bodies();
    bodies.sort_by_key(|body| body["seed"].as_u64());
    let body = |seed: u64| json!({"image": PNG, "prompt": "a hat", "mask": PNG, "grow_mask": 3, "seed": seed, "output_format": "webp"});
    assert_eq!(bodies, [body(41), body(42)]);
    assert_eq!(
        gateway.simulator.received()[0].model_id,
        "us.stability.stable-image-inpaint-v1:0"
    );
}

#[tokio::test]
async fn each_model_receives_the_members_that_it_has() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (members, body) in [
        (
            vec![
                ("model", "outpaint"),
                ("prompt", "a hall"),
                ("left", "100"),
                ("creativity", "0.5"),
                ("image[]", PNG),
            ],
            json!({"image": PNG, "prompt": "a hall", "left": 100, "creativity": 0.5}),
        ),
        (
            vec![
                ("model", "recolor"),
                ("prompt", "red"),
                ("select_prompt", "the hat"),
                ("image", ALPHA),
            ],
            json!({"image": ALPHA, "prompt": "red", "select_prompt": "the hat"}),
        ),
        (
            vec![
                ("model", "style"),
                ("prompt", "oil"),
                ("image[]", PNG),
                ("image[]", ALPHA),
                ("style_strength", "1"),
            ],
            json!({"init_image": PNG, "style_image": ALPHA, "prompt": "oil", "style_strength": 1}),
        ),
        (
            vec![("model", "canvas"), ("prompt", "a cat"), ("image", PNG)],
            json!({
                "taskType": "IMAGE_VARIATION",
                "imageVariationParams": {"text": "a cat", "images": [PNG]},
                "imageGenerationConfig": {"numberOfImages": 1, "quality": "standard"},
            }),
        ),
    ] {
        let reply = edit(&gateway, &members).await;
        assert_eq!(images(&reply).len(), 1);
        assert_eq!(gateway.bodies().pop().unwrap(), body);
    }
    // OpenAI's clients always send a prompt.
    let reply = edit(
        &gateway,
        &[
            ("model", "background"),
            ("prompt", "cut it out"),
            ("size", "1024x1024"),
            ("image", PNG),
        ],
    )
    .await;
    assert_eq!(images(&reply).len(), 1);
    assert_eq!(gateway.bodies().pop().unwrap(), json!({"image": PNG}));
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("prompt: ignored") && warnings.contains("size: ignored"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_wrong_form_is_a_400_that_names_the_member() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (model, prompt, image) = (("model", "inpaint"), ("prompt", "a hat"), ("image", PNG));
    for (members, param) in [
        (vec![model, prompt], "image"),
        (vec![prompt, image], "model"),
        (vec![model, image], "prompt"),
        (vec![model, prompt, ("image", "no image")], "image"),
        (vec![model, prompt, image, image], "image"),
        (vec![model, prompt, image, ("mask", ALPHA)], "mask"),
        (vec![model, prompt, image, ("mask", "no image")], "mask"),
        (
            vec![model, prompt, image, ("mask", PNG), ("mask", PNG)],
            "mask",
        ),
        (vec![model, prompt, image, ("markup", ALPHA)], "markup"),
        (vec![model, prompt, prompt, image], "prompt"),
        (vec![model, prompt, image, ("n", "two")], "n"),
        (
            vec![model, prompt, image, ("response_format", "url")],
            "response_format",
        ),
        (vec![("model", "recolor"), prompt, image], "select_prompt"),
        (vec![("model", "style"), prompt, image], "image"),
        (
            vec![("model", "background"), image, ("output_format", "webp")],
            "output_format",
        ),
        (
            vec![("model", "canvas"), prompt, image, ("mask", PNG)],
            "mask",
        ),
    ] {
        let reply = edit(&gateway, &members).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{members:?}: {}",
            reply.text()
        );
        assert_eq!(reply.error()["param"], param, "{members:?}");
    }
    assert!(gateway.simulator.received().is_empty());
    let json = json!({"model": "inpaint", "prompt": "a hat"});
    let reply = gateway.ask(EDITS, KEY, &json).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(
        reply.error()["message"]
            .as_str()
            .unwrap()
            .contains("multipart/form-data")
    );
}

#[tokio::test]
async fn models_that_do_not_edit_are_a_404() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, part) in [
        ("core", "/v1/images/generations"),
        ("chats", "does not make images"),
    ] {
        let reply = edit(
            &gateway,
            &[("model", model), ("prompt", "a hat"), ("image", PNG)],
        )
        .await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
        let error: Value = reply.error();
        assert_eq!(error["code"], "model_not_found");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
}
