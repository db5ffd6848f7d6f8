//! Image models: a small PNG that depends on the request alone, so that equal requests have equal images.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Answer;

/// The words in a prompt that the safety systems reject.
const PROMPT: &str = "contraband";
const OUTPUT: &str = "smuggled";

/// The word in a prompt that makes the inference fail.
const FAILURE: &str = "unpaintable";

/// The reply of Stability AI's models.
pub fn stability(body: &Value) -> Answer {
    let prompt = body["prompt"].as_str().unwrap_or_default();
    let reason = if prompt.contains(PROMPT) {
        Some("Filter reason: prompt")
    } else if prompt.contains(OUTPUT) {
        Some("Filter reason: output image")
    } else if prompt.contains(FAILURE) {
        Some("Inference error")
    } else {
        None
    };
    let usage = json!({"images": 1});
    let reply = match reason {
        Some(reason) => json!({"finish_reasons": [reason]}),
        None => {
            let seed = body["seed"].as_u64().unwrap_or(0);
            json!({"seeds": [seed], "finish_reasons": [null], "images": [png(body)]})
        }
    };
    Answer { reply, usage }
}

/// The reply of Amazon's models.
pub fn amazon(body: &Value) -> Answer {
    let text = body.to_string();
    let usage = json!({"images": 1});
    let reply = match text.contains(OUTPUT) {
        true => {
            json!({"images": [], "error": "The generated image was blocked by our content filters."})
        }
        false => json!({"images": [png(body)], "error": null}),
    };
    Answer { reply, usage }
}

/// A PNG of one pixel, whose color depends on `body`, as Base64.
fn png(body: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    body.to_string().hash(&mut hasher);
    let [red, green, blue, ..] = hasher.finish().to_be_bytes();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // One by one pixel, 8 bits, RGB.
    chunk(&mut png, b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
    // A line without a filter, in one stored block.
    let line = [0, red, green, blue];
    let mut data = vec![0x78, 0x01, 0x01, 4, 0, !4, !0];
    data.extend(line);
    data.extend(adler32(&line).to_be_bytes());
    chunk(&mut png, b"IDAT", &data);
    chunk(&mut png, b"IEND", &[]);
    STANDARD.encode(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or_default();
    png.extend(length.to_be_bytes());
    let mut hashed = kind.to_vec();
    hashed.extend(data);
    png.extend(&hashed);
    png.extend(crc32fast::hash(&hashed).to_be_bytes());
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_valid_and_depend_on_the_request() {
        let one = png(&json!({"prompt": "a"}));
        assert_eq!(one, png(&json!({"prompt": "a"})));
        assert_ne!(one, png(&json!({"prompt": "b"})));
        let bytes = STANDARD.decode(one).unwrap();
        let size = imagesize::blob_size(&bytes).unwrap();
        assert_eq!((size.width, size.height), (1, 1));
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
