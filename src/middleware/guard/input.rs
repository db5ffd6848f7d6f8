//! Judges inputs, and masks what the guardrail masks.

use std::{borrow::Cow, sync::Arc};

use super::Evaluation;
use crate::{
    call::{Call, Warnings},
    error::Error,
    knowledge::prompt,
    openai::message::MediaUrl,
    operation::{
        chat::{
            Chat, Media, MediaData, Part,
            guard::{Scope, texts},
            is_inline,
        },
        guarded::{self, Cut},
    },
    upstream::{Action, Content, Source},
};

/// The most characters of one request, and at least those of one part. AWS limits the units per second, and by default to 25.
const MAX_CHARS: usize = 20_000;

/// The most texts of one request.
const MAX_TEXTS: usize = 50;

/// The outcome for all texts together.
pub enum Outcome {
    Pass,
    /// The texts that have masks, by their position.
    Masked(Vec<Option<String>>),
    /// The message of the guardrail.
    Blocked(String),
}

/// Judges the texts and images of a chat, and masks its texts. Returns the message of the guardrail if it blocks.
///
/// # Errors
/// If there is no verdict, the masked texts must not be sent, an image is broken, or the client disconnected.
pub async fn evaluate(
    evaluation: &Evaluation,
    call: &mut Call<Chat>,
    scope: Scope,
) -> Result<Option<String>, Error> {
    let chat = &*call.body;
    let images = images(chat, scope, call.trace.warnings())?;
    let texts = texts::all(chat, &call.model, scope);
    let images: Vec<_> = images.iter().map(as_content).collect();
    let outcome = evaluate_all(evaluation, &texts, &images).await?;
    match outcome {
        Outcome::Pass => Ok(None),
        Outcome::Blocked(message) => Ok(Some(message)),
        Outcome::Masked(masked) => {
            evaluation
                .check_masked(added(texts.into_iter(), &masked))
                .await?;
            let chat = Arc::make_mut(&mut call.body);
            texts::mask(chat, &call.model, scope, masked);
            Ok(None)
        }
    }
}

/// The bytes that masks add to those of `texts` that they make longer.
pub fn added<'a>(texts: impl Iterator<Item = &'a str>, masked: &[Option<String>]) -> u64 {
    let added = texts.zip(masked).map(|(text, masked)| {
        let new = masked.as_deref().unwrap_or(text);
        new.len().saturating_sub(text.len()) as u64
    });
    added.sum()
}

/// Judges texts, and images in Base64.
///
/// # Errors
/// If there is no verdict.
pub async fn evaluate_inputs(
    evaluation: &Evaluation,
    texts: &[&str],
    images: &[&str],
) -> Result<Outcome, Error> {
    let warnings = evaluation.trace.warnings();
    let data = images.iter().filter_map(|image| MediaData::inline(image));
    let images: Vec<_> = data
        .filter_map(|data| judged_image(data, warnings))
        .collect();
    let images: Vec<_> = images.iter().map(as_content).collect();
    evaluate_all(evaluation, texts, &images).await
}

/// A text that is judged part by part.
struct Progress<'a> {
    original: &'a str,
    /// What was not released yet.
    rest: &'a str,
    /// What was released, with masks.
    released: String,
}

impl<'a> Progress<'a> {
    fn new(original: &'a str) -> Self {
        Self {
            original,
            rest: original,
            released: String::new(),
        }
    }

    /// The next part.
    fn part(&self) -> Cut {
        guarded::cut(self.rest, guarded::INPUT).unwrap_or_else(|| Cut::last(self.rest))
    }

    /// Releases what precedes the tail of `part`, with the masks in `masked`.
    fn release(&mut self, part: Cut, masked: Option<&str>) {
        let text = &self.rest[..part.end];
        let (end, new) = match masked {
            None => (part.tail, &text[..part.tail]),
            Some(masked) => {
                let (end, new_end) = guarded::released(text, masked, part.tail);
                (end, &masked[..new_end])
            }
        };
        self.released.push_str(new);
        self.rest = &self.rest[end..];
    }
}

/// Judges texts, several in one request, and images, one after the other. The first block ends it.
async fn evaluate_all(
    evaluation: &Evaluation,
    texts: &[&str],
    images: &[Content<'_>],
) -> Result<Outcome, Error> {
    let mut texts: Vec<_> = texts.iter().map(|text| Progress::new(text)).collect();
    loop {
        let next = next_parts(&texts);
        if next.is_empty() {
            break;
        }
        // The service rejects blank text.
        let is_blank = |(at, part): &(usize, Cut)| texts[*at].rest[..part.end].trim().is_empty();
        let (blank, asked): (Vec<_>, Vec<_>) = next.into_iter().partition(is_blank);
        let text = |(at, part): &(usize, Cut)| Content::Text(&texts[*at].rest[..part.end]);
        let content: Vec<_> = asked.iter().map(text).collect();
        let action = match content.is_empty() {
            true => Action::Pass,
            false => evaluation.ask(Source::Input, &content).await?,
        };
        let masked = match action {
            Action::Pass => Vec::new(),
            Action::Block(message) => return Ok(Outcome::Blocked(message)),
            Action::Mask(masked) => masked,
        };
        for (nth, (at, part)) in asked.into_iter().enumerate() {
            texts[at].release(part, masked.get(nth).map(String::as_str));
        }
        for (at, part) in blank {
            texts[at].release(part, None);
        }
    }
    for image in images {
        if let Action::Block(message) = evaluation.ask(Source::Input, &[*image]).await? {
            return Ok(Outcome::Blocked(message));
        }
    }
    let masked = |text: Progress<'_>| (text.released != text.original).then_some(text.released);
    let masked: Vec<_> = texts.into_iter().map(masked).collect();
    match masked.iter().any(Option::is_some) {
        true => Ok(Outcome::Masked(masked)),
        false => Ok(Outcome::Pass),
    }
}

/// The parts that go into the next request, with the positions of their texts: one of each text, because the tail of a
/// part depends on its verdict.
fn next_parts(texts: &[Progress<'_>]) -> Vec<(usize, Cut)> {
    let mut chars = 0;
    let pending = texts.iter().enumerate();
    pending
        .filter(|(_, text)| !text.rest.is_empty())
        .map(|(at, text)| (at, text.part()))
        .take(MAX_TEXTS)
        .take_while(|(at, part)| {
            chars += texts[*at].rest[..part.end].chars().count();
            chars <= MAX_CHARS
        })
        .collect()
}

/// An image that a guardrail can judge: its format and its Base64.
type Image<'a> = (&'static str, Cow<'a, str>);

fn as_content<'a>((format, data): &'a Image<'_>) -> Content<'a> {
    Content::Image { format, data }
}

/// The images that a guardrail can judge. Adds a warning about all other media.
///
/// # Errors
/// 400 if the data of an image cannot be read.
fn images<'a>(chat: &'a Chat, scope: Scope, warnings: &Warnings) -> Result<Vec<Image<'a>>, Error> {
    let messages = chat.conversations().flatten();
    let parts = messages
        .filter(|message| texts::is_evaluated(message))
        .flat_map(|message| &message.parts);
    let inner = parts.flat_map(|part| match part {
        Part::ToolResult(result) => result.content.as_slice(),
        part => std::slice::from_ref(part),
    });
    let mut images = Vec::new();
    for part in inner {
        match part {
            Part::Image(image) if is_in_scope(image, scope) => {
                let url = image.value.url.as_str();
                if url.starts_with("s3://") {
                    warn_of_image(warnings);
                    continue;
                }
                let at = format!("{}.image_url.url", image.at);
                let data = MediaData::of(url, &chat.fetched, &at)?;
                images.extend(judged_image(data, warnings));
            }
            Part::File(_) | Part::Video(_) | Part::Audio(_) | Part::SearchResult(_)
                if scope != Scope::Added =>
            {
                warnings.add(
                    "bedrock.guardrail: documents, search results, audio and video were not evaluated (a guardrail takes text and images)",
                );
            }
            _ => {}
        }
    }
    Ok(images)
}

fn is_in_scope(image: &Media<MediaUrl>, scope: Scope) -> bool {
    let is_client = is_inline(&image.value.url) && image.at != prompt::AT;
    match scope {
        Scope::All => true,
        Scope::Client => is_client,
        Scope::Added => !is_client,
    }
}

/// Returns the image if it is a PNG or a JPEG, as its bytes say.
fn judged_image<'a>(data: MediaData<'a>, warnings: &Warnings) -> Option<Image<'a>> {
    match data.image_format() {
        Some(format @ ("png" | "jpeg")) => Some((format, data.base64)),
        _ => {
            warn_of_image(warnings);
            None
        }
    }
}

fn warn_of_image(warnings: &Warnings) {
    warnings.add("bedrock.guardrail: an image was not evaluated (a guardrail takes PNG and JPEG)");
}
