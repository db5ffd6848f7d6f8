//! Holds that grow with the answer.

use std::{
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, ready},
};

use futures_util::Stream;

use crate::{
    call::{
        Call, ChatReply, ChoiceChunk, Chunk, ChunkStream, NanoUsd, Notes, Operation, PicoUsd,
        Price, Spending, WorstCase,
    },
    error::Error,
    ledger::Hold,
    openai::{chat::ChatRequest, completion::FinishReason},
};

/// Output that is set aside at a time, in tokens of each answer.
const SLICE: u64 = 2000;

/// The smallest part of a slice that is worth its while, in tokens of each answer.
const MIN_SLICE: u64 = 50;

/// About as many bytes are a token.
const TOKEN_BYTES: u64 = 4;

/// An operation whose reply can be ended early.
pub trait Slice: Operation {
    /// The reply, which ends where `slices` end.
    fn sliced(reply: Self::Reply, slices: Slices) -> Self::Reply;
}

impl Slice for ChatRequest {
    fn sliced(reply: ChatReply, slices: Slices) -> ChatReply {
        match reply {
            ChatReply::Stream(stream) => {
                ChatReply::Stream(ChunkStream::new(Sliced::new(stream, slices)))
            }
            whole @ ChatReply::Whole(_) => whole,
        }
    }
}

/// What is set aside before a stream begins: all of its input, what reranking may cost, and a slice of each answer. None where no price is known.
pub fn first(worst: &WorstCase, price: Option<&Price>) -> Option<NanoUsd> {
    let one = worst.cost_of_one(price?, SLICE.min(worst.output_tokens))?;
    Some(NanoUsd(one.0.saturating_mul(u64::from(worst.requests.max(1)))) + worst.fees)
}

/// The slices of one call that are still to come.
#[derive(Clone)]
pub struct Slices {
    hold: Weak<Hold>,
    /// Of one token of output.
    price: PicoUsd,
    answers: u64,
    /// Output of all answers that is set aside, in tokens.
    covered: u64,
    step: u64,
    /// All that may ever come is set aside.
    most: u64,
    notes: Notes,
    spending: Spending,
}

impl Slices {
    pub fn new<T>(hold: Weak<Hold>, call: &Call<T>) -> Option<Self> {
        let Call {
            worst,
            notes,
            spending,
            ..
        } = call;
        let (_, output) = call
            .model
            .price
            .as_deref()?
            .dearest(worst.tier, worst.may_cache)?;
        let answers = u64::from(worst.requests.max(1));
        let step = SLICE * answers;
        let most = worst.output_tokens.saturating_mul(answers);
        Some(Self {
            hold,
            price: output,
            answers,
            covered: step.min(most),
            step,
            most,
            notes: notes.clone(),
            spending: spending.clone(),
        })
    }

    /// Is there money for `tokens` of output in all?
    fn cover(&mut self, tokens: u64) -> bool {
        while tokens > self.covered && self.covered < self.most {
            let more = self.price.times(self.step);
            let extended = self
                .hold
                .upgrade()
                .is_some_and(|hold| hold.extend(NanoUsd::default(), more));
            if extended {
                self.covered += self.step;
            } else if self.step / 2 >= MIN_SLICE * self.answers {
                // The last money goes in smaller pieces.
                self.step /= 2;
            } else {
                return false;
            }
        }
        true
    }
}

/// A stream that ends with `length` when nothing more can be set aside.
struct Sliced {
    inner: Option<ChunkStream>,
    slices: Slices,
    /// Bytes of output so far, and the pieces in which it came: each is a token at least.
    bytes: u64,
    pieces: u64,
    /// Answers that have begun and not ended.
    open: Vec<u32>,
    told: bool,
}

impl Sliced {
    fn new(inner: ChunkStream, slices: Slices) -> Self {
        Self {
            inner: Some(inner),
            slices,
            bytes: 0,
            pieces: 0,
            open: Vec::new(),
            told: false,
        }
    }

    fn observe(&mut self, item: &ChoiceChunk) {
        if !self.open.contains(&item.choice)
            && !matches!(item.chunk, Chunk::Usage(_) | Chunk::Guardrail(_))
        {
            self.open.push(item.choice);
        }
        let bytes = item.chunk.weight() as u64;
        self.bytes += bytes;
        self.pieces += u64::from(bytes > 0);
        if matches!(item.chunk, Chunk::Finish(_)) {
            self.open.retain(|open| *open != item.choice);
        }
    }
}

impl Stream for Sliced {
    type Item = Result<ChoiceChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(inner) = &mut self.inner else {
            if self.open.is_empty() {
                // What has come was counted when the stream went.
                let spent = self.slices.spending.spent();
                let usage = spent
                    .usage
                    .filter(|_| !std::mem::replace(&mut self.told, true));
                let chunk = usage.map(|usage| Chunk::Usage(spent.told(usage)));
                return Poll::Ready(chunk.map(|chunk| Ok(ChoiceChunk { choice: 0, chunk })));
            }
            return Poll::Ready(self.open.pop().map(|choice| {
                Ok(ChoiceChunk {
                    choice,
                    chunk: Chunk::Finish(FinishReason::Length),
                })
            }));
        };
        let item = ready!(Pin::new(inner).poll_next(cx));
        if let Some(Ok(chunk)) = &item {
            self.observe(chunk);
            let tokens = self.pieces.max(self.bytes / TOKEN_BYTES);
            if !self.open.is_empty() && !self.slices.cover(tokens) {
                self.slices
                    .notes
                    .add("finish_reason: a budget has no more for this answer");
                // To stop reading ends the call; what has come is settled as an estimate.
                if let Some(mut inner) = self.inner.take() {
                    inner.cut();
                }
            }
        }
        Poll::Ready(item)
    }
}
