//! Cuts a streamed text before the first stop sequence, in time proportional to the text.

/// Cuts the text before the stop sequence that is complete first.
#[derive(Debug)]
pub struct StopCutter {
    matchers: Vec<Matcher>,
    /// The text that is held back: the start of a stop sequence, as the index of its matcher and its length.
    held: (usize, usize),
    /// Index of the stop sequence that was found.
    cut: Option<usize>,
}

impl StopCutter {
    /// Creates a cutter. No sequence may be empty.
    pub fn new(stops: &[String]) -> Self {
        Self {
            matchers: stops.iter().map(|stop| Matcher::new(stop)).collect(),
            held: (0, 0),
            cut: None,
        }
    }

    /// Returns the stop sequence that was found.
    pub fn found(&self) -> Option<&str> {
        let matcher = self.matchers.get(self.cut?)?;
        Some(&matcher.stop)
    }

    /// Adds text. Returns the text that can be passed on.
    pub fn push(&mut self, text: &str) -> String {
        if self.cut.is_some() {
            return String::new();
        }
        for (at, byte) in text.bytes().enumerate() {
            // Of sequences that end together, the longest begins first.
            let mut longest = None;
            for (nth, matcher) in self.matchers.iter_mut().enumerate() {
                if matcher.advance(byte) {
                    longest = longest.max(Some((matcher.stop.len(), nth)));
                }
            }
            if let Some((len, nth)) = longest {
                self.cut = Some(nth);
                let end = self.held().len() + at + 1;
                let before = self.joined(text, end - len);
                self.held = (0, 0);
                return before;
            }
        }
        let matched = self.matchers.iter().map(|matcher| matcher.matched);
        let (len, nth) = matched.zip(0..).max().unwrap_or_default();
        let safe = (self.held().len() + text.len()).saturating_sub(len);
        let before = self.joined(text, safe);
        self.held = (nth, len);
        before
    }

    /// Ends the text. Returns what was held back.
    pub fn finish(&mut self) -> String {
        let rest = self.held().to_owned();
        self.held = (0, 0);
        rest
    }

    fn held(&self) -> &str {
        let (nth, len) = self.held;
        self.matchers
            .get(nth)
            .map_or("", |matcher| &matcher.stop[..len])
    }

    /// Returns the first `len` bytes of the text that is held back and of `text`.
    fn joined(&self, text: &str, len: usize) -> String {
        let held = self.held();
        match len.checked_sub(held.len()) {
            Some(rest) => [held, &text[..rest]].concat(),
            None => held[..len].to_owned(),
        }
    }
}

/// Searches for one stop sequence, byte by byte, by the algorithm of Knuth, Morris and Pratt.
#[derive(Debug)]
struct Matcher {
    stop: String,
    /// For each start of `stop`, the length of the longest shorter start that it ends with.
    shorter: Vec<usize>,
    /// The length of the longest start of `stop` that the text ends with.
    matched: usize,
    /// The number of bytes compared.
    #[cfg(test)]
    compared: usize,
}

impl Matcher {
    fn new(stop: &str) -> Self {
        let mut matcher = Self {
            stop: stop.to_owned(),
            shorter: vec![0],
            matched: 0,
            #[cfg(test)]
            compared: 0,
        };
        for byte in stop.bytes().skip(1) {
            matcher.advance(byte);
            matcher.shorter.push(matcher.matched);
        }
        matcher.matched = 0;
        matcher
    }

    /// Adds one byte of text. Returns whether the text now ends with `stop`.
    fn advance(&mut self, byte: u8) -> bool {
        let stop = self.stop.as_bytes();
        loop {
            #[cfg(test)]
            {
                self.compared += 1;
            }
            if stop.get(self.matched) == Some(&byte) {
                self.matched += 1;
                return self.matched == stop.len();
            }
            if self.matched == 0 {
                return false;
            }
            self.matched = self.shorter[self.matched - 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the text before the stop sequence that is complete first, and that sequence.
    fn naive(text: &str, stops: &[String]) -> (String, Option<String>) {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let ending = stops.iter().filter(|stop| text[..end].ends_with(*stop));
            if let Some(stop) = ending.max_by_key(|stop| stop.len()) {
                return (text[..end - stop.len()].to_owned(), Some(stop.clone()));
            }
        }
        (text.to_owned(), None)
    }

    proptest! {
        #[test]
        fn text_is_cut_like_a_naive_search_cuts_it(
            stops in prop::collection::vec("[abé]{1,5}", 1..4),
            pieces in prop::collection::vec("[abé]{0,4}", 0..8),
        ) {
            let mut cutter = StopCutter::new(&stops);
            let mut text = String::new();
            for piece in &pieces {
                text += &cutter.push(piece);
            }
            text += &cutter.finish();
            let found = cutter.found().map(str::to_owned);
            prop_assert_eq!((text, found), naive(&pieces.concat(), &stops));
        }
    }

    /// The old code searched all of the text that it held back, 300 bytes on average, again for each byte.
    #[test]
    fn each_byte_of_text_is_compared_at_most_twice() {
        let stop = |end: &str| format!("{}{end}", "ab".repeat(511));
        let stops = [stop("b"), stop("c"), stop("é")];
        let mut cutter = StopCutter::new(&stops);
        let prepared: usize = cutter.matchers.iter().map(|matcher| matcher.compared).sum();
        assert!(prepared < 2 * 3 * 1024, "{prepared}");
        let text = format!("{}xé", "ab".repeat(300)).repeat(100);
        let mut passed = 0;
        for piece in text.chars() {
            passed += cutter.push(&piece.to_string()).len();
        }
        passed += cutter.finish().len();
        assert_eq!(passed, text.len());
        for matcher in &cutter.matchers {
            assert!(
                matcher.compared - 1024 * 2 < 2 * text.len(),
                "{}",
                matcher.compared
            );
        }
    }
}
