//! Selects the passages that go into the prompt.

use super::prompt;
use crate::{
    call::{Passage, RetrievalRequest, Search, Warnings},
    upstream::converse,
};

/// The selected passages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Best first.
    pub passages: Vec<Passage>,
    /// The length of their text, in Unicode code points.
    pub context_chars: usize,
}

/// Returns the results of one search that reach its minimum score, best first, and the number of those that do not.
/// Passages without a score are kept and come last.
pub fn best(search: &Search, mut passages: Vec<Passage>) -> (Vec<Passage>, usize) {
    let found = passages.len();
    passages.retain(|passage| passage.score.is_none_or(|score| score >= search.min_score));
    let dropped = found - passages.len();
    by_score(&mut passages);
    passages.truncate(search.max_results as usize);
    (passages, dropped)
}

/// Returns the best passages that fit into the request's limits. Only the first is truncated, if it alone is too long.
/// `max_images` is the most images for the model; images in a format that it does not accept are dropped and not
/// counted.
pub fn select(
    mut passages: Vec<Passage>,
    request: &RetrievalRequest,
    max_images: usize,
    warnings: &Warnings,
) -> Selection {
    by_score(&mut passages);
    let mut room = Room::of(request);
    let mut images = 0;
    let mut dropped_images = 0;
    let mut selected = Selection::default();
    let mut rest = passages.into_iter();
    while let Some(mut passage) = rest.next() {
        if passage
            .image
            .as_deref()
            .is_some_and(|image| images == max_images || !converse::takes_image(image))
        {
            passage.image = None;
            dropped_images += 1;
        }
        if passage.image.is_none() && passage.text.trim().is_empty() {
            continue;
        }
        let fitting = room.fitting(&passage.text);
        if fitting < passage.text.len() {
            if !selected.passages.is_empty() || fitting == 0 {
                warnings.add(format!(
                    "kb: passages that did not fit into the context: {}",
                    rest.len() + 1
                ));
                break;
            }
            passage.text.truncate(fitting);
            warnings
                .add("kb: the first passage alone is longer than the context may be, and was cut");
        }
        room.take(&passage.text);
        images += usize::from(passage.image.is_some());
        selected.context_chars += passage.text.chars().count();
        selected.passages.push(passage);
    }
    if dropped_images > 0 {
        warnings.add(format!(
            "kb: images among the passages that the model is not shown: {dropped_images}"
        ));
    }
    selected
}

/// Sorts by descending score. The sort is stable, and passages without a score come last.
fn by_score(passages: &mut [Passage]) {
    let score = |passage: &Passage| passage.score.unwrap_or(f64::NEG_INFINITY);
    passages.sort_by(|a, b| score(b).total_cmp(&score(a)));
}

/// The remaining space for passages.
struct Room {
    chars: usize,
    /// The bytes after escaping.
    bytes: usize,
}

impl Room {
    fn of(request: &RetrievalRequest) -> Self {
        Self {
            chars: request.max_context_chars as usize,
            bytes: request
                .max_context_tokens
                .map_or(usize::MAX, |tokens| 4 * tokens as usize),
        }
    }

    /// Returns the number of bytes of `text` that fit.
    fn fitting(&self, text: &str) -> usize {
        let mut bytes = 0;
        let ends = text.char_indices().enumerate().find(|(nth, (_, c))| {
            bytes += prompt::escaped_len(*c);
            *nth == self.chars || bytes > self.bytes
        });
        ends.map_or(text.len(), |(_, (at, _))| at)
    }

    fn take(&mut self, text: &str) {
        self.chars -= text.chars().count().min(self.chars);
        self.bytes = self
            .bytes
            .saturating_sub(text.chars().map(prompt::escaped_len).sum());
    }
}

#[cfg(test)]
mod tests;
