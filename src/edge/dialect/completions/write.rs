//! Writes completions, whole and as chunks.

use bytes::{BufMut, BytesMut};

use super::View;
use crate::{
    call::Warnings,
    edge::{
        dialect::{EventWriter, chat_completions, chat_events::LastChunk},
        rescue,
    },
    error::Error,
    openai::{
        completion::FinishReason,
        text_completion::{TextChoice, TextCompletion},
        usage::Usage,
    },
    operation::chat::{ChoiceChunk, Chunk, WholeReply},
};

/// Writes `text_completion` objects, without reasoning, because the format has no field for it.
pub struct Writer {
    id: String,
    created: u64,
    view: View,
    warnings: Warnings,
    out: BytesMut,
}

impl Writer {
    /// Creates a writer. `created` is in Unix seconds.
    pub fn new(id: String, created: u64, view: View, warnings: Warnings) -> Self {
        Self {
            id,
            created,
            view,
            warnings,
            out: BytesMut::new(),
        }
    }

    /// Serializes a whole reply.
    ///
    /// # Errors
    /// 500 if the reply cannot be serialized, which is a bug in the gateway.
    pub fn whole(&self, reply: &WholeReply) -> Result<Vec<u8>, Error> {
        let answers: Vec<(String, FinishReason)> =
            reply.choices.iter().map(|one| fold(one)).collect();
        let choices = (0..)
            .zip(&answers)
            .map(|(index, (text, finish_reason))| TextChoice {
                text,
                index,
                logprobs: None,
                finish_reason: Some(finish_reason.as_str()),
            });
        let usage = chat_completions::usage(&reply.usage);
        let completion = self.object(choices.collect(), Some(Some(usage)));
        serde_json::to_vec(&completion).map_err(chat_completions::unwritable)
    }

    fn object<'a>(
        &'a self,
        choices: Vec<TextChoice<'a>>,
        usage: Option<Option<Usage>>,
    ) -> TextCompletion<'a> {
        TextCompletion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.view.model,
            choices,
            usage,
            warnings: None,
        }
    }

    fn event(&mut self, choices: Vec<TextChoice<'_>>, usage: Option<Usage>) {
        let LastChunk {
            usage: has_usage,
            warnings,
        } = self.view.last_chunk;
        // Only the last chunk has no choices.
        let warnings = (warnings && choices.is_empty()).then(|| self.warnings.texts());
        let object = TextCompletion {
            warnings,
            ..self.object(choices, has_usage.then_some(usage))
        };
        let mut event = b"data: ".to_vec();
        // Serializing plain structs into memory cannot fail.
        let _ = serde_json::to_writer(&mut event, &object);
        self.out.put_slice(&event);
        self.out.put_slice(b"\n\n");
    }
}

/// Returns the text and the finish reason of one choice.
fn fold(chunks: &[Chunk]) -> (String, FinishReason) {
    let mut answer = (String::new(), FinishReason::Stop);
    for chunk in chunks {
        match chunk {
            Chunk::Content(text) | Chunk::CitedContent(text, _) => answer.0.push_str(text),
            Chunk::Finish(reason) => answer.1 = *reason,
            _ => {}
        }
    }
    answer
}

impl EventWriter for Writer {
    fn chunk(&mut self, ChoiceChunk { choice, chunk }: &ChoiceChunk) {
        let (text, finish_reason) = match chunk {
            Chunk::Content(text) | Chunk::CitedContent(text, _) => (text.as_str(), None),
            Chunk::Finish(reason) => ("", Some(reason.as_str())),
            Chunk::Usage(usage) if self.view.last_chunk.usage => {
                return self.event(Vec::new(), Some(chat_completions::usage(usage)));
            }
            _ => return,
        };
        let choice = TextChoice {
            text,
            index: *choice,
            logprobs: None,
            finish_reason,
        };
        self.event(vec![choice], None);
    }

    fn error(&mut self, error: &Error) {
        self.out.put_slice(b"data: ");
        self.out.put_slice(&rescue::envelope(error));
        self.out.put_slice(b"\n\n");
    }

    fn done(&mut self) {
        if self.view.last_chunk.warnings && !self.view.last_chunk.usage {
            self.event(Vec::new(), None);
        }
        self.out.put_slice(b"data: [DONE]\n\n");
    }

    fn written(&mut self) -> &mut BytesMut {
        &mut self.out
    }
}
