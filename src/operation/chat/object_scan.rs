//! Follows the text of a JSON object as its pieces arrive, without keeping it. The arguments of a tool call are such a text,
//! and whoever passes them on must know whether they are complete, and whether they can still become valid.

/// What is known about the text so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing but white space.
    Blank,
    /// The beginning of an object.
    Partial,
    /// A whole object.
    Complete,
    /// No text that follows can make it an object.
    Invalid,
}

/// The state of one text. Each byte is read once.
#[derive(Clone, Debug, Default)]
pub struct ObjectScan {
    state: State,
    /// The open objects and arrays. True is an object.
    open: Vec<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// After `{`.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    Colon,
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After a value.
    Separator,
    Done,
    Invalid,
    /// In a string, which may be a key.
    Text(bool),
    Escape(bool),
    /// In `\u`, with so many digits to come.
    Hex(bool, u8),
    /// What `true`, `false` or `null` lacks.
    Word(&'static [u8]),
    Number(Number),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Sign,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl ObjectScan {
    /// Reads the next piece.
    pub fn push(&mut self, piece: &str) -> Progress {
        for byte in piece.bytes() {
            self.state = self.next(byte);
            if self.state == State::Invalid {
                break;
            }
        }
        self.progress()
    }

    /// Returns what is known about the text so far.
    pub fn progress(&self) -> Progress {
        match self.state {
            State::Start => Progress::Blank,
            State::Done => Progress::Complete,
            State::Invalid => Progress::Invalid,
            _ => Progress::Partial,
        }
    }

    fn next(&mut self, byte: u8) -> State {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::Text(is_key) => match byte {
                b'"' if is_key => State::Colon,
                b'"' => State::Separator,
                b'\\' => State::Escape(is_key),
                0..0x20 => State::Invalid,
                _ => State::Text(is_key),
            },
            State::Escape(is_key) => match byte {
                b'u' => State::Hex(is_key, 4),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text(is_key),
                _ => State::Invalid,
            },
            State::Hex(is_key, left) => match (byte.is_ascii_hexdigit(), left) {
                (true, 1) => State::Text(is_key),
                (true, left) => State::Hex(is_key, left - 1),
                (false, _) => State::Invalid,
            },
            State::Word(rest) => match rest.split_first() {
                Some((next, [])) if *next == byte => State::Separator,
                Some((next, rest)) if *next == byte => State::Word(rest),
                _ => State::Invalid,
            },
            State::Number(number) => self.digit(number, byte),
            state if is_space => state,
            State::Start if byte == b'{' => self.begin(true),
            State::KeyOrEnd | State::Key if byte == b'"' => State::Text(true),
            State::KeyOrEnd if byte == b'}' => self.end(true),
            State::Colon if byte == b':' => State::Value,
            State::ValueOrEnd if byte == b']' => self.end(false),
            State::Value | State::ValueOrEnd => self.value(byte),
            State::Separator => match (byte, self.open.last()) {
                (b',', Some(true)) => State::Key,
                (b',', Some(false)) => State::Value,
                (b'}', _) => self.end(true),
                (b']', _) => self.end(false),
                _ => State::Invalid,
            },
            _ => State::Invalid,
        }
    }

    fn value(&mut self, byte: u8) -> State {
        match byte {
            b'{' => self.begin(true),
            b'[' => self.begin(false),
            b'"' => State::Text(false),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Number::Sign),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            _ => State::Invalid,
        }
    }

    /// Reads a byte after or in a number, which only the byte behind it ends.
    fn digit(&mut self, number: Number, byte: u8) -> State {
        use Number::{
            Exponent, ExponentDigits, ExponentSign, Fraction, Integer, Point, Sign, Zero,
        };
        State::Number(match (number, byte) {
            (Sign, b'0') => Zero,
            (Sign, b'1'..=b'9') | (Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            (Zero | Integer | Fraction | ExponentDigits, _) => {
                self.state = State::Separator;
                return self.next(byte);
            }
            _ => return State::Invalid,
        })
    }

    fn begin(&mut self, is_object: bool) -> State {
        self.open.push(is_object);
        match is_object {
            true => State::KeyOrEnd,
            false => State::ValueOrEnd,
        }
    }

    fn end(&mut self, is_object: bool) -> State {
        match (self.open.pop() == Some(is_object), self.open.is_empty()) {
            (false, _) => State::Invalid,
            (true, true) => State::Done,
            (true, false) => State::Separator,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const OBJECTS: [&str; 6] = [
        "{}",
        " { } \n",
        r#"{"a":1,"b":[-0.5e+3,true,false,null,"x\u00e9\n",{}],"c":{"d":[]}}"#,
        r#"{"a":[0,10,1.5,2E9],"": "\"}"}"#,
        r#"{"a":{"b":{"c":[[[]]]}}}"#,
        r#"{"ä":"{[,:"}"#,
    ];

    const OTHERS: [&str; 16] = [
        "[1,2]",
        "\"x\"",
        "null",
        "oops",
        r#"{"a": oops"#,
        "{'a': 1}",
        r#"{"a":1}{"b":2}"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":tru }"#,
        r#"{"a":[1}"#,
        r#"{"a" 1}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":"\x"}"#,
    ];

    #[test]
    fn object_is_complete_only_at_its_end() {
        for text in OBJECTS {
            let end = text.trim_end().len();
            let mut scan = ObjectScan::default();
            for (at, character) in text.char_indices() {
                let next = at + character.len_utf8();
                let progress = scan.push(&text[at..next]);
                let is_whole = next >= end;
                let is_begun = !text[..next].trim().is_empty();
                let expected = match (is_whole, is_begun) {
                    (true, _) => Progress::Complete,
                    (false, true) => Progress::Partial,
                    (false, false) => Progress::Blank,
                };
                assert_eq!(progress, expected, "{text} at {at}");
            }
        }
    }

    #[test]
    fn other_text_is_invalid() {
        for text in OTHERS {
            let progress = ObjectScan::default().push(text);
            assert_eq!(progress, Progress::Invalid, "{text}");
        }
    }

    #[test]
    fn verdict_is_that_of_a_parser() {
        for text in OBJECTS.iter().chain(&OTHERS) {
            let is_object = serde_json::from_str::<Value>(text).is_ok_and(|one| one.is_object());
            let progress = ObjectScan::default().push(text);
            assert_eq!(progress == Progress::Complete, is_object, "{text}");
        }
    }
}
