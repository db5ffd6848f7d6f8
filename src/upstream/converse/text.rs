//! Filters on the text of an answer that emulate features of other models. A filter holds back only text that may be the
//! start of a delimiter, so that streams are not delayed.

use super::stop_cutter::StopCutter;

/// A piece of filtered text.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text of the answer.
    Content(String),
    /// Reasoning that was inline in the text.
    Reasoning(String),
}

/// Separates inline reasoning, strips code fences, and cuts the text at stop sequences.
#[derive(Debug, Default)]
pub struct TextFilter {
    tag: Option<TagSplitter>,
    fence: Option<FenceStripper>,
    stops: Option<StopCutter>,
}

impl TextFilter {
    /// Creates a filter. `tag` is the element around inline reasoning, such as `think`.
    pub fn new(tag: Option<&str>, unfence: bool, stops: &[String]) -> Self {
        Self {
            tag: tag.map(TagSplitter::new),
            fence: unfence.then(FenceStripper::default),
            stops: (!stops.is_empty()).then(|| StopCutter::new(stops)),
        }
    }

    /// Returns whether the filter passes all text on as content.
    pub fn is_idle(&self) -> bool {
        self.tag.is_none() && self.fence.is_none() && self.stops.is_none()
    }

    /// Filters more text and appends the results to `out`.
    pub fn push(&mut self, text: String, out: &mut Vec<Piece>) {
        match &mut self.tag {
            None => self.content(text, out),
            Some(tag) => {
                let mut pieces = Vec::new();
                tag.push(&text, &mut pieces);
                self.pieces(pieces, out);
            }
        }
    }

    /// Ends the text and appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        if let Some(tag) = &mut self.tag {
            let mut pieces = Vec::new();
            tag.finish(&mut pieces);
            self.pieces(pieces, out);
        }
        let rest = self
            .fence
            .as_mut()
            .map(FenceStripper::finish)
            .unwrap_or_default();
        let rest = match &mut self.stops {
            Some(stops) => stops.push(&rest) + &stops.finish(),
            None => rest,
        };
        push(Piece::Content(rest), out);
    }

    /// Returns whether a stop sequence was found.
    pub fn is_cut(&self) -> bool {
        self.cut_at().is_some()
    }

    /// Returns the stop sequence that was found.
    pub fn cut_at(&self) -> Option<&str> {
        self.stops.as_ref()?.found()
    }

    fn pieces(&mut self, pieces: Vec<Piece>, out: &mut Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Content(text) => self.content(text, out),
                reasoning @ Piece::Reasoning(_) => push(reasoning, out),
            }
        }
    }

    fn content(&mut self, mut text: String, out: &mut Vec<Piece>) {
        if let Some(fence) = &mut self.fence {
            text = fence.push(&text);
        }
        if let Some(stops) = &mut self.stops {
            text = stops.push(&text);
        }
        push(Piece::Content(text), out);
    }
}

fn push(piece: Piece, out: &mut Vec<Piece>) {
    let (Piece::Content(text) | Piece::Reasoning(text)) = &piece;
    if !text.is_empty() {
        out.push(piece);
    }
}

/// Separates reasoning in `<tag>…</tag>` from the text. The element counts only at the start of the text.
#[derive(Debug)]
struct TagSplitter {
    open: String,
    close: String,
    held: String,
    /// The number of bytes of white space that `held` is known to start with.
    blank: usize,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Start,
    Inside,
    /// After the element. White space before the answer is dropped.
    After,
    Text,
}

impl TagSplitter {
    fn new(tag: &str) -> Self {
        Self {
            open: format!("<{tag}>"),
            close: format!("</{tag}>"),
            held: String::new(),
            blank: 0,
            state: State::Start,
        }
    }

    fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        if self.state == State::Text {
            return push(Piece::Content(text.to_owned()), out);
        }
        self.held.push_str(text);
        loop {
            match self.state {
                State::Start => {
                    let seen = self.held[self.blank..].trim_start();
                    self.blank = self.held.len() - seen.len();
                    if let Some(rest) = seen.strip_prefix(&self.open) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if self.open.starts_with(seen) {
                        return;
                    } else {
                        self.state = State::Text;
                    }
                }
                State::Inside => {
                    if let Some(at) = self.held.find(&self.close) {
                        push(Piece::Reasoning(self.held[..at].to_owned()), out);
                        self.held.drain(..at + self.close.len());
                        self.state = State::After;
                    } else {
                        let safe = self.held.len() - overlap(&self.held, &self.close);
                        push(Piece::Reasoning(self.held.drain(..safe).collect()), out);
                        return;
                    }
                }
                State::After => {
                    self.held = self.held.trim_start().to_owned();
                    if self.held.is_empty() {
                        return;
                    }
                    self.state = State::Text;
                }
                State::Text => return push(Piece::Content(std::mem::take(&mut self.held)), out),
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        let piece = if self.state == State::Inside {
            Piece::Reasoning(held)
        } else {
            Piece::Content(held)
        };
        push(piece, out);
    }
}

/// Returns the number of bytes at the end of `text` that may be the start of `delimiter`.
fn overlap(text: &str, delimiter: &str) -> usize {
    let most = delimiter.len().saturating_sub(1).min(text.len());
    (1..=most)
        .rev()
        .find(|len| {
            text.is_char_boundary(text.len() - len)
                && delimiter.starts_with(&text[text.len() - len..])
        })
        .unwrap_or(0)
}

/// Strips the code fence from an answer that is a single fenced block.
#[derive(Debug, Default)]
struct FenceStripper {
    held: String,
    /// The number of bytes of white space that `held` is known to start with.
    blank: usize,
    started: bool,
    fenced: bool,
}

impl FenceStripper {
    const FENCE: &'static str = "```";

    /// Maximum length of the name of a language, in bytes.
    const MAX_LANGUAGE: usize = 256;

    fn push(&mut self, text: &str) -> String {
        if self.started {
            return self.inside(text);
        }
        self.held.push_str(text);
        let seen = self.held[self.blank..].trim_start();
        self.blank = self.held.len() - seen.len();
        if seen.len() < Self::FENCE.len() && Self::FENCE.starts_with(seen) {
            return String::new();
        }
        let mut text = None;
        if let Some(info) = seen.strip_prefix(Self::FENCE) {
            // The rest of the line names the language.
            let line = info.split_once('\n');
            if line.is_none() && info.len() <= Self::MAX_LANGUAGE {
                return String::new();
            }
            let line = line.filter(|(language, _)| language.len() <= Self::MAX_LANGUAGE);
            text = line.map(|(_, text)| text.to_owned());
        }
        self.started = true;
        self.fenced = text.is_some();
        let held = std::mem::take(&mut self.held);
        self.inside(&text.unwrap_or(held))
    }

    /// Adds text behind the start of the answer.
    fn inside(&mut self, text: &str) -> String {
        if !self.fenced {
            return text.to_owned();
        }
        // Holds back white space and backticks, because they may be the closing fence.
        let may_close = |c: char| c.is_whitespace() || c == '`';
        let kept = text.trim_end_matches(may_close).len();
        let before = match kept {
            0 => String::new(),
            _ => std::mem::take(&mut self.held) + &text[..kept],
        };
        self.held.push_str(&text[kept..]);
        before
    }

    fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if !self.fenced {
            return held;
        }
        held.trim_end()
            .strip_suffix(Self::FENCE)
            .map(|text| text.trim_end().to_owned())
            .unwrap_or(held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(filter: impl Fn() -> TextFilter, text: &str, cuts: &[usize]) -> (String, String) {
        let mut filter = filter();
        let mut out = Vec::new();
        let mut from = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        for cut in cuts
            .into_iter()
            .chain([text.len()])
            .filter(|cut| text.is_char_boundary(*cut))
        {
            filter.push(text[from..cut].to_owned(), &mut out);
            from = cut;
        }
        filter.finish(&mut out);
        let (mut content, mut reasoning) = (String::new(), String::new());
        for piece in out {
            match piece {
                Piece::Content(text) => content.push_str(&text),
                Piece::Reasoning(text) => reasoning.push_str(&text),
            }
        }
        (content, reasoning)
    }

    proptest! {
        #[test]
        fn result_does_not_depend_on_how_the_text_is_split(cuts in prop::collection::vec(0usize..80, 0..12)) {
            let tag = || TextFilter::new(Some("think"), false, &[]);
            prop_assert_eq!(
                filtered(tag, " <think>a < b </thin é</think>\n\nHi <think>x</think>", &cuts),
                ("Hi <think>x</think>".to_owned(), "a < b </thin é".to_owned())
            );
            prop_assert_eq!(filtered(tag, "Say <think>", &cuts).0, "Say <think>");
            prop_assert_eq!(filtered(tag, "<thin", &cuts).0, "<thin");
            let stops = ["END".to_owned(), "é.".to_owned()];
            let stop = || TextFilter::new(None, false, &stops);
            prop_assert_eq!(filtered(stop, "one EN two é EEND three", &cuts).0, "one EN two é E");
            prop_assert_eq!(filtered(stop, "one EN", &cuts).0, "one EN");
            let fence = || TextFilter::new(None, true, &[]);
            prop_assert_eq!(filtered(fence, "```json\n{\"a\": \"`\"}\n```\n", &cuts).0, "{\"a\": \"`\"}");
            prop_assert_eq!(filtered(fence, "{\"a\": 1}", &cuts).0, "{\"a\": 1}");
        }
    }
}
