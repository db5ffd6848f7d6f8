use crate::{
    openai::completion::ThinkingBlock,
    operation::chat::{Chunk, Message, Part, RedactedThinking, Thinking},
};

/// The order of the parts of an assistant turn with reasoning and tool calls.
#[derive(Debug, Default, PartialEq)]
pub struct Turn(Vec<Step>);

#[derive(Debug, PartialEq)]
enum Step {
    Thinking {
        text: String,
        signature: Option<String>,
    },
    Redacted {
        data: String,
    },
    /// Text, by its length in bytes.
    Text(usize),
    /// A tool call, by its id.
    Call(String),
}

impl Turn {
    /// The bytes of the reasoning.
    pub fn bytes(&self) -> usize {
        let step = |step: &Step| match step {
            Step::Thinking { text, signature } => {
                text.len() + signature.as_deref().map_or(0, str::len)
            }
            Step::Redacted { data } => data.len(),
            Step::Text(_) | Step::Call(_) => 0,
        };
        self.0.iter().map(step).sum()
    }

    /// Iterates over the ids of the tool calls.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Call(id) => Some(id.as_str()),
            _ => None,
        })
    }

    /// Reports whether all signed reasoning in `message` belongs to this turn.
    pub fn has_reasoning_of(&self, message: &Message) -> bool {
        message.parts.iter().all(|part| match part {
            Part::Thinking(thinking) => {
                thinking.signature.is_none() || self.has(&thinking.signature)
            }
            Part::RedactedThinking(redacted) => self
                .0
                .iter()
                .any(|step| matches!(step, Step::Redacted { data } if *data == redacted.data)),
            _ => true,
        })
    }

    fn has(&self, wanted: &Option<String>) -> bool {
        let same =
            |step: &Step| matches!(step, Step::Thinking { signature, .. } if signature == wanted);
        self.0.iter().any(same)
    }

    /// Puts the reasoning of the turn into `message`, and sorts its parts into the turn's order. Returns the number of
    /// bytes by which its reasoning grows.
    pub fn restore(&self, message: &mut Message) -> usize {
        let sent_bytes = message.parts.iter().map(thinking_bytes).sum();
        let mut rest = std::mem::take(&mut message.parts);
        rest.retain(|part| !part.is_thinking());
        let texts = rest
            .iter()
            .filter_map(Part::as_text)
            .map(str::len)
            .sum::<usize>();
        let known = self.0.iter().map(|step| {
            if let Step::Text(bytes) = step {
                *bytes
            } else {
                0
            }
        });
        let same_text = texts == known.sum::<usize>();
        let mut parts = Vec::with_capacity(rest.len() + self.0.len());
        for step in &self.0 {
            match step {
                Step::Thinking { text, signature } => parts.push(Part::Thinking(Thinking {
                    text: text.clone(),
                    signature: signature.clone(),
                })),
                Step::Redacted { data } => {
                    let data = data.clone();
                    parts.push(Part::RedactedThinking(RedactedThinking { data }));
                }
                Step::Text(bytes) if same_text => take_text(&mut rest, *bytes, &mut parts),
                Step::Text(_) => take_text(&mut rest, usize::MAX, &mut parts),
                Step::Call(id) => {
                    let is_call =
                        |part: &Part| matches!(part, Part::ToolUse(call) if call.id == *id);
                    if let Some(at) = rest.iter().position(is_call) {
                        parts.push(rest.remove(at));
                    }
                }
            }
        }
        // Parts that the client added to the turn follow in their order.
        parts.append(&mut rest);
        message.parts = parts;
        self.bytes().saturating_sub(sent_bytes)
    }
}

fn thinking_bytes(part: &Part) -> usize {
    match part {
        Part::Thinking(Thinking {
            text, signature, ..
        }) => text.len() + signature.as_deref().map_or(0, str::len),
        Part::RedactedThinking(redacted) => redacted.data.len(),
        _ => 0,
    }
}

/// Moves `bytes` of text from the front of `rest`, with the cache points that follow it.
fn take_text(rest: &mut Vec<Part>, mut bytes: usize, parts: &mut Vec<Part>) {
    while bytes > 0 {
        let Some(at) = rest.iter().position(|part| part.as_text().is_some()) else {
            return;
        };
        let Part::Text(text) = &mut rest[at] else {
            return;
        };
        if text.len() > bytes && text.is_char_boundary(bytes) {
            let tail = text.split_off(bytes);
            parts.push(Part::Text(std::mem::replace(text, tail)));
            return;
        }
        bytes = bytes.saturating_sub(text.len());
        parts.push(rest.remove(at));
        while matches!(rest.get(at), Some(Part::CachePoint(_))) {
            parts.push(rest.remove(at));
        }
    }
}

/// Records the order of one answer.
#[derive(Default)]
pub struct Recorder(Vec<Step>);

impl Recorder {
    /// Records `chunk`. At the end of the answer, returns the turn if it contains reasoning and tool calls.
    pub fn observe(&mut self, chunk: &Chunk) -> Option<Turn> {
        match chunk {
            Chunk::Thinking(ThinkingBlock::Thinking {
                thinking,
                signature,
            }) => {
                let (text, signature) = (thinking.clone(), signature.clone());
                self.0.push(Step::Thinking { text, signature });
            }
            Chunk::Thinking(ThinkingBlock::RedactedThinking { data }) => {
                self.0.push(Step::Redacted { data: data.clone() });
            }
            Chunk::Content(text) | Chunk::CitedContent(text, _) => match self.0.last_mut() {
                Some(Step::Text(bytes)) => *bytes += text.len(),
                _ => self.0.push(Step::Text(text.len())),
            },
            Chunk::ToolCall { id, .. } | Chunk::CustomToolCall { id, .. } => {
                self.0.push(Step::Call(id.to_string()));
            }
            Chunk::Finish(_) => {
                let turn = Turn(std::mem::take(&mut self.0));
                let reasons = turn
                    .0
                    .iter()
                    .any(|step| matches!(step, Step::Thinking { .. } | Step::Redacted { .. }));
                return (reasons && turn.calls().next().is_some()).then_some(turn);
            }
            _ => {}
        }
        None
    }
}
