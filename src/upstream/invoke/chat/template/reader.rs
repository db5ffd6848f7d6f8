//! Reads replies that are one text: of Llama, Mistral, DeepSeek R1, and imported models.

use serde::Deserialize;

use crate::{
    error::Error,
    upstream::invoke::{
        chat::reply::{Counts, Reader, Reply},
        malformed, parse,
    },
};

/// The end of a prompt that is the start of the answer.
pub const THINK: &str = "<think>";

/// Reads replies. The text of a family that begins inside its reasoning gets the opening tag from here.
pub struct Text {
    opening: Option<&'static str>,
}

/// A reply or an event. The members differ by family, and their names do not collide.
#[derive(Deserialize)]
struct Generated {
    /// Llama.
    generation: Option<String>,
    #[serde(default)]
    prompt_token_count: Option<i64>,
    #[serde(default)]
    generation_token_count: Option<i64>,
    #[serde(default)]
    stop_reason: Option<String>,
    /// Mistral, and as `choices` DeepSeek and imported models.
    #[serde(default, alias = "choices")]
    outputs: Vec<Output>,
    /// Imported models.
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    text: Option<String>,
    #[serde(default, alias = "finish_reason")]
    stop_reason: Option<String>,
}

impl Text {
    /// Creates a reader. `opening` is put before the first text.
    pub fn new(opening: Option<&'static str>) -> Self {
        Self { opening }
    }

    /// Reads a reply or an event. Returns whether it has text.
    fn read(&mut self, body: &[u8], reply: &mut Reply) -> Result<bool, Error> {
        let generated: Generated = parse(body)?;
        let output = generated.outputs.into_iter().next();
        let (text, reason) = match (generated.generation, output) {
            (None, Some(output)) => (output.text, output.stop_reason),
            (text, _) => (text, generated.stop_reason),
        };
        let usage = generated.usage.unwrap_or_default();
        reply.count(Counts {
            input: generated.prompt_token_count.or(usage.prompt_tokens),
            output: generated.generation_token_count.or(usage.completion_tokens),
            ..Counts::default()
        });
        let has_text = text.is_some();
        if let Some(text) = text {
            reply.text(self.opening.take().unwrap_or_default().to_owned());
            reply.text(text);
        }
        if let Some(reason) = reason {
            let reason = match reason.as_str() {
                "stop" => "end_turn",
                "length" => "max_tokens",
                other => other,
            };
            reply.stop(reason, None);
        }
        Ok(has_text)
    }
}

impl Reader for Text {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        if !self.read(body, reply)? {
            return Err(malformed("no text"));
        }
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.read(event, reply).map(drop)
    }
}
