//! Judges inputs, and masks what the guardrail masks.

use std::sync::Arc;

use super::Evaluation;
use crate::{
    call::{Call, Warnings},
    error::Error,
    openai::message::MediaUrl,
    operation::{
        chat::{Chat, Media, Part, RetrievedText, guard},
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
/// If there is no verdict.
pub async fn evaluate(
    evaluation: &Evaluation,
    call: &mut Call<Chat>,
) -> Result<Option<String>, Error> {
    let chat = &*call.body;
    let texts: Vec<&str> = parts(chat).flat_map(guard::texts).collect();
    let images = images(chat, call.trace.warnings());
    let outcome = evaluate_all(evaluation, &texts, &images).await?;
    match outcome {
        Outcome::Pass => Ok(None),
        Outcome::Blocked(message) => Ok(Some(message)),
        Outcome::Masked(masked) => {
            mask(Arc::make_mut(&mut call.body), masked);
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
                images.extend(judged_image(&image.data, warnings));
                ""
            }
        })
        .collect();
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

fn parts(chat: &Chat) -> impl Iterator<Item = &Part> {
    let messages = chat.conversations().flatten();
    messages
        .filter(|message| guard::is_evaluated(message))
        .flat_map(|message| &message.parts)
}

/// Puts masked texts into the chat, in the order of [`guard::texts`].
fn mask(chat: &mut Chat, masked: Vec<Option<String>>) {
    let mut masked = masked.into_iter();
    let messages = std::iter::once(&mut chat.messages).chain(&mut chat.more);
    let parts = messages
        .flatten()
        .filter(|message| guard::is_evaluated(message))
        .flat_map(|message| &mut message.parts);
    for part in parts {
        match part {
            Part::Text(text) => put(text, masked.next()),
            Part::Retrieved(retrieved) => mask_passages(retrieved, masked.next().flatten()),
            Part::ToolResult(result) => {
                for part in &mut result.content {
                    if let Part::Text(text) = part {
                        put(text, masked.next());
                    }
                }
            }
            _ => {}
        }
    }
}

fn put(text: &mut String, masked: Option<Option<String>>) {
    if let Some(masked) = masked.flatten() {
        *text = masked;
    }
}

fn mask_passages(retrieved: &mut RetrievedText, masked: Option<String>) {
    if let Some(masked) = masked {
        let old = retrieved.passages.clone();
        retrieved.passages = old.start..old.start + masked.len();
        retrieved.text.replace_range(old, &masked);
    }
}

/// The images that a guardrail can judge. Adds a warning about all other media.
fn images<'a>(chat: &'a Chat, warnings: &Warnings) -> Vec<Content<'a>> {
    let mut images = Vec::new();
    let mut add = |part: &'a Part| {
        match part {
        Part::Image(image) => images.extend(judged_image(image_data(chat, image), warnings)),
        Part::File(_) | Part::Video(_) | Part::Audio(_) | Part::SearchResult(_) => warnings.add(
            "bedrock.guardrail: documents, search results, audio and video were not evaluated (a guardrail takes text and images)",
        ),
        _ => {}
    }
    };
    for part in parts(chat) {
        match part {
            Part::ToolResult(result) => result.content.iter().for_each(&mut add),
            part => add(part),
        }
    }
    images
}

/// The Base64 of an image; empty if it is in S3.
fn image_data<'a>(chat: &'a Chat, image: &'a Media<MediaUrl>) -> &'a str {
    let url = image.value.url.as_str();
    match url.strip_prefix("data:") {
        Some(data) => data.split_once(',').map_or("", |(_, data)| data),
        None => chat.fetched.get(url).map_or("", String::as_str),
    }
}

/// Returns the image if it is a PNG or a JPEG, as its first bytes say.
fn judged_image<'a>(data: &'a str, warnings: &Warnings) -> Option<Content<'a>> {
    let format = match data {
        data if data.starts_with("iVBORw0KGgo") => "png",
        data if data.starts_with("/9j/") => "jpeg",
        _ => {
            warnings.add(
                "bedrock.guardrail: an image was not evaluated (a guardrail takes PNG and JPEG)",
            );
            return None;
        }
    };
    Some(Content::Image { format, data })
}
