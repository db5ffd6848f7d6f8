//! Where an answer cites passages: `[2]`, or `[1, 3]`, also where a stream has cut it into pieces.

use std::collections::HashMap;

use futures_util::StreamExt;

use crate::{
    call::{ChatReply, ChoiceChunk, Chunk, ChunkStream, Cost, Passage, Retrieval, Usage},
    openai::completion::{Annotation, UrlCitation},
};

/// Digits of a number; longer ones are none of ours.
const MAX_DIGITS: usize = 4;

/// A marker in a text: its position in Unicode code points, the end exclusive, and the numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub start: usize,
    pub end: usize,
    pub numbers: Vec<usize>,
}

/// Finds markers in a text that comes in pieces.
#[derive(Debug, Default)]
pub struct Finder {
    /// Code points so far.
    position: usize,
    open: Option<Open>,
}

/// After a `[`.
#[derive(Debug)]
struct Open {
    start: usize,
    numbers: Vec<usize>,
    digits: String,
}

impl Finder {
    /// The markers that end in `text`.
    pub fn push(&mut self, text: &str) -> Vec<Marker> {
        let mut found = Vec::new();
        for c in text.chars() {
            self.position += 1;
            if c == '[' {
                self.open = Some(Open { start: self.position - 1, numbers: Vec::new(), digits: String::new() });
                continue;
            }
            let Some(mut open) = self.open.take() else { continue };
            match c {
                '0'..='9' if open.digits.len() < MAX_DIGITS => open.digits.push(c),
                ',' | ']' if !open.digits.is_empty() => {
                    open.numbers.extend(open.digits.parse::<usize>());
                    open.digits.clear();
                    if c == ']' {
                        found.push(Marker { start: open.start, end: self.position, numbers: open.numbers });
                        continue;
                    }
                }
                ' ' if open.digits.is_empty() && !open.numbers.is_empty() => {}
                _ => continue,
            }
            self.open = Some(open);
        }
        found
    }
}

/// The annotations of the markers that end in `text`. Numbers that no passage has are text like any other.
fn annotations(finder: &mut Finder, text: &str, passages: &[Passage]) -> Vec<Annotation> {
    let annotate = |marker: Marker| {
        let cited = marker.numbers.clone().into_iter().filter_map(|number| passages.get(number.checked_sub(1)?));
        cited
            .map(|passage| Annotation::UrlCitation {
                url_citation: UrlCitation {
                    start_index: marker.start,
                    end_index: marker.end,
                    url: passage.source.clone(),
                    title: passage.title().to_owned(),
                },
                bedrock_citation: None,
            })
            .collect::<Vec<_>>()
    };
    finder.push(text).into_iter().flat_map(annotate).collect()
}

/// The reply with an annotation for every citation, if the client wants to see sources, and with what retrieval has
/// cost beside the model: `None` where that is not known.
pub fn annotated(reply: ChatReply, retrieval: &Retrieval, fees: Option<Cost>) -> ChatReply {
    let passages = if retrieval.include_sources { retrieval.passages.clone() } else { Vec::new() };
    let charge = move |usage: Usage| Usage { cost: usage.cost.zip(fees).map(|(cost, fees)| cost + fees), ..usage };
    match reply {
        ChatReply::Whole(mut reply) => {
            reply.usage = charge(reply.usage);
            for message in reply.choices.iter_mut().map(|choice| &mut choice.message) {
                let found =
                    annotations(&mut Finder::default(), message.content.as_deref().unwrap_or_default(), &passages);
                message.annotations.extend(found);
            }
            ChatReply::Whole(reply)
        }
        ChatReply::Stream(stream) => {
            let mut finders: HashMap<u32, Finder> = HashMap::new();
            ChatReply::Stream(ChunkStream::new(stream.map(move |item| {
                let ChoiceChunk { choice, chunk } = item?;
                let chunk = match chunk {
                    Chunk::Content(text) => {
                        let found = annotations(finders.entry(choice).or_default(), &text, &passages);
                        if found.is_empty() { Chunk::Content(text) } else { Chunk::CitedContent(text, found) }
                    }
                    Chunk::Usage(usage) => Chunk::Usage(charge(usage)),
                    other => other,
                };
                Ok(ChoiceChunk { choice, chunk })
            })))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&str]) -> Vec<(usize, usize, Vec<usize>)> {
        let mut finder = Finder::default();
        let markers = pieces.iter().flat_map(|piece| finder.push(piece)).collect::<Vec<_>>();
        markers.into_iter().map(|marker| (marker.start, marker.end, marker.numbers)).collect()
    }

    #[test]
    fn positions_are_code_points_with_the_end_exclusive() {
        assert_eq!(found(&["ä😀 [1] so [12]."]), [(3, 6, vec![1]), (10, 14, vec![12])]);
        assert_eq!(found(&["a[1][2]"]), [(1, 4, vec![1]), (4, 7, vec![2])]);
        assert_eq!(found(&["see [1, 3] and [2,4]"]), [(4, 10, vec![1, 3]), (15, 20, vec![2, 4])]);
        assert_eq!(found(&["[[7]"]), [(1, 4, vec![7])]);
        for text in ["[a]", "[]", "[1", "1]", "[1a]", "[ 1]", "[12345]", "[1,]", "[1 2]", "[-1]"] {
            assert_eq!(found(&[text]), [], "{text}");
        }
    }

    #[test]
    fn any_cut_finds_the_same() {
        let text = "ö[1] x [2, 10]y[[3]";
        let whole = found(&[text]);
        assert_eq!(whole.len(), 3);
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(found(&[&text[..at], &text[at..]]), whole, "{at}");
        }
        let chars: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(found(&chars.iter().map(String::as_str).collect::<Vec<_>>()), whole);
    }
}
