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
        embed::Input,
        guarded,
    },
    upstream::{Action, Content, Source},
};

/// The most characters of one request. AWS limits the units per second, and by default to 25.
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
/// If there is no verdict, or an image is broken.
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
            let chat = Arc::make_mut(&mut call.body);
            texts::mask(chat, &call.model, scope, masked);
            Ok(None)
        }
    }
}

/// Judges inputs to embed.
///
/// # Errors
/// If there is no verdict.
pub async fn evaluate_inputs(evaluation: &Evaluation, inputs: &[Input]) -> Result<Outcome, Error> {
    let warnings = evaluation.trace.warnings();
    let mut images = Vec::new();
    let texts: Vec<&str> = inputs
        .iter()
        .map(|input| match input {
            Input::Text(text) => text.as_str(),
            Input::Image(image) => {
                let data = MediaData::inline(&image.data);
                images.extend(data.and_then(|data| judged_image(data, warnings)));
                ""
            }
        })
        .collect();
    let images: Vec<_> = images.iter().map(as_content).collect();
    evaluate_all(evaluation, &texts, &images).await
}

/// Judges texts, several in one request, and images, one after the other. The first block ends it.
async fn evaluate_all(
    evaluation: &Evaluation,
    texts: &[&str],
    images: &[Content<'_>],
) -> Result<Outcome, Error> {
    let pieces: Vec<(usize, &str)> = texts
        .iter()
        .enumerate()
        .flat_map(|(at, text)| {
            let pieces = guarded::split(text, guarded::INPUT).into_iter();
            pieces.map(move |piece| (at, piece))
        })
        .collect();
    let mut masked: Vec<Option<String>> = vec![None; texts.len()];
    let mut rest = &pieces[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(fitting(rest));
        rest = later;
        // The service rejects blank text.
        let asked: Vec<usize> = (0..now.len())
            .filter(|nth| !now[*nth].1.trim().is_empty())
            .collect();
        let content: Vec<_> = asked.iter().map(|nth| Content::Text(now[*nth].1)).collect();
        if content.is_empty() {
            continue;
        }
        match evaluation.ask(Source::Input, &content).await? {
            Action::Pass => {}
            Action::Block(message) => return Ok(Outcome::Blocked(message)),
            Action::Mask(new) => {
                for (nth, new) in asked.into_iter().zip(new) {
                    let (at, piece) = now[nth];
                    if piece != new {
                        replace(&mut masked[at], texts[at], piece, &new);
                    }
                }
            }
        }
    }
    for image in images {
        if let Action::Block(message) = evaluation.ask(Source::Input, &[*image]).await? {
            return Ok(Outcome::Blocked(message));
        }
    }
    match masked.iter().any(Option::is_some) {
        true => Ok(Outcome::Masked(masked)),
        false => Ok(Outcome::Pass),
    }
}

/// The number of pieces that go into the next request.
fn fitting(pieces: &[(usize, &str)]) -> usize {
    let mut chars = 0;
    let fits = |(_, piece): &&(usize, &str)| {
        chars += piece.chars().count();
        chars <= MAX_CHARS
    };
    pieces
        .iter()
        .take(MAX_TEXTS)
        .take_while(fits)
        .count()
        .max(1)
}

/// Replaces a piece of the text `original` in its masked version so far.
fn replace(masked: &mut Option<String>, original: &str, piece: &str, new: &str) {
    let text = masked.get_or_insert_with(|| original.to_owned());
    // What follows the piece is still as it was, so the piece is found from the end.
    let after = original.len() - (piece.as_ptr() as usize - original.as_ptr() as usize);
    let start = text.len() - after;
    text.replace_range(start..start + piece.len(), new);
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
