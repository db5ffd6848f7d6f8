//! `POST /v1/images/generations` and `POST /v1/images/edits`, <https://platform.openai.com/docs/api-reference/images>.

use std::cell::RefCell;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};
use serde_json::{Number, value::RawValue};

/// The request. A form for edits has the same members, and files. `None` means absent or null.
#[derive(Debug, Deserialize)]
pub struct ImageRequest {
    pub model: String,
    #[serde(default)]
    pub prompt: Option<String>,
    #[serde(default)]
    pub n: Option<u32>,
    /// `auto`, or width and height as `1024x1024`.
    #[serde(default)]
    pub size: Option<String>,
    #[serde(default)]
    pub quality: Option<String>,
    /// `b64_json`.
    #[serde(default)]
    pub response_format: Option<String>,
    /// `png`, `jpeg` or `webp`.
    #[serde(default)]
    pub output_format: Option<String>,
    #[serde(default)]
    pub output_compression: Option<u32>,
    #[serde(default)]
    pub background: Option<String>,
    #[serde(default)]
    pub moderation: Option<String>,
    #[serde(default)]
    pub style: Option<String>,
    #[serde(default)]
    pub input_fidelity: Option<String>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub partial_images: Option<u32>,
    /// Files, which only the form for edits has.
    #[serde(default)]
    pub image: Option<Box<RawValue>>,
    #[serde(default)]
    pub images: Option<Box<RawValue>>,
    #[serde(default)]
    pub mask: Option<Box<RawValue>>,
    #[serde(default)]
    pub user: Option<String>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
    // Extensions: members of the models, by their names on Bedrock.
    #[serde(default)]
    pub aspect_ratio: Option<String>,
    #[serde(default)]
    pub negative_prompt: Option<String>,
    #[serde(default)]
    pub search_prompt: Option<String>,
    #[serde(default)]
    pub select_prompt: Option<String>,
    #[serde(default)]
    pub style_preset: Option<String>,
    #[serde(default)]
    pub seed: Option<u32>,
    #[serde(default)]
    pub left: Option<u32>,
    #[serde(default)]
    pub right: Option<u32>,
    #[serde(default)]
    pub up: Option<u32>,
    #[serde(default)]
    pub down: Option<u32>,
    #[serde(default)]
    pub grow_mask: Option<u32>,
    #[serde(default)]
    pub creativity: Option<Number>,
    #[serde(default)]
    pub control_strength: Option<Number>,
    #[serde(default)]
    pub fidelity: Option<Number>,
    #[serde(default)]
    pub composition_fidelity: Option<Number>,
    #[serde(default)]
    pub style_strength: Option<Number>,
    #[serde(default)]
    pub change_strength: Option<Number>,
}

/// The members of a form that are numbers. All others are texts, except [`FLAGS`].
pub const NUMBERS: [&str; 16] = [
    "n",
    "output_compression",
    "partial_images",
    "max_cost_usd",
    "seed",
    "left",
    "right",
    "up",
    "down",
    "grow_mask",
    "creativity",
    "control_strength",
    "fidelity",
    "composition_fidelity",
    "style_strength",
    "change_strength",
];

/// The members of a form that are true or false.
pub const FLAGS: [&str; 1] = ["stream"];

/// The reply.
#[derive(Debug, Serialize)]
pub struct ImageList {
    pub created: u64,
    pub data: Images,
    pub output_format: &'static str,
    pub usage: ImageUsage,
}

/// The images of a reply, as Base64. Each is dropped once it is written, so that a large reply is not in memory twice.
#[derive(Debug, Default)]
pub struct Images(RefCell<Vec<String>>);

impl Images {
    pub fn new(images: Vec<String>) -> Self {
        Self(RefCell::new(images))
    }
}

impl Serialize for Images {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let images = self.0.take();
        let mut list = serializer.serialize_seq(Some(images.len()))?;
        for b64_json in images {
            list.serialize_element(&ImageData {
                b64_json: &b64_json,
            })?;
        }
        list.end()
    }
}

/// An image.
#[derive(Debug, Serialize)]
struct ImageData<'a> {
    b64_json: &'a str,
}

/// The usage. Images are not billed by tokens, so that all of OpenAI's members are zero.
#[derive(Debug, Default, Serialize)]
pub struct ImageUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub input_tokens_details: InputTokens,
    /// An extension: the number of images.
    pub images: u64,
    /// An extension: the exact cost in US dollars. Absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
}

/// The parts of the input.
#[derive(Debug, Default, Serialize)]
pub struct InputTokens {
    pub text_tokens: u64,
    pub image_tokens: u64,
}
