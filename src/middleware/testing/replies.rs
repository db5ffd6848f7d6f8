//! What a fake rest of the stack answers.

use futures_util::stream;

use crate::{
    call::{Call, Ticket},
    error::Error,
    middleware::{Reply, testing::calls::price},
    money::{Cost, Usage},
    openai::completion::FinishReason,
    operation::{
        chat::{Chat, ChatReply, ChoiceChunk, Chunk, ChunkStream, WholeReply},
        embed::{Embed, EmbedReply},
    },
};

/// Answers with a whole reply that uses `usage`.
pub fn whole<P>(usage: Usage) -> impl Fn(&Call<Chat, P>, Ticket) -> Result<ChatReply, Error> {
    move |_, ticket| {
        ticket.used(usage);
        let chunks = vec![
            Chunk::Content("Hello.".to_owned()),
            Chunk::Finish(FinishReason::Stop),
        ];
        Ok(ChatReply::Whole(WholeReply {
            choices: vec![chunks],
            usage,
            guardrail: None,
        }))
    }
}

/// Answers with one vector that uses `usage`.
pub fn vector<P>(usage: Usage) -> impl Fn(&Call<Embed, P>, Ticket) -> Result<EmbedReply, Error> {
    move |_, ticket| {
        ticket.used(usage);
        let vectors = vec![vec![0.5]];
        Ok(EmbedReply { vectors, usage })
    }
}

/// Answers with a stream of these chunks. It reports its usage when it passes the chunk with it. A
/// stream that is dropped or fails before that loses its ticket.
pub fn streamed<P>(
    chunks: impl Fn() -> Vec<Result<Chunk, Error>>,
) -> impl Fn(&Call<Chat, P>, Ticket) -> Result<ChatReply, Error> {
    move |call, ticket| {
        let mut ticket = Some(ticket);
        let mut chunks = chunks().into_iter();
        let chunks = stream::iter(std::iter::from_fn(move || {
            let item = chunks.next()?;
            if let Ok(Chunk::Usage(usage)) = &item
                && let Some(ticket) = ticket.take()
            {
                ticket.used(*usage);
            }
            Some(item.map(|chunk| ChoiceChunk { choice: 0, chunk }))
        }));
        let stream = ChunkStream::new(chunks, call.trace.clone());
        Ok(ChatReply::Stream(stream))
    }
}

/// The chunks of a complete answer.
pub fn complete(usage: Usage) -> Vec<Result<Chunk, Error>> {
    vec![
        Ok(Chunk::Content("Hel".to_owned())),
        Ok(Chunk::Content("lo.".to_owned())),
        Ok(Chunk::Finish(FinishReason::Stop)),
        Ok(Chunk::Usage(usage)),
    ]
}

/// The stream of a streamed reply.
pub fn stream_of(reply: Result<Reply<Chat>, Error>) -> ChunkStream {
    match reply.unwrap().reply {
        ChatReply::Stream(stream) => stream,
        ChatReply::Whole(reply) => panic!("not a stream: {reply:?}"),
    }
}

/// A usage at the price of [`model`].
pub fn usage(input: u64, output: u64) -> Usage {
    let price = price();
    let cost = Cost {
        input: price.input.times(input),
        output: price.output.times(output),
        ..Cost::default()
    };
    Usage {
        input,
        output,
        cost: Some(cost),
        ..Usage::default()
    }
}
