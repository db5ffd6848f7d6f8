//! What is billed by the unit instead of by the token: images, queries and texts.

use serde_json::{Map, Value};

use super::Passthrough;
use crate::{
    error::{Error, Kind},
    model::{DrawFamily, Facts},
    money::WorstCase,
    operation::{not_served, rank},
};

/// Counts of an InvokeModel body. Which of them are billed depends on the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The texts and images to embed: at least one.
    items: u64,
    /// There is a text to embed.
    has_text: bool,
    /// There is an image to embed.
    has_image: bool,
    /// There are video or audio, which are billed by their length.
    has_video: bool,
    /// The images to make.
    images: u64,
    /// The queries that the ranking of the documents is billed for.
    queries: u64,
}

/// The units that one request is billed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// Images of the input.
    pub images: u64,
    /// Queries, or texts that are billed like them.
    pub queries: u64,
    /// Images that the model makes.
    pub output_images: u64,
    /// The service may bill less: it does not say how it divides documents.
    pub is_estimate: bool,
}

impl Units {
    /// Counts a body.
    pub fn of(body: &Map<String, Value>) -> Self {
        let list = |name: &str| body.get(name).and_then(Value::as_array);
        let items = ["texts", "images", "inputs"].map(|name| list(name).map_or(0, Vec::len) as u64);
        let documents = list("documents").into_iter().flatten();
        let chunks = documents.map(|document| match document {
            Value::String(text) => rank::chunks(text),
            other => rank::chunks(&other.to_string()),
        });
        let number = |config: Option<&Value>, name: &str| config?.get(name)?.as_f64();
        let images = number(body.get("imageGenerationConfig"), "numberOfImages");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and no model makes as many"
        )]
        let mut units = Self {
            items: items.iter().sum::<u64>().max(1),
            images: images.map_or(1, |images| images.ceil() as u64).max(1),
            queries: rank::queries(chunks.sum()),
            ..Self::default()
        };
        units.find_inputs(body);
        units
    }

    /// Looks for the input of embedding models, which is inside members of different names.
    fn find_inputs(&mut self, body: &Map<String, Value>) {
        let mut open = vec![body];
        while let Some(members) = open.pop() {
            for (name, value) in members {
                match name.as_str() {
                    "inputText" | "text" | "texts" => self.has_text = true,
                    "inputImage" | "image" | "mediaSource" => self.has_image = true,
                    "video" | "audio" => self.has_video = true,
                    // Marengo 2.7 has all media in one member.
                    "inputType" => match value.as_str() {
                        Some("image") => self.has_image = true,
                        Some("video" | "audio") => self.has_video = true,
                        _ => {}
                    },
                    _ => {}
                }
                open.extend(value.as_object());
            }
        }
    }

    /// Returns what a request to a model with these facts is billed for.
    pub fn billed(&self, facts: &Facts) -> Billed {
        let family = facts.embed.as_ref().map(|embed| embed.family);
        let makes = match facts.draw.as_ref().map(|draw| draw.family) {
            None => 0,
            Some(DrawFamily::AmazonImage) => self.images,
            Some(_) => 1,
        };
        let embeds_image = family.is_some_and(|family| family.takes_images()) && self.has_image;
        let embeds_query = family.is_some_and(|family| family.bills_queries()) && self.has_text;
        Billed {
            images: u64::from(embeds_image),
            queries: match facts.rerank {
                Some(_) => self.queries,
                None => u64::from(embeds_query),
            },
            output_images: makes,
            is_estimate: facts.rerank.is_some(),
        }
    }
}

/// Checks that the gateway knows what an InvokeModel request is billed for.
///
/// # Errors
/// 404 for a model that is billed in a way the gateway does not know. 400 for a stream, or for video.
pub fn check(request: &Passthrough, facts: &Facts) -> Result<(), Error> {
    if !facts.is_not_for_chats() {
        return match facts.modality.as_str() {
            "chat" => Ok(()),
            other => Err(not_served(format!(
                "This model is for {}; the gateway does not know what its requests cost.",
                other.replace('_', " ")
            ))),
        };
    }
    let text = if request.stream {
        "This model does not stream. Use InvokeModel."
    } else if facts.embed.is_some() && request.size.units.has_video {
        "The gateway cannot bound what the embedding of video and audio costs. Send a text or an image."
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::InvalidRequest, text).with_code("unsupported_content"))
}

/// Returns the worst case of a request to a model that is not for chats.
pub fn worst_case(request: &Passthrough, facts: &Facts) -> WorstCase {
    let (size, units) = (&request.size, request.size.units);
    let input_tokens = match &facts.embed {
        None => 0,
        // The size of media does not bound their tokens. Two tokens mark the start and the end of a text.
        Some(embed) => {
            let most = embed.max_tokens.saturating_mul(units.items);
            match size.unbounded_media {
                true => most,
                false => most.min(size.text + 2 * units.items),
            }
        }
    };
    let billed = units.billed(facts);
    WorstCase {
        input_tokens,
        requests: 1,
        images: billed.images,
        queries: billed.queries,
        output_images: billed.output_images,
        tier: size.tier,
        ..WorstCase::default()
    }
}
