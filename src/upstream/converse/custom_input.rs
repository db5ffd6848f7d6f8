//! The input of a custom tool is text, but models send arguments in JSON: `{"input": "…"}`. The text is passed on while the
//! model writes it.

use serde::Deserialize;

use crate::{
    call::Warnings,
    operation::chat::{ObjectScan, Progress},
};

/// What precedes the text. White space may stand at its [`GAPS`].
const PREFIX: &[u8] = br#"{"input":""#;

/// The places in the prefix that may follow white space.
const GAPS: [usize; 4] = [0, 1, 8, 9];

/// The input of one call, as its pieces arrive.
#[derive(Debug, Default)]
pub struct CustomInput {
    state: State,
    scan: ObjectScan,
    /// The arguments, until the text begins.
    raw: String,
    /// The text so far.
    text: String,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    /// Something in the text is not valid JSON.
    is_malformed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This much of the prefix has arrived.
    Prefix(usize),
    /// The arguments begin in another way. The text is known when they are complete.
    Whole,
    Text,
    Escape,
    /// In `\u`, with so many digits to come.
    Hex {
        left: u8,
        value: u16,
    },
    /// After the text.
    End,
}

impl Default for State {
    fn default() -> Self {
        Self::Prefix(0)
    }
}

impl CustomInput {
    /// Adds a piece of the arguments, and returns the text in it.
    pub fn push(&mut self, piece: &str) -> &str {
        self.scan.push(piece);
        let before = self.text.len();
        for (at, character) in piece.char_indices() {
            match self.state {
                State::Prefix(_) => self.prefix(character),
                State::Whole => {
                    self.raw.push_str(&piece[at..]);
                    break;
                }
                State::End => break,
                State::Text | State::Escape | State::Hex { .. } => self.character(character),
            }
        }
        &self.text[before..]
    }

    /// Reports whether the arguments are a whole object.
    pub fn is_complete(&self) -> bool {
        self.scan.progress() == Progress::Complete
    }

    /// Reports whether the arguments end inside the object.
    pub fn is_cut(&self) -> bool {
        self.scan.progress() == Progress::Partial
    }

    /// Ends the arguments. Returns the text, and how much of it was returned before.
    pub fn finish(mut self, warnings: &Warnings) -> (String, usize) {
        let before = self.text.len();
        if let State::Prefix(_) | State::Whole = self.state {
            return (unwrapped(self.raw, warnings), before);
        }
        self.lone_half();
        if self.is_cut() {
            warnings.add(
                "reply: the input of a custom tool is incomplete (the answer ended inside it)",
            );
        } else if self.is_malformed || !self.is_complete() {
            warnings.add("reply: the input of a custom tool may be damaged (the model did not send valid JSON)");
        }
        (self.text, before)
    }

    fn prefix(&mut self, character: char) {
        self.raw.push(character);
        let State::Prefix(at) = self.state else {
            return;
        };
        let is_space = matches!(character, ' ' | '\t' | '\n' | '\r');
        self.state = if PREFIX.get(at).copied().map(char::from) == Some(character) {
            match at + 1 == PREFIX.len() {
                true => State::Text,
                false => State::Prefix(at + 1),
            }
        } else if is_space && GAPS.contains(&at) {
            State::Prefix(at)
        } else {
            State::Whole
        };
        if self.state == State::Text {
            self.raw = String::new();
        }
    }

    /// Adds a character of the JSON string. What is not valid there is passed on as it is, because text that was passed on
    /// before cannot be taken back.
    fn character(&mut self, character: char) {
        let plain = match (self.state, character) {
            (State::Text, '\\') => {
                self.state = State::Escape;
                return;
            }
            (State::Text, '"') => {
                self.lone_half();
                self.state = State::End;
                return;
            }
            (State::Escape, 'u') => {
                self.state = State::Hex { left: 4, value: 0 };
                return;
            }
            (State::Hex { left, value }, _) => return self.digit(left, value, character),
            (State::Escape, 'n') => '\n',
            (State::Escape, 't') => '\t',
            (State::Escape, 'r') => '\r',
            (State::Escape, 'b') => '\u{8}',
            (State::Escape, 'f') => '\u{c}',
            (State::Escape, '"' | '\\' | '/') => character,
            (State::Escape, _) => {
                self.lone_half();
                self.is_malformed = true;
                self.text.push('\\');
                character
            }
            _ => character,
        };
        self.lone_half();
        self.state = State::Text;
        self.text.push(plain);
    }

    fn digit(&mut self, left: u8, value: u16, character: char) {
        let Some(digit) = character
            .to_digit(16)
            .and_then(|digit| u16::try_from(digit).ok())
        else {
            self.lone_half();
            self.replacement();
            self.state = State::Text;
            return self.character(character);
        };
        let value = value << 4 | digit;
        if left > 1 {
            let left = left - 1;
            self.state = State::Hex { left, value };
            return;
        }
        self.state = State::Text;
        let pair = self.high.map(|high| [high, value]);
        let decoded = |units: &[u16]| char::decode_utf16(units.iter().copied()).next()?.ok();
        if let Some(character) = pair.and_then(|pair| decoded(&pair)) {
            self.high = None;
            return self.text.push(character);
        }
        self.lone_half();
        match decoded(&[value]) {
            Some(character) => self.text.push(character),
            None if (0xD800..0xDC00).contains(&value) => self.high = Some(value),
            None => self.replacement(),
        }
    }

    /// Replaces half of a surrogate pair whose other half has not followed.
    fn lone_half(&mut self) {
        if self.high.take().is_some() {
            self.replacement();
        }
    }

    fn replacement(&mut self) {
        self.is_malformed = true;
        self.text.push(char::REPLACEMENT_CHARACTER);
    }
}

/// Returns the text in complete arguments.
fn unwrapped(arguments: String, warnings: &Warnings) -> String {
    #[derive(Deserialize)]
    struct Wrapped {
        input: String,
    }
    match serde_json::from_str::<Wrapped>(&arguments) {
        Ok(wrapped) => wrapped.input,
        Err(_) => {
            warnings.add("reply: the input of a custom tool is passed on unchanged (the model did not send the expected object)");
            arguments
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Returns the text that was passed on before the end, all of it, and the number of warnings.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a str>) -> (String, String, usize) {
        let (mut input, warnings) = (CustomInput::default(), Warnings::default());
        let early: String = pieces
            .into_iter()
            .map(|piece| input.push(piece).to_owned())
            .collect();
        let (text, before) = input.finish(&warnings);
        assert_eq!(text[..before], early);
        (early, text, warnings.texts().len())
    }

    /// Returns `text` as a JSON string with every character escaped.
    fn escaped(text: &str) -> String {
        text.encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    }

    proptest! {
        #[test]
        fn text_is_the_same_however_it_is_cut(
            text in "(\\PC|[\"\\\\/\n\t\r\u{8}\u{c}\u{0}😀]){0,20}",
            space in "[ \n]{0,2}",
            escapes in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let string = match escapes {
                true => format!("\"{}\"", escaped(&text)),
                false => Value::from(text.clone()).to_string(),
            };
            let json = format!("{space}{{{space}\"input\"{space}:{space}{string}{space}}}");
            let ends: Vec<usize> = json.char_indices().map(|(at, _)| at).collect();
            let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&ends)).collect();
            at.extend([0, json.len()]);
            at.sort_unstable();
            let (early, whole, warnings) = read(at.windows(2).map(|pair| &json[pair[0]..pair[1]]));
            prop_assert_eq!(&early, &text);
            prop_assert_eq!(whole, text);
            prop_assert_eq!(warnings, 0);
        }

        #[test]
        fn any_arguments_are_read(pieces in prop::collection::vec("[{\"input:\\\\u0d89a/ ]{0,6}", 0..8)) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (_, apart, _) = read(pieces.iter().copied());
            let (_, joined, _) = read([pieces.concat().as_str()]);
            prop_assert_eq!(apart, joined);
        }
    }

    #[test]
    fn text_that_does_not_come_first_is_known_at_the_end() {
        let arguments = json!({"about": 1, "input": "a\nb"}).to_string();
        assert_eq!(
            read([arguments.as_str()]),
            (String::new(), "a\nb".to_owned(), 0)
        );
        for arguments in ["", "{\"input\": 1}", "plain text", "{\"input"] {
            let expected = (String::new(), arguments.to_owned(), 1);
            assert_eq!(read([arguments]), expected, "{arguments}");
        }
    }

    #[test]
    fn damaged_text_is_passed_on_with_a_warning() {
        for (arguments, text) in [
            ("{\"input\":\"ab", "ab"),
            ("{\"input\":\"a\nb\"}", "a\nb"),
            (r#"{"input":"a\d\u00x"}"#, "a\\d\u{fffd}x"),
            (r#"{"input":"\ud83dx\ude00"}"#, "\u{fffd}x\u{fffd}"),
            (r#"{"input":"\ud83d"}"#, "\u{fffd}"),
            (r#"{"input":"a"} and more"#, "a"),
        ] {
            let (_, whole, warnings) = read([arguments]);
            assert_eq!((whole.as_str(), warnings), (text, 1), "{arguments}");
        }
    }
}
