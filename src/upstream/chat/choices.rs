//! Combines the answers of one chat into one reply: each answer becomes a choice, and their usage is summed.

use futures_util::{Stream, StreamExt, stream};

use super::{decoder::WholeAnswer, event_stream::EventStream, resume::Resume};
use crate::{
    call::Trace,
    error::Error,
    money::Usage,
    operation::chat::{ChoiceChunk, Chunk, ChunkStream, WholeReply},
};

/// Returns a whole reply with one choice per answer.
pub fn whole(answers: Vec<WholeAnswer>, trace: &Trace) -> WholeReply {
    let mut choices = Vec::with_capacity(answers.len());
    let (mut total, mut guardrail): (Option<Usage>, _) = (None, None);
    for answer in answers {
        let mut steps = Vec::with_capacity(answer.chunks.len());
        for chunk in answer.chunks {
            match chunk {
                Chunk::Usage(usage) => total = Some(total.map_or(usage, |total| total + usage)),
                Chunk::Guardrail(trace) => guardrail = guardrail.or(Some(trace)),
                step => steps.push(step),
            }
        }
        choices.push(steps);
    }
    let usage = trace.spending().told(total.unwrap_or_default());
    WholeReply {
        choices,
        usage,
        guardrail,
    }
}

/// Returns a stream with one choice per upstream stream. `resume` continues the only one if it breaks.
pub fn stream(mut streams: Vec<EventStream>, resume: Option<Resume>, trace: &Trace) -> ChunkStream {
    match (streams.pop(), streams.is_empty()) {
        (Some(only), true) => {
            if let Some(resume) = resume {
                let steps = resume.stream(only);
                let steps = steps.map(|item| item.map(|chunk| with_choice(0, chunk)));
                return ChunkStream::new(steps, trace.clone());
            }
            let steps = only.map(|item| item.map(|chunk| with_choice(0, chunk)));
            ChunkStream::new(steps, trace.clone())
        }
        (last, _) => {
            streams.extend(last);
            merged(streams, trace)
        }
    }
}

/// Returns whole answers as a stream.
pub fn replayed(answers: Vec<WholeAnswer>, trace: &Trace) -> ChunkStream {
    merged(
        answers
            .into_iter()
            .map(|answer| stream::iter(answer.chunks).map(Ok))
            .collect(),
        trace,
    )
}

fn with_choice(choice: u32, chunk: Chunk) -> ChoiceChunk {
    ChoiceChunk { choice, chunk }
}

/// Merges the streams. The first error is the last item, because the client cannot tell which choices
/// are complete. Polled further, the merged stream reads the other streams to their end, because they
/// are billed anyway.
fn merged<S>(streams: Vec<S>, trace: &Trace) -> ChunkStream
where
    S: Stream<Item = Result<Chunk, Error>> + Unpin + Send + 'static,
{
    let indexes = (0..).zip(streams);
    let all =
        stream::select_all(indexes.map(|(choice, stream)| stream.map(move |item| (choice, item))));
    let total: Option<Usage> = None;
    let state = (all, total, false);
    let steps = stream::unfold(state, |(mut all, mut total, done)| async move {
        if done {
            while all.next().await.is_some() {}
            return None;
        }
        loop {
            match all.next().await {
                Some((_, Ok(Chunk::Usage(usage)))) => {
                    total = Some(total.map_or(usage, |total| total + usage))
                }
                Some((choice, Ok(chunk))) => {
                    return Some((Ok(with_choice(choice, chunk)), (all, total, false)));
                }
                Some((_, Err(error))) => return Some((Err(error), (all, total, true))),
                None => {
                    let usage = total.take()?;
                    return Some((Ok(with_choice(0, Chunk::Usage(usage))), (all, None, true)));
                }
            }
        }
    });
    ChunkStream::new(steps, trace.clone())
}
