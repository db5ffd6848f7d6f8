//! Continues an answer whose stream breaks after its first token, where the operator allows that (`resume`). The text so far
//! is sent as the beginning of the model's turn, to another place of the model if there is one, and the client receives what
//! the model adds to it.

mod continuation;

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use super::{EventStream, Part};
use crate::{
    call::Call,
    error::Error,
    metrics,
    money::Usage,
    operation::chat::{Chat, Chunk},
    upstream::{Exchange, Upstream, connecting_within, moves, relocation},
};
use continuation::{Continuation, Overlap};

/// How often an answer is continued.
const MOST: u32 = 2;

/// What is needed to continue the answer to a call.
pub struct Resume {
    upstream: Upstream,
    call: Arc<Call<Chat>>,
}

impl Resume {
    /// Returns `None` if the answer to `call` must not be continued, wherever it breaks.
    pub fn of(upstream: &Upstream, call: &Arc<Call<Chat>>) -> Option<Self> {
        continuation::is_possible(call).then(|| Self {
            upstream: upstream.clone(),
            call: call.clone(),
        })
    }

    /// Returns the chunks of `first`, and of the streams that continue it.
    pub fn stream(
        self,
        first: EventStream,
    ) -> impl Stream<Item = Result<Chunk, Error>> + Send + 'static {
        let answer = Answer {
            resume: self,
            stream: first,
            text: String::new(),
            is_text: true,
            breaks: 0,
            broken: None,
            overlap: Overlap::default(),
        };
        stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        })
    }

    /// Opens the stream of `continuation`. `None` if a budget does not admit it, or it fails.
    async fn open(&self, continuation: &Continuation) -> Option<EventStream> {
        let call = &self.call;
        let trace = &call.trace;
        if !trace
            .spending()
            .may_continue(continuation.added_tokens)
            .await
        {
            return None;
        }
        // The time limit of the call ended with its first token. This is the first token of another request.
        let limit = trace.shortened(call.model.timeouts.first_token);
        let connect = trace.shortened(call.model.timeouts.connect);
        let opened = connecting_within(connect, self.request(continuation, limit));
        timeout(limit, opened).await.ok()?.ok()
    }

    async fn request(
        &self,
        continuation: &Continuation,
        limit: Duration,
    ) -> Result<EventStream, Error> {
        let Self { upstream, .. } = self;
        let call = &continuation.call;
        let here = match upstream.attempts.elsewhere(call) {
            Some(place) => Arc::new(relocation::at(call, place)),
            None => call.clone(),
        };
        let encoded = here.clone();
        let encode = move || match Chat::codec(encoded.plan.route) {
            Some(codec) => codec.encode(&encoded),
            None => Ok(Vec::new()),
        };
        let requests = here.trace.compute(encode).await?;
        let elsewhere = relocation::Relocation::of(&here);
        let part = Part {
            upstream,
            call: &here,
            elsewhere: &elsewhere,
            index: 0,
            is_pinned: false,
            resumed_within: Some(limit),
        };
        let request = requests.into_iter().next();
        super::stream(part, request.ok_or_else(continuation::lost)?).await
    }
}

/// An answer, and what is known of it.
struct Answer {
    resume: Resume,
    stream: EventStream,
    /// The text that the client has received.
    text: String,
    /// The client has received nothing else.
    is_text: bool,
    breaks: u32,
    /// The usage of the streams that broke.
    broken: Option<Usage>,
    overlap: Overlap,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Chunk, Error>> {
        loop {
            match self.stream.next().await? {
                Ok(chunk) => {
                    if let Some(chunk) = self.passed(chunk) {
                        return Some(Ok(chunk));
                    }
                }
                Err(error) => match self.continued(&error).await {
                    Some(stream) => self.stream = stream,
                    None => return Some(Err(error)),
                },
            }
        }
    }

    /// Returns the chunk as the client receives it. `None` if the client has all of it already.
    fn passed(&mut self, chunk: Chunk) -> Option<Chunk> {
        match chunk {
            Chunk::Content(text) => {
                let text = self.overlap.cut(text)?;
                self.text.push_str(&text);
                Some(Chunk::Content(text))
            }
            // All requests are billed.
            Chunk::Usage(usage) => {
                let broken = self.broken.take();
                Some(Chunk::Usage(broken.map_or(usage, |broken| broken + usage)))
            }
            other => {
                self.is_text = false;
                Some(other)
            }
        }
    }

    /// Returns the stream that continues the answer after `error`.
    async fn continued(&mut self, error: &Error) -> Option<EventStream> {
        let call = &self.resume.call;
        let trace = &call.trace;
        // What the client does not wait for is no failure.
        let may_help = !self.stream.is_own_limit(error) && moves(error);
        let may_help = may_help && self.is_text && self.breaks < MOST;
        if !may_help || trace.is_client_gone() {
            return None;
        }
        let usage = self.stream.estimate();
        let broken = self.broken.map_or(usage, |broken| broken + usage);
        let continuation = Continuation::new(call, &self.text, broken.output)?;
        let from = trace.target();
        self.breaks += 1;
        let stream = self.resume.open(&continuation).await;
        let outcome = if stream.is_some() {
            "resumed"
        } else {
            "failed"
        };
        metrics::resumed_stream(call.model.label(), outcome);
        let Some(stream) = stream else {
            if let Some(from) = &from {
                trace.set_target(from);
            }
            return None;
        };
        self.broken = Some(broken);
        self.overlap = Overlap::after(&self.text);
        if let Some((from, to)) = from.zip(trace.target()) {
            trace.warnings().add(format!(
                "attempts: {} continued the answer whose stream from {} broke (after '{}')",
                to.region,
                from.region,
                error.code().unwrap_or_default()
            ));
        }
        Some(stream)
    }
}
