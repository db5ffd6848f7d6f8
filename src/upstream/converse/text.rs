//! Filters on the text of an answer that emulate features of other models. A filter holds back only text that may be the
//! start of a delimiter, so that streams are not delayed.

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
        let stops = self.stops.as_ref()?;
        stops
            .cut
            .and_then(|at| stops.stops.get(at))
            .map(String::as_str)
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
                    let seen = self.held.trim_start();
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

/// Cuts the text before the first stop sequence.
#[derive(Debug)]
struct StopCutter {
    stops: Vec<String>,
    held: String,
    /// Index of the stop sequence that was found.
    cut: Option<usize>,
}

impl StopCutter {
    fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.to_vec(),
            held: String::new(),
            cut: None,
        }
    }

    fn push(&mut self, text: &str) -> String {
        if self.cut.is_some() {
            return String::new();
        }
        self.held.push_str(text);
        let places = self
            .stops
            .iter()
            .enumerate()
            .filter_map(|(nth, stop)| Some((self.held.find(stop.as_str())?, nth)));
        if let Some((at, nth)) = places.min() {
            self.cut = Some(nth);
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let held = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let safe = self.held.len() - held;
        self.held.drain(..safe).collect()
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Strips the code fence from an answer that is a single fenced block.
#[derive(Debug, Default)]
struct FenceStripper {
    held: String,
    started: bool,
    fenced: bool,
}

impl FenceStripper {
    const FENCE: &'static str = "```";

    fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        if !self.started {
            let seen = self.held.trim_start();
            if seen.len() < Self::FENCE.len() && Self::FENCE.starts_with(seen) {
                return String::new();
            }
            if let Some(info) = seen.strip_prefix(Self::FENCE) {
                // The rest of the line names the language.
                let Some((_, rest)) = info.split_once('\n') else {
                    return String::new();
                };
                self.held = rest.to_owned();
                self.fenced = true;
            }
            self.started = true;
        }
        if !self.fenced {
            return std::mem::take(&mut self.held);
        }
        // Holds back white space and backticks, because they may be the closing fence.
        let kept = self
            .held
            .trim_end_matches(|c: char| c.is_whitespace() || c == '`')
            .len();
        self.held.drain(..kept).collect()
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
