//! Marks passages of Knowledge Bases and the question for a guardrail's contextual grounding check. The gateway's own
//! instruction stays outside, because it would be evaluated as the user's text.
//!
//! Once a block is marked, Bedrock evaluates no block without a mark, so everything that was evaluated before must be
//! marked too. If that is impossible, nothing is marked. Source: Bedrock User Guide, "Include a guardrail with the
//! Converse API" and "Use contextual grounding check", 2026-11.

use std::borrow::Cow;

use super::Context;
use crate::{
    bedrock::{
        content::{
            ContentBlock, ConversationRole, GuardrailConverseContentBlock,
            GuardrailConverseTextBlock, GuardrailQualifier, MediaBlock, MediaSource, Message,
        },
        request::ConverseRequest,
    },
    operation::chat::{Part, RetrievedText},
};

// Without `GuardContent`, the other policies would not evaluate the text.
const SOURCE: &[GuardrailQualifier] = &[
    GuardrailQualifier::GroundingSource,
    GuardrailQualifier::GuardContent,
];
const QUERY: &[GuardrailQualifier] = &[GuardrailQualifier::Query, GuardrailQualifier::GuardContent];

/// The service's limit on the grounding source, in characters.
const MAX_SOURCE: usize = 100_000;
/// The service's limit on the query, in characters.
const MAX_QUERY: usize = 1000;

/// Marks everything that the guardrail evaluates anyway, with the qualifiers of passages and question.
pub fn mark_all(converse: &mut ConverseRequest<'_>, cx: &Context<'_>) {
    let Some(retrieved) = retrieved(cx) else {
        return;
    };
    match unmarkable(converse).map_or_else(|| check(converse, retrieved, false), Err) {
        Ok(place) => {
            users(converse).for_each(guard);
            qualify(converse, retrieved, place);
        }
        Err(why) => warn(cx, why),
    }
}

/// Adds the qualifiers of passages and question to blocks that are marked already.
pub fn qualify_or_warn(converse: &mut ConverseRequest<'_>, cx: &Context<'_>) {
    let Some(retrieved) = retrieved(cx) else {
        return;
    };
    match check(converse, retrieved, true) {
        Ok(place) => qualify(converse, retrieved, place),
        Err(why) => warn(cx, why),
    }
}

/// Iterates over the user turns, the last one first.
pub fn users<'r, 'a>(
    converse: &'r mut ConverseRequest<'a>,
) -> impl Iterator<Item = &'r mut Message<'a>> {
    converse
        .messages
        .iter_mut()
        .rev()
        .filter(|message| message.role == ConversationRole::User)
}

/// Marks the text and the images of a turn.
pub fn guard(message: &mut Message<'_>) {
    for block in &mut message.content {
        match block {
            ContentBlock::Text(text) => *block = guarded(std::mem::take(text)),
            ContentBlock::Image(image) if can_be_guarded(image) => {
                *block =
                    ContentBlock::GuardContent(GuardrailConverseContentBlock::Image(image.clone()));
            }
            _ => {}
        }
    }
}

pub fn guarded(text: Cow<'_, str>) -> ContentBlock<'_> {
    ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(
        GuardrailConverseTextBlock {
            text,
            qualifiers: &[],
        },
    ))
}

/// Returns whether a guardrail can evaluate the image: GuardrailConverseImageBlock of the service model allows inline
/// PNG and JPEG.
fn can_be_guarded(image: &MediaBlock<'_>) -> bool {
    matches!(image.format, "png" | "jpeg") && matches!(image.source, MediaSource::Bytes(_))
}

fn warn(cx: &Context<'_>, why: &str) {
    cx.warnings.add(format!(
        "bedrock.guardrail: the passages are not marked for contextual grounding ({why})"
    ));
}

fn retrieved<'a>(cx: &Context<'a>) -> Option<&'a RetrievedText> {
    let mut parts = cx.messages.iter().flat_map(|message| &message.parts);
    parts.find_map(|part| match part {
        Part::Retrieved(retrieved) => Some(retrieved),
        _ => None,
    })
}

/// Returns why something that the guardrail evaluates cannot be marked.
fn unmarkable(converse: &ConverseRequest<'_>) -> Option<&'static str> {
    let why = |role, block: &ContentBlock<'_>| match block {
        ContentBlock::Image(image) if !can_be_guarded(image) => {
            Some("an image other than inline PNG and JPEG would no longer be evaluated")
        }
        ContentBlock::Document(_) | ContentBlock::SearchResult(_) => {
            Some("a document would no longer be evaluated")
        }
        ContentBlock::Text(_) if role == ConversationRole::Assistant => {
            Some("an earlier answer would no longer be evaluated")
        }
        _ => None,
    };
    converse.messages.iter().find_map(|message| {
        let mut blocks = message.content.iter();
        blocks.find_map(|block| why(message.role, block))
    })
}

/// The turn and the block of the passages.
type Place = (usize, usize);

/// Returns the place of the passages, in a block that is already `marked` or not.
///
/// # Errors
/// Why the service would reject the qualifiers.
fn check(
    converse: &ConverseRequest<'_>,
    retrieved: &RetrievedText,
    marked: bool,
) -> Result<Place, &'static str> {
    let place = converse
        .messages
        .iter()
        .enumerate()
        .find_map(|(turn, message)| {
            let is_passages = |block: &ContentBlock<'_>| {
                matches!(block, ContentBlock::GuardContent(_)) == marked
                    && text_of(block) == Some(retrieved.text.as_str())
            };
            Some((turn, message.content.iter().position(is_passages)?))
        });
    let (turn, at) = place.ok_or("they are not in a turn that the guardrail evaluates")?;
    let passages = retrieved.text.get(retrieved.passages.clone());
    if passages.is_none_or(|text| text.is_empty() || text.chars().count() > MAX_SOURCE) {
        return Err("they are longer than the check allows");
    }
    let question = converse.messages[turn].content[at + 1..]
        .iter()
        .filter_map(text_of)
        .map(|text| text.chars().count())
        .sum();
    match question {
        0 => Err("there is no text to check the answer's relevance to"),
        1..=MAX_QUERY => Ok((turn, at)),
        _ => Err("the question is longer than the check allows"),
    }
}

fn text_of<'b>(block: &'b ContentBlock<'_>) -> Option<&'b str> {
    match block {
        ContentBlock::Text(text)
        | ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(
            GuardrailConverseTextBlock { text, .. },
        )) => Some(text),
        _ => None,
    }
}

/// Qualifies the passages and the text after them, and splits the gateway's instruction from the passages.
fn qualify(converse: &mut ConverseRequest<'_>, retrieved: &RetrievedText, (turn, at): Place) {
    let content = &mut converse.messages[turn].content;
    for block in &mut content[at + 1..] {
        if let ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) = block {
            text.qualifiers = QUERY;
        }
    }
    let passages = &retrieved.passages;
    let text = |range| {
        let text: Option<&str> = retrieved.text.get::<std::ops::Range<usize>>(range);
        Cow::Owned(text.unwrap_or_default().to_owned())
    };
    let source = GuardrailConverseTextBlock {
        text: text(passages.clone()),
        qualifiers: SOURCE,
    };
    let blocks = [
        ContentBlock::Text(text(0..passages.start)),
        ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(source)),
        ContentBlock::Text(text(passages.end..retrieved.text.len())),
    ];
    // Converse rejects blank text.
    let is_blank = |block: &ContentBlock<'_>| matches!(block, ContentBlock::Text(text) if text.trim().is_empty());
    let blocks = blocks.into_iter().filter(|block| !is_blank(block));
    content.splice(at..=at, blocks);
}
