//! Finds citations in answers: markers such as `[2]` or `[1, 3]`, even if a stream splits them. Brackets in fenced code,
//! and brackets in JSON outside strings, are not citations.

use std::{collections::HashMap, sync::Arc};

use crate::{
    call::{Passage, Retrieval},
    openai::completion::{Annotation, UrlCitation},
    operation::chat::{ChatReply, ChoiceChunk, Chunk},
};

/// The most digits of a number. Passages have fewer.
const MAX_DIGITS: usize = 4;

/// The most numbers in a marker. Bounds the memory that an answer can use.
const MAX_NUMBERS: usize = 20;

/// The number of backticks that opens a code fence.
const FENCE: usize = 3;

/// The most characters of an annotation's `title`.
const MAX_TITLE: usize = 200;

/// A marker in a text. `start` and `end` count Unicode code points; `end` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub start: usize,
    pub end: usize,
    /// The distinct numbers in the marker.
    pub numbers: Vec<usize>,
}

/// Finds markers in a text that arrives in pieces.
#[derive(Debug, Default)]
pub struct Finder {
    /// The text is JSON.
    json: bool,
    in_string: bool,
    escaped: bool,
    /// The number of backticks that opened the current code fence; 0 outside of one.
    code: usize,
    /// The number of backticks immediately before the current position.
    ticks: usize,
    /// The number of code points so far.
    position: usize,
    open: Option<Open>,
}

/// A marker that has begun with `[` and not ended.
#[derive(Debug)]
struct Open {
    start: usize,
    numbers: Vec<usize>,
    digits: String,
}

impl Finder {
    /// Creates a finder. `json` is set if the answer is JSON.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// Returns the markers that end in `text`, the next piece of the answer.
    pub fn push(&mut self, text: &str) -> Vec<Marker> {
        text.chars().filter_map(|c| self.next(c)).collect()
    }

    fn next(&mut self, c: char) -> Option<Marker> {
        self.position += 1;
        if !self.is_prose(c) {
            self.open = None;
            return None;
        }
        if c == '[' {
            self.open = Some(Open {
                start: self.position - 1,
                numbers: Vec::new(),
                digits: String::new(),
            });
            return None;
        }
        let mut open = self.open.take()?;
        match c {
            '0' if open.digits.is_empty() => return None,
            '0'..='9' if open.digits.len() < MAX_DIGITS => open.digits.push(c),
            ',' | ']' if !open.digits.is_empty() && open.numbers.len() < MAX_NUMBERS => {
                let number = open.digits.parse().ok()?;
                open.digits.clear();
                if !open.numbers.contains(&number) {
                    open.numbers.push(number);
                }
                if c == ']' {
                    return Some(Marker {
                        start: open.start,
                        end: self.position,
                        numbers: open.numbers,
                    });
                }
            }
            ' ' if open.digits.is_empty() && !open.numbers.is_empty() => {}
            _ => return None,
        }
        self.open = Some(open);
        None
    }

    /// Reports whether the character belongs to prose, as opposed to code or JSON syntax.
    fn is_prose(&mut self, c: char) -> bool {
        if self.json {
            let (was, escaped) = (self.in_string, std::mem::take(&mut self.escaped));
            match c {
                '"' if !escaped => self.in_string = !was,
                '\\' if was && !escaped => self.escaped = true,
                _ => {}
            }
            return was && self.in_string;
        }
        if c == '`' {
            self.ticks += 1;
            return self.code == 0;
        }
        match std::mem::take(&mut self.ticks) {
            // Inline code is not recognized, because a stream cannot tell it from a lone backtick.
            0..FENCE => {}
            ticks if self.code == 0 => self.code = ticks,
            ticks if ticks >= self.code => self.code = 0,
            _ => {}
        }
        self.code == 0
    }
}

/// Returns the annotations for the markers that end in `text`. Numbers without a passage are ordinary text.
fn annotations(finder: &mut Finder, text: &str, passages: &[Passage]) -> Vec<Annotation> {
    let markers = finder.push(text).into_iter();
    markers
        .flat_map(|marker| annotate(&marker, passages))
        .collect()
}

fn annotate(marker: &Marker, passages: &[Passage]) -> Vec<Annotation> {
    let cited = marker
        .numbers
        .iter()
        .filter_map(|number| passages.get(number.checked_sub(1)?));
    let citation = |passage: &Passage| Annotation::UrlCitation {
        url_citation: UrlCitation {
            start_index: marker.start,
            end_index: marker.end,
            url: passage.source.clone(),
            title: passage.title().chars().take(MAX_TITLE).collect(),
        },
        bedrock_citation: None,
    };
    cited.map(citation).collect()
}

/// Adds an annotation for every citation to the reply, if the reply includes sources. `json` is set if the answer is
/// JSON.
pub fn annotated(reply: ChatReply, retrieval: Arc<Retrieval>, json: bool) -> ChatReply {
    let mut finders: HashMap<u32, Finder> = HashMap::new();
    reply.map_chunks(move |ChoiceChunk { choice, chunk }| {
        let Chunk::Content(text) = chunk else {
            return ChoiceChunk { choice, chunk };
        };
        let finder = finders.entry(choice).or_insert_with(|| Finder::new(json));
        let found = annotations(finder, &text, retrieval.shown());
        let chunk = match found.is_empty() {
            true => Chunk::Content(text),
            false => Chunk::CitedContent(text, found),
        };
        ChoiceChunk { choice, chunk }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&str]) -> Vec<(usize, usize, Vec<usize>)> {
        let mut finder = Finder::default();
        let markers = pieces
            .iter()
            .flat_map(|piece| finder.push(piece))
            .collect::<Vec<_>>();
        markers
            .into_iter()
            .map(|marker| (marker.start, marker.end, marker.numbers))
            .collect()
    }

    #[test]
    fn positions_are_code_points_with_the_end_exclusive() {
        assert_eq!(
            found(&["ä😀 [1] so [12]."]),
            [(3, 6, vec![1]), (10, 14, vec![12])]
        );
        assert_eq!(found(&["a[1][2]"]), [(1, 4, vec![1]), (4, 7, vec![2])]);
        assert_eq!(
            found(&["see [1, 3] and [2,4]"]),
            [(4, 10, vec![1, 3]), (15, 20, vec![2, 4])]
        );
        assert_eq!(found(&["[[7]"]), [(1, 4, vec![7])]);
        assert_eq!(found(&["[3, 3,3]"]), [(0, 8, vec![3])], "each once");
        assert_eq!(
            found(&[&format!(
                "[{}]",
                (1..100)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            )]),
            []
        );
        for text in [
            "[a]", "[]", "[1", "1]", "[1a]", "[ 1]", "[12345]", "[1,]", "[1 2]", "[-1]", "[01]",
            "[0]",
        ] {
            assert_eq!(found(&[text]), [], "{text}");
        }
    }

    #[test]
    fn brackets_in_code_and_json_syntax_are_not_citations() {
        assert_eq!(found(&["x\n```py\na[1] = `b[2]`\n```\nso [3]"]).len(), 1);
        assert_eq!(found(&["````\n```[1]```\n```` [2] ` [3]"]).len(), 2);
        let json = |text: &str| Finder::new(true).push(text).len();
        assert_eq!(
            json(r#"{"ids": [1], "text": "so [2], \"or [3]\" it \\\\", "more": [4]}"#),
            2
        );
        assert_eq!(json("[1]"), 0);
    }

    #[test]
    fn markers_are_found_wherever_a_stream_splits_them() {
        let text = "ö[1] x [2, 10]y[[3] ```[4]```";
        let whole = found(&[text]);
        assert_eq!(whole.len(), 3);
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(found(&[&text[..at], &text[at..]]), whole, "{at}");
        }
        let chars: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(
            found(&chars.iter().map(String::as_str).collect::<Vec<_>>()),
            whole
        );
    }
}
