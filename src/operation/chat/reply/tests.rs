use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};

use super::*;
use crate::error::Kind;

type Seen = Arc<Mutex<Vec<CallEnd>>>;

fn watched(items: Vec<Result<Chunk, Error>>) -> (ChunkStream, Seen) {
    let items: Vec<_> = items
        .into_iter()
        .map(|item| item.map(|chunk| ChoiceChunk { choice: 0, chunk }))
        .collect();
    let seen = Seen::default();
    let sink = seen.clone();
    let reply = ChatReply::Stream(ChunkStream::new(stream::iter(items), Trace::default()))
        .on_end(move |ending| sink.lock().unwrap().push(*ending));
    let ChatReply::Stream(stream) = reply else {
        unreachable!("a stream stays a stream")
    };
    (stream, seen)
}

fn usage() -> Usage {
    Usage {
        input: 3,
        output: 2,
        ..Usage::default()
    }
}

#[tokio::test]
async fn a_stream_that_ends_fires_once() {
    let chunks = vec![
        Ok(Chunk::Content("a".into())),
        Ok(Chunk::Finish(FinishReason::Stop)),
        Ok(Chunk::Usage(usage())),
    ];
    let (stream, seen) = watched(chunks);
    assert_eq!(stream.count().await, 3);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].reason, EndReason::Complete);
    assert_eq!(seen[0].usage, Some(usage()));
    assert_eq!(seen[0].finish_reason, Some("stop"));
}

#[tokio::test]
async fn a_stream_that_fails_fires_once() {
    let broken = Error::new(Kind::Upstream, "cut").with_code("upstream_truncated");
    let (stream, seen) = watched(vec![Ok(Chunk::Content("a".into())), Err(broken)]);
    assert_eq!(stream.count().await, 2);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].reason, EndReason::Failed("truncated"));
}

#[tokio::test]
async fn a_stream_that_is_dropped_fires_once() {
    let (mut stream, seen) = watched(vec![
        Ok(Chunk::Content("a".into())),
        Ok(Chunk::Content("b".into())),
    ]);
    assert!(stream.next().await.is_some());
    drop(stream);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].reason, EndReason::ClientGone);
    assert_eq!(seen[0].usage, None);
}

#[test]
fn a_whole_reply_fires_at_once() {
    let seen = Seen::default();
    let sink = seen.clone();
    let choices = vec![vec![Chunk::Finish(FinishReason::Stop)]];
    let whole = WholeReply {
        choices,
        usage: usage(),
        guardrail: None,
    };
    let _reply = ChatReply::Whole(whole).on_end(move |ending| sink.lock().unwrap().push(*ending));
    assert_eq!(seen.lock().unwrap()[0].usage, Some(usage()));
}
