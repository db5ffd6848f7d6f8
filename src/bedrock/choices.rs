//! The `n` answers of one request as one reply: each under its index, their usage together.

use futures_util::{Stream, StreamExt, stream};

use super::{stream::EventStream, thoughts::Recorder};
use crate::{
    call::{ChoiceChunk, Chunk, ChunkStream, Usage, WholeReply},
    error::Error,
    translate::{Read, fold},
};

/// Whole answers.
pub fn whole(replies: Vec<Read>) -> WholeReply {
    let invoked_model = replies.iter().find_map(|reply| reply.invoked_model.clone());
    let mut folded: Vec<_> = replies
        .into_iter()
        .map(|reply| fold(reply.chunks))
        .collect();
    let guardrail = folded.iter_mut().find_map(|answer| answer.guardrail.take());
    let usage = folded
        .iter()
        .map(|answer| answer.usage)
        .reduce(|all, one| all + one)
        .unwrap_or_default();
    WholeReply {
        choices: folded.into_iter().map(|answer| answer.choice).collect(),
        usage,
        guardrail,
        invoked_model,
    }
}

/// Streams as they come.
pub fn stream(mut streams: Vec<EventStream>, recorder: impl Fn() -> Recorder) -> ChunkStream {
    let recorded = |stream: EventStream| {
        let mut recorder = recorder();
        stream.inspect(move |item| {
            if let Ok(chunk) = item {
                recorder.observe(chunk);
            }
        })
    };
    match (streams.pop(), streams.is_empty()) {
        (Some(only), true) => {
            ChunkStream::new(recorded(only).map(|item| item.map(|chunk| indexed(0, chunk))))
        }
        (last, _) => {
            streams.extend(last);
            merged(streams.into_iter().map(recorded).collect())
        }
    }
}

/// Whole answers, for a client that wants a stream.
pub fn replayed(replies: Vec<Read>) -> ChunkStream {
    merged(
        replies
            .into_iter()
            .map(|reply| stream::iter(reply.chunks).map(Ok))
            .collect(),
    )
}

fn indexed(choice: u32, chunk: Chunk) -> ChoiceChunk {
    ChoiceChunk { choice, chunk }
}

/// One error ends all: half of an answer is no answer.
fn merged<S>(streams: Vec<S>) -> ChunkStream
where
    S: Stream<Item = Result<Chunk, Error>> + Unpin + Send + 'static,
{
    let indexes = (0..).zip(streams);
    let all =
        stream::select_all(indexes.map(|(choice, stream)| stream.map(move |item| (choice, item))));
    let total: Option<Usage> = None;
    let state = (all, total, false);
    ChunkStream::new(stream::unfold(
        state,
        |(mut all, mut total, done)| async move {
            if done {
                return None;
            }
            loop {
                match all.next().await {
                    Some((_, Ok(Chunk::Usage(usage)))) => {
                        total = Some(total.map_or(usage, |total| total + usage))
                    }
                    Some((choice, Ok(chunk))) => {
                        return Some((Ok(indexed(choice, chunk)), (all, total, false)));
                    }
                    Some((_, Err(error))) => return Some((Err(error), (all, total, true))),
                    None => {
                        let usage = total.take()?;
                        return Some((Ok(indexed(0, Chunk::Usage(usage))), (all, None, true)));
                    }
                }
            }
        },
    ))
}
