//! What bounds the cost of a request to InvokeModel, whose body has the form of the model's family.

use serde_json::{Map, Value};

use super::{
    invoke::{LIMITS, NOVA_LIMITS, TITAN_LIMITS},
    size::{Size, is_at_high_effort, sets_reasoning},
    tier::tier,
    units::Units,
};
use crate::{error::Error, operation::expansion};

/// Names and types of members that hold media, or say where they are.
const MEDIA: [&str; 14] = [
    "image",
    "images",
    "image_url",
    "input_image",
    "inputImage",
    "document",
    "documents",
    "video",
    "audio",
    "input_audio",
    "file",
    "source",
    "mediaSource",
    "s3Location",
];

/// Members with the Base64 of inline media.
const INLINE: [&str; 5] = ["data", "bytes", "base64String", "inputImage", "url"];

/// The shortest text that is taken for inline media, in bytes. The smallest images have some more.
const LEAST_INLINE: usize = 64;

/// Counts a body, whose text is `json`. `header` returns a header of the request.
///
/// # Errors
/// 400 for a service tier whose price is unknown.
pub fn invoke_size<'h>(
    body: &Map<String, Value>,
    json: &[u8],
    header: impl Fn(&str) -> Option<&'h str>,
) -> Result<Size, Error> {
    const TIER: &str = "x-amzn-bedrock-service-tier";
    let list = |name: &str| body.get(name).and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let nested_tools = body
        .get("toolConfig")
        .and_then(|config| config.get("tools"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len) as u64;
    let within = |outer: &str, names: &'static [&'static str]| {
        let config = body.get(outer);
        names.iter().filter_map(move |name| config?.get(*name))
    };
    let nested = within("inferenceConfig", &NOVA_LIMITS);
    let nested = nested.chain(within("textGenerationConfig", &TITAN_LIMITS));
    let limits = LIMITS
        .iter()
        .filter_map(|name| body.get(*name))
        .chain(nested);
    let mut size = Size {
        text: (json.len() + expansion::of_body(json)) as u64,
        messages: list("messages").max(1),
        tools: list("tools") + nested_tools,
        guardrail: header("x-amzn-bedrock-guardrailidentifier").is_some(),
        tier: tier(
            header("x-amzn-bedrock-performanceconfig-latency"),
            header(TIER),
            TIER,
        )?,
        max_tokens: limits.filter_map(limit).max(),
        has_fields: sets_reasoning(body),
        sets_reasoning: sets_reasoning(body),
        is_at_high_effort: is_at_high_effort(body),
        members: body.keys().cloned().collect(),
        units: Units::of(body),
        ..Size::default()
    };
    let mut open: Vec<&Value> = Vec::new();
    size.add_members(body, &mut open);
    while let Some(value) = open.pop() {
        match value {
            Value::String(_) => size.texts += 1,
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                size.unbounded_media |= members
                    .get("type")
                    .and_then(Value::as_str)
                    .is_some_and(is_media);
                size.marked |= ["cache_control", "cachePoint"]
                    .iter()
                    .any(|name| members.contains_key(*name));
                size.server_tools |= members.contains_key("systemTool");
                size.add_members(members, &mut open);
            }
            _ => {}
        }
    }
    Ok(size)
}

/// Returns a limit of the output, in tokens. Models accept `5000.0` too, and reject what is no number.
fn limit(value: &Value) -> Option<u32> {
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and more than a model accepts is as good as no limit"
    )]
    let tokens = number.ceil() as u32;
    Some(tokens)
}

fn is_media(name: &str) -> bool {
    MEDIA.contains(&name)
}

impl Size {
    /// Counts what the names of members say, and opens their values.
    fn add_members<'v>(&mut self, members: &'v Map<String, Value>, open: &mut Vec<&'v Value>) {
        for (name, value) in members {
            self.unbounded_media |= is_media(name);
            if INLINE.contains(&name.as_str())
                && let Some(bytes) = value.as_str().and_then(inline)
            {
                self.media += bytes as u64;
                self.images += 1;
            }
            open.push(value);
        }
    }
}

/// Returns the length of the Base64 that `text` consists of, maybe as a `data:` URL. `None` if it is another text.
fn inline(text: &str) -> Option<usize> {
    let data = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,")?.1,
        None => text,
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    (data.len() >= LEAST_INLINE && data.bytes().all(is_base64)).then_some(data.len())
}
