use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http_body::Frame;

use super::*;
use crate::{money::Usage, openai::completion::FinishReason};

/// A body of one part, after which the connection stays open. Records when it is dropped.
struct LingeringBody(Option<Bytes>, Arc<AtomicBool>);

impl http_body::Body for LingeringBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// Decodes any bytes to the end of a message.
#[derive(Default)]
struct EndDecoder {
    received: bool,
    complete: bool,
}

impl StreamDecoder for EndDecoder {
    fn push(&mut self, _: Bytes) {
        self.received = true;
    }

    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error> {
        if !self.received || self.complete {
            return Ok(false);
        }
        self.complete = true;
        out.push_back(Chunk::Finish(FinishReason::Stop));
        out.push_back(Chunk::Usage(Usage::default()));
        Ok(true)
    }

    fn has_leftover(&self) -> bool {
        false
    }

    fn end(&mut self, _: &mut VecDeque<Chunk>) -> Result<(), Error> {
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.complete
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn estimate(&self) -> Usage {
        Usage::default()
    }
}

/// Took a second.
#[tokio::test(start_paused = true)]
async fn complete_reply_ends_at_once_and_its_body_is_read_in_the_background() {
    let dropped = Arc::new(AtomicBool::new(false));
    let body = LingeringBody(Some(Bytes::from_static(b"all")), dropped.clone());
    let idle = Idle {
        limit: Duration::from_secs(60),
        is_own: false,
    };
    let tasks = TaskTracker::new();
    let stream = EventStream::open(
        SdkBody::from_body_1_x(body),
        Box::<EndDecoder>::default(),
        idle,
        tasks.clone(),
    );
    let began = Instant::now();
    let chunks: Vec<_> = stream.await.unwrap().collect().await;
    assert_eq!((chunks.len(), began.elapsed()), (2, Duration::ZERO));
    assert_eq!((tasks.len(), dropped.load(Ordering::SeqCst)), (1, false));
    tasks.close();
    tasks.wait().await;
    assert_eq!(began.elapsed(), BODY_END_TIMEOUT);
    assert!(dropped.load(Ordering::SeqCst), "the connection is given up");
}
