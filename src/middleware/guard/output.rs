//! Judges answers part by part. Text is held until its part was judged.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, future::try_join_all, stream};
use serde_json::Value;
use tokio::time::timeout;

use super::Evaluation;
use crate::{
    call::{Call, Warnings},
    error::Error,
    openai::completion::FinishReason,
    operation::{
        chat::{BoxChunks, Chat, ChoiceChunk, Chunk, Part},
        guarded::{self, Cut, PartLength},
    },
    upstream::{Action, Content, Source},
};

/// How long the rest of a stream is read after the guardrail ended every answer, to learn its usage.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What an answer is compared with, for the contextual grounding check.
pub struct Comparison {
    source: String,
    query: String,
}

impl Comparison {
    /// Returns the passages and the question of a chat, if there are passages and the check takes them.
    pub fn of(chat: &Chat, warnings: &Warnings) -> Option<Self> {
        let (message, retrieved) = chat.messages.iter().find_map(|message| {
            let retrieved = message.parts.iter().find_map(|part| match part {
                Part::Retrieved(retrieved) => Some(retrieved),
                _ => None,
            });
            Some((message, retrieved?))
        })?;
        let source = retrieved.sources.join("\n\n");
        let query = message.text().unwrap_or_default();
        let why = match (source.chars().count(), query.chars().count()) {
            _ if source.trim().is_empty() => "they are only images",
            _ if query.trim().is_empty() => "there is no question to check its relevance to",
            (chars, _) if chars > guarded::MAX_SOURCE => "they are longer than the check allows",
            (_, chars) if chars > guarded::MAX_QUERY => {
                "the question is longer than the check allows"
            }
            _ => return Some(Self { source, query }),
        };
        warnings.add(format!(
            "bedrock.guardrail: the answer is not checked against the passages ({why})"
        ));
        None
    }
}

/// The most characters of text in an answer: the reservation covers their judgment.
pub fn max_chars(call: &Call<Chat>) -> u64 {
    guarded::answer_chars(call.plan.worst.output_tokens)
}

/// The judgment of all answers of a call.
pub struct Answers {
    pub evaluation: Arc<Evaluation>,
    pub comparison: Option<Comparison>,
    pub max_chars: u64,
    pub choices: usize,
}

/// The part of one answer that is not released yet.
#[derive(Default)]
struct Held {
    chunks: VecDeque<Chunk>,
    /// The text of `chunks`.
    text: String,
    /// The characters of the answer so far.
    chars: u64,
    /// The positions of annotations are wrong, because a mask has another length than what it covers.
    moved: bool,
    /// The answer has ended, and further chunks are dropped.
    ended: bool,
    /// The gateway ended it.
    cut: bool,
    /// The client has received a part of the answer, other than reasoning.
    has_begun: bool,
}

impl Answers {
    /// Judges whole answers.
    ///
    /// # Errors
    /// If there is no verdict about a part.
    pub async fn whole(&self, choices: Vec<Vec<Chunk>>) -> Result<Vec<Vec<Chunk>>, Error> {
        // Nobody receives the answers.
        if self.evaluation.trace.is_client_gone() {
            return Ok(choices);
        }
        let judged = choices.into_iter().map(async |chunks| {
            let mut held = Held::default();
            let mut released = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                released.extend(self.feed(&mut held, chunk, guarded::ANSWER).await?);
            }
            released.extend(self.release_all(&mut held).await?);
            // The client has received nothing yet, so the message replaces the whole answer.
            let blocked = released.last() == Some(&Chunk::Finish(FinishReason::ContentFilter));
            if blocked && held.cut {
                let is_text = |chunk: &Chunk| matches!(chunk, Chunk::Content(_));
                let message = released.iter().rposition(is_text).unwrap_or_default();
                released.drain(..message);
                released.insert(1, Chunk::Blocked);
                released.truncate(2);
                released.push(Chunk::Finish(FinishReason::ContentFilter));
            }
            Ok(released)
        });
        try_join_all(judged).await
    }

    /// Adds a chunk to an answer, and returns the chunks that the client may receive now.
    async fn feed(
        &self,
        held: &mut Held,
        mut chunk: Chunk,
        length: PartLength,
    ) -> Result<Vec<Chunk>, Error> {
        if held.ended {
            return Ok(Vec::new());
        }
        let mut released = Vec::new();
        let mut too_long = false;
        match &mut chunk {
            Chunk::Content(text) | Chunk::CitedContent(text, _) => {
                let room = usize::try_from(self.max_chars - held.chars).unwrap_or(usize::MAX);
                if let Some((at, _)) = text.char_indices().nth(room) {
                    text.truncate(at);
                    too_long = true;
                }
                held.chars += text.chars().count() as u64;
                held.text.push_str(text);
                held.chunks.push_back(chunk);
            }
            Chunk::Annotations(_) if held.moved => {}
            Chunk::Finish(_) => {
                held.chunks.push_back(chunk);
                released = self.release_all(held).await?;
                held.ended = true;
                return Ok(released);
            }
            _ if held.chunks.is_empty() => {
                held.has_begun |= !chunk.is_reasoning();
                return Ok(vec![chunk]);
            }
            _ => held.chunks.push_back(chunk),
        }
        while held.text.len() >= length.max
            && let Some(part) = guarded::cut(&held.text, length)
        {
            released.extend(self.judge(held, part).await?);
        }
        if too_long && !held.ended {
            released.extend(self.release_all(held).await?);
            let warning = "finish_reason: 'length' because the answer is longer than its guardrail's reservation";
            self.evaluation.trace.warnings().add(warning);
            if !held.ended {
                released.push(Chunk::Finish(FinishReason::Length));
            }
            (held.ended, held.cut) = (true, true);
        }
        Ok(released)
    }

    async fn release_all(&self, held: &mut Held) -> Result<Vec<Chunk>, Error> {
        let part = Cut::last(&held.text);
        self.judge(held, part).await
    }

    /// Judges the first part of the held text, and returns the chunks of what precedes its tail, or what replaces them.
    async fn judge(&self, held: &mut Held, part: Cut) -> Result<Vec<Chunk>, Error> {
        let text = &held.text[..part.end];
        let action = match text.trim().is_empty() {
            true => Action::Pass,
            false => {
                let mut content = vec![Content::Text(text)];
                if let Some(Comparison { source, query }) = &self.comparison {
                    content.extend([Content::Grounding(source), Content::Query(query)]);
                }
                self.evaluation.ask(Source::Output, &content).await?
            }
        };
        Ok(match action {
            Action::Pass => held.take(part.tail),
            Action::Mask(texts) => {
                let mut new = texts.concat();
                let (end, new_end) = guarded::released(text, &new, part.tail);
                new.truncate(new_end);
                // The masks may all be in the tail.
                let moved = new != text[..end];
                held.moved |= moved;
                let chunks = held.take(end);
                if moved { masked(chunks, new) } else { chunks }
            }
            Action::Block(message) => {
                let is_whole = !held.has_begun;
                *held = Held {
                    ended: true,
                    cut: true,
                    ..Held::default()
                };
                let mut chunks = vec![Chunk::Content(message)];
                chunks.extend(is_whole.then_some(Chunk::Blocked));
                chunks.push(Chunk::Finish(FinishReason::ContentFilter));
                chunks
            }
        })
    }
}

impl Held {
    /// Takes the chunks of the first `end` bytes of the text, and the chunks without text behind them.
    fn take(&mut self, end: usize) -> Vec<Chunk> {
        self.text.drain(..end);
        let mut taken = Vec::new();
        let mut left = end;
        while let Some(front) = self.chunks.front_mut() {
            match front {
                Chunk::Content(text) | Chunk::CitedContent(text, _) if left < text.len() => {
                    if left > 0 {
                        taken.push(Chunk::Content(text.drain(..left).collect()));
                    }
                    break;
                }
                Chunk::Content(text) | Chunk::CitedContent(text, _) => left -= text.len(),
                _ => {}
            }
            taken.extend(self.chunks.pop_front());
        }
        self.has_begun |= taken.iter().any(|chunk| !chunk.is_reasoning());
        match self.moved {
            true => without_annotations(taken),
            false => taken,
        }
    }
}

/// Replaces the text of the chunks.
fn masked(chunks: Vec<Chunk>, text: String) -> Vec<Chunk> {
    let mut text = Some(text);
    chunks
        .into_iter()
        .filter_map(|chunk| match chunk {
            Chunk::Content(_) => text.take().map(Chunk::Content),
            other => Some(other),
        })
        .collect()
}

fn without_annotations(chunks: Vec<Chunk>) -> Vec<Chunk> {
    let plain = |chunk| match chunk {
        Chunk::CitedContent(text, _) => Some(Chunk::Content(text)),
        Chunk::Annotations(_) => None,
        other => Some(other),
    };
    chunks.into_iter().filter_map(plain).collect()
}

/// A stream whose text is judged in windows.
struct Windows {
    answers: Answers,
    held: Vec<Held>,
    ready: VecDeque<ChoiceChunk>,
    inner: Option<BoxChunks>,
    failed: bool,
}

/// Judges a stream. An error is its last item; polled further, it reads the rest of `inner`.
pub fn stream(
    answers: Answers,
    inner: BoxChunks,
) -> impl Stream<Item = Result<ChoiceChunk, Error>> + Send {
    let mut held = Vec::new();
    held.resize_with(answers.choices, Held::default);
    let windows = Windows {
        answers,
        held,
        ready: VecDeque::new(),
        inner: Some(inner),
        failed: false,
    };
    stream::unfold(windows, async |mut windows| {
        let item = windows.next().await?;
        Some((item, windows))
    })
}

impl Windows {
    async fn next(&mut self) -> Option<Result<ChoiceChunk, Error>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.held.iter().all(|held| held.ended) && self.held.iter().any(|held| held.cut) {
                return self.close().await.map(Ok);
            }
            let inner = self.inner.as_mut()?;
            let item = inner.next().await;
            if self.failed {
                if item.is_none() {
                    self.inner = None;
                }
                continue;
            }
            let ChoiceChunk { choice, chunk } = match item? {
                Ok(item) => item,
                Err(error) => return self.fail(error),
            };
            let held = self.held.get_mut(choice as usize);
            let gone = self.answers.evaluation.trace.is_client_gone();
            match (chunk, held) {
                (chunk @ Chunk::Usage(_), _) => self.push_usage(chunk),
                // Nobody receives the rest of the answer.
                (chunk, Some(held)) if !gone => {
                    match self.answers.feed(held, chunk, guarded::WINDOW).await {
                        Ok(chunks) => {
                            let chunks = chunks.into_iter();
                            self.ready
                                .extend(chunks.map(|chunk| ChoiceChunk { choice, chunk }));
                        }
                        Err(error) => return self.fail(error),
                    }
                }
                (chunk, _) => return Some(Ok(ChoiceChunk { choice, chunk })),
            }
        }
    }

    fn fail(&mut self, error: Error) -> Option<Result<ChoiceChunk, Error>> {
        self.failed = true;
        self.held.clear();
        Some(Err(error))
    }

    fn push_usage(&mut self, usage: Chunk) {
        let trace = self.answers.evaluation.shown().map(Chunk::Guardrail);
        let chunks = trace.into_iter().chain([usage]);
        self.ready
            .extend(chunks.map(|chunk| ChoiceChunk { choice: 0, chunk }));
    }

    /// Ends a stream whose answers have all ended before the model's.
    async fn close(&mut self) -> Option<ChoiceChunk> {
        let mut inner = self.inner.take()?;
        let usage = async {
            while let Some(item) = inner.next().await {
                if let Ok(ChoiceChunk {
                    chunk: chunk @ Chunk::Usage(_),
                    ..
                }) = item
                {
                    return Some(chunk);
                }
            }
            None
        };
        let usage = timeout(DRAIN_TIMEOUT, usage).await.ok().flatten();
        // Without a report, dropping the stream records an estimate.
        drop(inner);
        let spent = || self.answers.evaluation.trace.spending().total().usage;
        let usage = usage.or_else(|| spent().map(Chunk::Usage))?;
        self.push_usage(usage);
        self.ready.pop_front()
    }
}

/// Adds the trace before the usage.
pub fn with_trace(
    inner: BoxChunks,
    trace: Option<Value>,
) -> impl Stream<Item = Result<ChoiceChunk, Error>> + Send {
    let mut trace = trace;
    inner.flat_map(move |item| {
        let is_usage = matches!(
            &item,
            Ok(ChoiceChunk {
                chunk: Chunk::Usage(_),
                ..
            })
        );
        let trace = trace.take_if(|_| is_usage).map(Chunk::Guardrail);
        let trace = trace.map(|chunk| Ok(ChoiceChunk { choice: 0, chunk }));
        stream::iter(trace.into_iter().chain([item]))
    })
}
