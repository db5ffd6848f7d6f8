use std::{collections::BTreeSet, sync::Arc};

use base64::Engine;
use serde_json::{Map, json};

use super::*;
use crate::{
    call::{Caller, Trace},
    catalogue,
    model::Target,
    operation::{Operation, draw::SourceImage},
};

fn encoded(
    id: &str,
    n: u32,
    seed: Option<u32>,
) -> Vec<(Request, Box<dyn PartDecoder<Part = Image>>)> {
    let model = catalogue::model("m", Target::new(id, "us-east-1"));
    let mut controls = Map::new();
    controls.extend(seed.map(|seed| ("seed".to_owned(), json!(seed))));
    let is_edit = !id.contains("core");
    let image = SourceImage {
        data: "A".repeat(1 << 20),
        has_alpha: false,
    };
    let draw = Draw {
        is_edit,
        prompt: "a hat".to_owned(),
        n,
        images: is_edit.then_some(image).into_iter().collect(),
        controls,
        ..Draw::default()
    };
    let caller = Caller::default();
    let plan = draw.plan(&model, &caller).unwrap();
    let call = Call {
        request_id: "req".into(),
        caller: Arc::new(caller),
        model: Arc::new(model),
        body: Arc::new(draw),
        plan,
        end_user: String::new(),
        trace: Trace::default(),
    };
    Images.encode(&call).unwrap()
}

/// Each request had a body of its own before the first was sent.
#[test]
fn all_images_of_a_request_share_one_body() {
    for (id, seed) in [
        ("us.stability.stable-image-inpaint-v1:0", None),
        ("us.stability.stable-image-inpaint-v1:0", Some(7)),
        ("amazon.nova-canvas-v1:0", Some(7)),
    ] {
        let requests = encoded(id, 10, seed);
        let bodies = requests.iter().map(|(request, _)| request.body.as_ptr());
        assert_eq!(bodies.collect::<BTreeSet<_>>().len(), 1, "{id}");
        let tails = requests.iter().map(|(_, decoder)| decoder.tail().is_some());
        assert!(tails.eq(vec![seed.is_some(); 10]), "{id}");
    }
}

/// The third image had the seed 4294967296, which the client had not sent and the model rejects.
#[test]
fn seeds_stay_in_the_range_of_the_family() {
    for (id, most, at) in [
        ("stability.stable-image-core-v1:1", 4_294_967_294, "/seed"),
        (
            "us.stability.stable-image-inpaint-v1:0",
            4_294_967_294,
            "/seed",
        ),
        (
            "amazon.nova-canvas-v1:0",
            858_993_459,
            "/imageGenerationConfig/seed",
        ),
    ] {
        let seeds = encoded(id, 3, Some(most))
            .into_iter()
            .map(|(request, decoder)| {
                let body = [&request.body, decoder.tail().unwrap()].concat();
                let body: Value = serde_json::from_slice(&body).unwrap();
                body.pointer(at).and_then(Value::as_u64).unwrap()
            });
        assert_eq!(seeds.collect::<Vec<_>>(), [most.into(), 1, 2], "{id}");
    }
}

#[test]
fn format_is_that_of_the_bytes() {
    let of = |bytes: &[u8]| format(&STANDARD.encode(bytes)).ok();
    let long = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 1000]].concat();
    assert_eq!(of(&long), Some("png"));
    assert_eq!(of(b"\xff\xd8\xff\xe0\x00\x10JFIF"), Some("jpeg"));
    assert_eq!(of(b"RIFF\x24\x00\x00\x00WEBPVP8 "), Some("webp"));
    assert_eq!(of(b"GIF89a"), None);
    assert_eq!(of(b"hello"), None);
    let broken = format!("{}!", STANDARD.encode(&long));
    assert!(
        format(&broken).is_err(),
        "what follows the signature counts"
    );
}
