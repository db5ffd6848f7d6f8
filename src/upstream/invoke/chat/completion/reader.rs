//! Readers of completions. The text of a completion begins with the white space that follows the prompt.

use serde::Deserialize;

use crate::{
    error::{Error, Kind, RetryAdvice},
    upstream::invoke::{
        chat::reply::{Reader, Reply},
        malformed, parse,
    },
};

/// What ends a stream of Command.
const END: &str = "<EOS_TOKEN>";

/// A piece of a completion.
#[derive(Default)]
struct Piece {
    text: Option<String>,
    /// In Converse's words.
    reason: Option<String>,
    /// The stop sequence that ended the text.
    sequence: Option<String>,
}

/// The start of a text, whose white space is left out.
#[derive(Default)]
struct Start {
    has_begun: bool,
}

impl Start {
    fn add(&mut self, piece: Piece, reply: &mut Reply) {
        let mut text = piece.text.unwrap_or_default();
        if !self.has_begun {
            text = text.trim_start().to_owned();
            self.has_begun = !text.is_empty();
        }
        reply.text(text);
        if let Some(reason) = piece.reason {
            reply.stop(&reason, piece.sequence);
        }
    }

    fn whole(&mut self, piece: Piece, reply: &mut Reply) -> Result<(), Error> {
        if piece.text.is_none() {
            return Err(malformed("no text"));
        }
        self.add(piece, reply);
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }
}

/// Reads replies and events of Claude 2 and Claude Instant.
#[derive(Default)]
pub struct Claude(Start);

#[derive(Deserialize)]
struct ClaudeGenerated {
    completion: Option<String>,
    stop_reason: Option<String>,
    stop: Option<String>,
}

impl From<ClaudeGenerated> for Piece {
    fn from(own: ClaudeGenerated) -> Self {
        let sequence = own.stop.filter(|stop| !stop.is_empty());
        // Without a limit, the model ends an answer by beginning the next turn.
        let is_turn = sequence
            .as_deref()
            .is_none_or(|stop| stop.trim() == "Human:");
        let reason = own.stop_reason.map(|reason| match reason.as_str() {
            "stop_sequence" if is_turn => "end_turn".to_owned(),
            _ => reason,
        });
        Self {
            text: own.completion,
            reason,
            sequence: sequence.filter(|_| !is_turn),
        }
    }
}

impl Reader for Claude {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.0.whole(parse::<ClaudeGenerated>(body)?.into(), reply)
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.0.add(parse::<ClaudeGenerated>(event)?.into(), reply);
        Ok(())
    }
}

/// Reads replies and events of Command. An event has the members of a generation, or a list of one.
#[derive(Default)]
pub struct Command(Start);

#[derive(Deserialize)]
struct CommandGenerated {
    #[serde(default)]
    generations: Vec<Generation>,
    #[serde(flatten)]
    own: Generation,
}

#[derive(Deserialize)]
struct Generation {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

impl CommandGenerated {
    fn piece(self) -> Result<Piece, Error> {
        let generation = self.generations.into_iter().next().unwrap_or(self.own);
        let reason = match generation.finish_reason.as_deref() {
            Some(reason @ ("ERROR" | "USER_CANCEL")) => return Err(failed(reason)),
            Some("COMPLETE") => Some("end_turn"),
            Some("MAX_TOKENS") => Some("max_tokens"),
            Some("ERROR_TOXIC") => Some("content_filtered"),
            Some("ERROR_LIMIT") => Some("model_context_window_exceeded"),
            other => other,
        };
        Ok(Piece {
            reason: reason.map(str::to_owned),
            text: generation.text.filter(|text| text != END),
            sequence: None,
        })
    }
}

impl Reader for Command {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.0
            .whole(parse::<CommandGenerated>(body)?.piece()?, reply)
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.0
            .add(parse::<CommandGenerated>(event)?.piece()?, reply);
        Ok(())
    }
}

/// Returns the error for an answer that Cohere's models report as failed.
pub fn failed(reason: &str) -> Error {
    Error::new(Kind::Upstream, "The model failed to answer. Try again.")
        .with_code("model_error")
        .with_detail(format!("finish_reason {reason}"))
        .with_retry_advice(RetryAdvice::Once)
        .may_be_billed()
}

/// Reads replies of Jurassic-2, which has no streams.
#[derive(Default)]
pub struct Jurassic(Start);

#[derive(Deserialize)]
struct JurassicGenerated {
    #[serde(default)]
    completions: Vec<Completion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completion {
    data: Data,
    #[serde(default)]
    finish_reason: Option<FinishReason>,
}

#[derive(Deserialize)]
struct Data {
    text: String,
}

#[derive(Deserialize)]
struct FinishReason {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    sequence: Option<String>,
}

impl Reader for Jurassic {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let generated: JurassicGenerated = parse(body)?;
        let completion = generated.completions.into_iter().next();
        let completion = completion.ok_or_else(|| malformed("no `completions`"))?;
        let (mut reason, mut sequence) = (None, None);
        if let Some(end) = completion.finish_reason {
            reason = Some(match end.reason.as_str() {
                "endoftext" => "end_turn".to_owned(),
                "length" => "max_tokens".to_owned(),
                "stop" => "stop_sequence".to_owned(),
                _ => end.reason,
            });
            sequence = end.sequence;
        }
        let piece = Piece {
            text: Some(completion.data.text),
            reason,
            sequence,
        };
        self.0.whole(piece, reply)
    }

    fn event(&mut self, _: &[u8], _: &mut Reply) -> Result<(), Error> {
        Err(malformed("an event of a model that has no streams"))
    }
}
