//! The prefill of an answer in JSON.

/// Puts the prefill of the request before the answer, unless the model began anew instead of continuing it.
#[derive(Debug)]
pub struct Prefix {
    /// The prefill, until the answer has begun.
    pending: Option<&'static str>,
    /// White space at the start of the answer.
    held: String,
}

impl Prefix {
    /// Creates the state for one answer. `prefix` is the opening brace, or `None` if nothing was prefilled.
    pub fn new(prefix: Option<&'static str>) -> Self {
        Self {
            pending: prefix,
            held: String::new(),
        }
    }

    /// Leaves the prefill out of the answer.
    pub fn skip(&mut self) {
        self.pending = None;
    }

    /// Returns the text to show for more text of the model.
    pub fn push(&mut self, text: String) -> String {
        let Some(prefix) = self.pending else {
            return text;
        };
        self.held.push_str(&text);
        let Some(first) = self.held.trim_start().chars().next() else {
            return String::new();
        };
        self.pending = None;
        let held = std::mem::take(&mut self.held);
        // In JSON, nothing else can follow an opening brace.
        match first {
            '"' | '}' => format!("{prefix}{held}"),
            _ => held.trim_start().to_owned(),
        }
    }

    /// Ends the text, and returns what was held back.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        match self.pending.take() {
            Some(prefix) if !held.is_empty() => format!("{prefix}{held}"),
            _ => held,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, cuts: &[usize]) -> String {
        let mut prefix = Prefix::new(Some("{"));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| text[cut[0]..cut[1]].to_owned());
        let shown: String = pieces.map(|piece| prefix.push(piece)).collect();
        shown + &prefix.finish()
    }

    proptest! {
        #[test]
        fn prefill_is_shown_only_before_text_that_continues_it(cuts in prop::collection::vec(0usize..40, 0..8)) {
            for (text, expected) in [
                (r#""a": 1}"#, r#"{"a": 1}"#),
                ("\n  \"a\": {}}", "{\n  \"a\": {}}"),
                ("}", "{}"),
                // Was `{{"a": 1}`.
                (r#"{"a": 1}"#, r#"{"a": 1}"#),
                ("\n {\"a\": 1}", r#"{"a": 1}"#),
                ("Sure: {}", "Sure: {}"),
                (" ", "{ "),
                ("", ""),
            ] {
                prop_assert_eq!(shown(text, &cuts), expected);
            }
        }
    }
}
