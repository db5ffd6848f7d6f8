//! What a request for images may hold, and how it reaches the model.

use http::{Request, StatusCode};
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{GENERATIONS, SETTINGS, generate, images, request};
use crate::support::{ANY_KEY, Gateway, KEY, log::Log, user};

#[tokio::test]
async fn an_image_comes_back_as_base64_with_its_cost() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = generate(&gateway, &request("core", "a panda")).await;
    assert_eq!(images(&reply).len(), 1);
    let body = reply.json();
    assert_eq!(
        (&body["output_format"], &body["usage"]["cost"]),
        (&json!("png"), &json!(0.04))
    );
    assert_eq!(reply.header("x-lintel-route"), Some("invoke"));
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.04"));
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let sent = gateway.sent();
    assert_eq!(
        sent.path,
        "/model/stability.stable-image-core-v1%3A1/invoke"
    );
    assert_eq!(gateway.bodies(), [json!({"prompt": "a panda"})]);
    for id in [
        "stability.sd3-5-large-v1:0",
        "stability.stable-image-ultra-v1:1",
        "amazon.titan-image-generator-v2:0",
    ] {
        let reply = gateway
            .ask(GENERATIONS, ANY_KEY, &request(id, "a panda"))
            .await;
        assert_eq!(images(&reply).len(), 1, "{id}");
    }
}

#[tokio::test]
async fn each_image_is_a_request_of_its_own() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("core", "a panda");
    request["n"] = 3.into();
    request["seed"] = 7.into();
    let reply = generate(&gateway, &request).await;
    let images = images(&reply);
    assert!(images[0] != images[1] && images[1] != images[2]);
    assert_eq!(reply.header("x-lintel-attempts"), Some("3"));
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.12"));
    let mut seeds: Vec<_> = gateway
        .bodies()
        .iter()
        .map(|body| body["seed"].as_u64().unwrap())
        .collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [7, 8, 9]);
}

/// One image was billed before the model rejected the seed of another, which the client had not sent.
#[tokio::test]
async fn seeds_after_the_largest_begin_again() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("core", "a panda");
    request["n"] = 3.into();
    request["seed"] = 4_294_967_294_u32.into();
    assert_eq!(images(&generate(&gateway, &request).await).len(), 3);
    let bodies = gateway.bodies();
    let mut seeds: Vec<_> = bodies.iter().map(|body| body["seed"].as_u64()).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [Some(1), Some(2), Some(4_294_967_294)]);
}

/// JPEG was called PNG, because PNG had been requested.
#[tokio::test]
async fn output_format_is_that_of_the_image() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // The signature of a JPEG.
    let body = json!({"images": ["/9j/4AAQSkZJRg=="], "finish_reasons": [null]});
    for (format, warning) in [
        (json!(null), None),
        (json!("jpeg"), None),
        (json!("png"), Some("output_format: the model returned jpeg")),
    ] {
        let reply = ScriptedReply::json(200, body.to_string());
        gateway.simulator.script(reply);
        let mut request = request("core", "a panda");
        request["output_format"] = format;
        let reply = generate(&gateway, &request).await;
        assert_eq!(reply.json()["output_format"], "jpeg");
        let warnings = reply.header("x-lintel-warnings");
        let begins = |warning| warnings.is_some_and(|text| text.starts_with(warning));
        assert!(warning.map_or(warnings.is_none(), begins), "{warnings:?}");
    }
}

#[tokio::test]
async fn size_becomes_the_nearest_ratio_and_other_members_their_own() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("core", "a panda");
    request["size"] = "1792x1024".into();
    request["output_format"] = "jpeg".into();
    request["negative_prompt"] = "bamboo".into();
    request["response_format"] = "b64_json".into();
    let reply = generate(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.starts_with("size: only its ratio was used, as 16:9"),
        "{warnings}"
    );
    let body = json!({"prompt": "a panda", "negative_prompt": "bamboo", "output_format": "jpeg", "aspect_ratio": "16:9"});
    assert_eq!(gateway.bodies()[0], body);
    request["aspect_ratio"] = "21:9".into();
    let reply = generate(&gateway, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.starts_with("size: ignored, 'aspect_ratio' is set"),
        "{warnings}"
    );
    assert_eq!(gateway.bodies()[1]["aspect_ratio"], "21:9");
    request["model"] = "canvas".into();
    request["output_format"] = "png".into();
    request["aspect_ratio"].take();
    request["seed"] = 5.into();
    let reply = generate(&gateway, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("past its end of life"), "{warnings}");
    assert_eq!(
        gateway.bodies()[2],
        json!({
            "taskType": "TEXT_IMAGE",
            "textToImageParams": {"text": "a panda", "negativeText": "bamboo"},
            "imageGenerationConfig": {"numberOfImages": 1, "quality": "standard", "width": 1792, "height": 1024, "seed": 5},
        })
    );
}

#[tokio::test]
async fn a_wrong_request_is_a_400_that_names_the_member() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let one = |member: &str, value: Value| {
        let mut request = request("core", "a panda");
        request[member] = value;
        request
    };
    for (request, param) in [
        (one("prompt", json!(null)), "prompt"),
        (one("prompt", json!(" ")), "prompt"),
        (one("prompt", json!(7)), "prompt"),
        (one("n", json!(0)), "n"),
        (one("n", json!(11)), "n"),
        (one("n", json!("2")), "n"),
        (one("size", json!("large")), "size"),
        (one("response_format", json!("url")), "response_format"),
        (one("response_format", json!("png")), "response_format"),
        (one("output_format", json!("gif")), "output_format"),
        (one("output_format", json!("webp")), "output_format"),
        (one("background", json!("transparent")), "background"),
        (one("stream", json!(true)), "stream"),
        (one("aspect_ratio", json!("7:5")), "aspect_ratio"),
        (one("seed", json!(-1)), "seed"),
        (one("seed", json!(4_294_967_295_u32)), "seed"),
        (one("image", json!("AAAA")), "image"),
        (one("mask", json!(["AAAA"])), "mask"),
        (one("max_cost_usd", json!(0.039)), "max_cost_usd"),
    ] {
        let reply = generate(&gateway, &request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{request}");
        assert_eq!(reply.error()["param"], param, "{request}");
    }
    let mut many = request("scarce", "a panda");
    many["n"] = 3.into();
    assert_eq!(generate(&gateway, &many).await.error()["param"], "n");
    assert!(gateway.simulator.received().is_empty());
    let file = generate(&gateway, &one("image", json!("AAAA")))
        .await
        .error();
    assert!(
        file["message"]
            .as_str()
            .unwrap()
            .contains("/v1/images/edits")
    );
    let url = generate(&gateway, &one("response_format", json!("url"))).await;
    assert!(
        url.error()["message"]
            .as_str()
            .unwrap()
            .contains("b64_json")
    );
}

#[tokio::test]
async fn what_has_no_effect_is_dropped_with_a_warning_or_rejected() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (member, value) in [
        ("quality", json!("hd")),
        ("style", json!("vivid")),
        ("moderation", json!("low")),
        ("output_compression", json!(50)),
        ("creativity", json!(0.3)),
        ("anything_else", json!(1)),
    ] {
        let mut request = request("core", "a panda");
        request[member] = value;
        let reply = generate(&gateway, &request).await;
        assert_eq!(images(&reply).len(), 1);
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(
            warnings.starts_with(&format!("{member}: ignored")),
            "{warnings}"
        );
        request["model"] = "picky".into();
        let reply = generate(&gateway, &request).await;
        let error = reply.error();
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("unsupported_parameter"), &json!(member))
        );
    }
    for body in gateway.bodies() {
        assert_eq!(body, json!({"prompt": "a panda"}));
    }
    let mut request = request("core", "a panda");
    for (member, value) in [
        ("quality", "auto"),
        ("background", "auto"),
        ("moderation", "auto"),
        ("size", "auto"),
    ] {
        request[member] = value.into();
    }
    assert_eq!(
        generate(&gateway, &request)
            .await
            .header("x-lintel-warnings"),
        None
    );
}

#[tokio::test]
async fn models_of_other_kinds_are_a_404() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, part) in [
        ("chats", "does not make images"),
        ("inpaint", "/v1/images/edits"),
    ] {
        let reply = generate(&gateway, &request(model, "a panda")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let error = reply.error();
        assert_eq!(error["code"], "model_not_found");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
    let mut chat = user("Hi");
    chat["model"] = "core".into();
    assert_eq!(gateway.chat(&chat).await.status, StatusCode::NOT_FOUND);
    let models = gateway.get("/v1/models").await.json();
    let models = models["data"].as_array().unwrap().clone();
    let listed = |name: &str| {
        models
            .iter()
            .find(|model| model["id"] == name)
            .unwrap()
            .clone()
    };
    let core = listed("core");
    assert_eq!(
        (&core["modality"], &core["input_modalities"]),
        (&json!("image"), &json!(["text"]))
    );
    assert_eq!(core["price"]["output_image"], 0.04);
    let inpaint = listed("inpaint");
    assert_eq!(
        (&inpaint["modality"], &inpaint["input_modalities"]),
        (&json!("image_edit"), &json!(["text", "image"]))
    );
}

#[tokio::test]
async fn a_guardrail_judges_the_prompt_and_says_what_it_does_not_judge() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = generate(&gateway, &request("guarded", "Draw contraband")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "content_filter");
    assert_eq!(
        gateway.simulator.received().len(),
        1,
        "the model receives nothing"
    );
    let reply = generate(&gateway, &request("guarded", "Draw secret-a1")).await;
    assert_eq!(images(&reply).len(), 1);
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("not applied to the images that the model made"),
        "{warnings}"
    );
    let body = gateway.bodies().pop().unwrap().to_string();
    assert!(!body.contains("secret-a1"), "{body}");
    let reply = generate(&gateway, &request("unguarded", "Draw")).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("bedrock.guardrail: not applied ("),
        "{warnings}"
    );
}

#[tokio::test]
async fn the_access_log_and_metrics_have_the_path() {
    let log = Log::start();
    let gateway = Gateway::start_with(SETTINGS).await;
    images(&generate(&gateway, &request("core", "a secret panda")).await);
    gateway
        .until(async || log.requests(GENERATIONS).len() == 1)
        .await;
    let line = &log.requests(GENERATIONS)[0];
    assert_eq!(
        (&line["status"], &line["cost_usd"]),
        (&json!(200), &json!("0.04"))
    );
    assert!(!line.to_string().contains("secret"));
    let (_, metrics) = gateway.admin("/metrics").await;
    assert!(metrics.contains(r#"route="/v1/images/generations""#));
    let request = Request::post(format!("http://{}{GENERATIONS}", gateway.data))
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "multipart/form-data; boundary=x");
    let reply = gateway.send(request.body("--x--".into()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
