//! A tool call whose arguments arrive piece by piece. Clients parse the arguments as they arrive, and fail on text that is no
//! object, so none of it is shown.

use serde_json::value::RawValue;

use crate::{
    anthropic::reply::ContentBlock,
    operation::chat::{ObjectScan, Progress},
};

/// A call that has not ended.
#[derive(Debug)]
pub struct Call {
    /// The number of the call in the answer.
    pub index: u32,
    id: String,
    name: String,
    scan: ObjectScan,
    /// White space before the object.
    held: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client does not have the call.
    Hidden,
    Shown,
    Invalid,
}

/// What the client gets of a call.
#[derive(Debug)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// The block, and the first of its arguments.
    Begin(ContentBlock, String),
    /// More arguments.
    More(String),
    /// Nothing, because the arguments are no object.
    Drop,
    /// An error, because the arguments of a call that the client has in part are no object.
    Break,
}

impl Call {
    /// Creates a call without arguments.
    pub fn new(index: u32, id: &str, name: &str) -> Self {
        Self {
            index,
            id: id.to_owned(),
            name: name.to_owned(),
            scan: ObjectScan::default(),
            held: String::new(),
            state: State::Hidden,
        }
    }

    /// Adds a piece of the arguments.
    pub fn add(&mut self, fragment: &str) -> Step {
        if self.state == State::Invalid {
            return Step::Wait;
        }
        match (self.scan.push(fragment), self.state) {
            (Progress::Blank, _) => {
                self.held.push_str(fragment);
                Step::Wait
            }
            (Progress::Partial | Progress::Complete, State::Shown) => {
                Step::More(fragment.to_owned())
            }
            (Progress::Partial | Progress::Complete, _) => self.begin(fragment),
            (Progress::Invalid, _) => self.invalid(),
        }
    }

    /// Ends the call.
    pub fn end(mut self) -> Step {
        match (self.scan.progress(), self.state) {
            (_, State::Invalid) | (Progress::Complete, _) => Step::Wait,
            (Progress::Blank, _) => self.begin("{}"),
            _ => self.invalid(),
        }
    }

    /// Ends a call that the limit on the output cut off, which the stop reason says.
    pub fn cut(mut self) -> Step {
        match self.state {
            State::Hidden => self.begin(""),
            State::Shown | State::Invalid => Step::Wait,
        }
    }

    fn begin(&mut self, fragment: &str) -> Step {
        self.state = State::Shown;
        let block = ContentBlock::ToolUse {
            id: std::mem::take(&mut self.id),
            name: std::mem::take(&mut self.name),
            input: RawValue::from_string("{}".to_owned()).unwrap_or_default(),
        };
        let mut input = std::mem::take(&mut self.held);
        input.push_str(fragment);
        Step::Begin(block, input)
    }

    fn invalid(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Invalid) {
            State::Shown => Step::Break,
            State::Hidden | State::Invalid => Step::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(fragments: &[&str]) -> String {
        let mut call = Call::new(0, "id", "tool");
        let mut steps: Vec<Step> = fragments.iter().map(|one| call.add(one)).collect();
        steps.push(call.end());
        let letter = |step: &Step| match step {
            Step::Wait => 'w',
            Step::Begin(..) => 'b',
            Step::More(_) => 'm',
            Step::Drop => 'd',
            Step::Break => '!',
        };
        steps.iter().map(letter).collect()
    }

    #[test]
    fn call_begins_with_the_first_piece_of_an_object() {
        assert_eq!(steps(&["", " ", "{\"a\":", "1}"]), "wwbmw");
        assert_eq!(steps(&["{}"]), "bw");
        assert_eq!(steps(&[]), "b", "a tool without parameters");
    }

    #[test]
    fn call_with_other_arguments_is_dropped_or_breaks_the_answer() {
        assert_eq!(steps(&["{\"a\": oops", "}"]), "dww");
        assert_eq!(steps(&["[1]"]), "dw");
        assert_eq!(steps(&["{\"a\":1}{\"b\":2}"]), "dw");
        assert_eq!(steps(&["{\"a\":", "oops", "}"]), "b!ww");
        assert_eq!(steps(&["{\"a\":"]), "b!", "the model broke off");
    }
}
