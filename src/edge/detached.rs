//! Calls that outlive their clients: what was begun is paid for, so its usage is worth reading.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, future::BoxFuture};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    call::{Call, ChatReply, ChoiceChunk, ChunkStream, Ending, Ends},
    dispatch::Dispatch,
    error::Error,
    openai::chat::ChatRequest,
};

/// What an answer may still hold when nobody reads it, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// What calls are run with.
#[derive(Clone)]
pub struct Calls {
    /// Waited for at the shutdown.
    pub tasks: TaskTracker,
    /// Set when that has taken long enough.
    pub cut: CancellationToken,
    /// A call goes on when its client has left; else it is dropped.
    pub drain: bool,
    /// Room for calls whose clients have left; beyond it they are cut.
    pub room: Arc<Semaphore>,
}

impl Calls {
    /// Makes the call. `on_end` learns how it ends, also when that is after its client has left.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn run(
        &self,
        dispatch: Dispatch,
        call: Call<ChatRequest>,
        on_end: impl FnOnce(&Ending) + Send + 'static,
    ) -> Result<ChatReply, Error> {
        if !self.drain {
            return Ok(dispatch.chat(call).await?.on_end(on_end));
        }
        let (calls, limit) = (self.clone(), call.model.timeouts.whole);
        let answer = async move {
            let reply = dispatch.chat(call).await?.on_end(on_end);
            Ok(match reply {
                ChatReply::Stream(inner) => ChatReply::Stream(ChunkStream::new(Drained {
                    inner: Some(inner),
                    calls,
                    limit,
                })),
                whole @ ChatReply::Whole(_) => whole,
            })
        };
        Detachable {
            answer: Some(Box::pin(answer)),
            calls: self.clone(),
        }
        .await
    }
}

/// A call that goes on by itself when nobody waits for it any more. Until then it is no task of its own: to wake one for
/// every request would cost more than the request.
struct Detachable {
    answer: Option<BoxFuture<'static, Result<ChatReply, Error>>>,
    calls: Calls,
}

impl Future for Detachable {
    type Output = Result<ChatReply, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let result = std::task::ready!(answer.as_mut().poll(cx));
        self.answer = None;
        Poll::Ready(result)
    }
}

impl Drop for Detachable {
    fn drop(&mut self) {
        // Without a runtime the process is about to end, and what is dropped is settled as it is.
        let (Some(answer), Ok(runtime)) = (self.answer.take(), Handle::try_current()) else {
            return;
        };
        if std::thread::panicking() || self.calls.cut.is_cancelled() {
            return;
        }
        let Ok(permit) = self.calls.room.clone().try_acquire_owned() else {
            return;
        };
        let cut = self.calls.cut.clone();
        let go_on = async move {
            let _permit = permit;
            tokio::select! {
                // A stream is read to its end by its own `Drop`.
                reply = answer => drop(reply),
                () = cut.cancelled() => {}
            }
        };
        self.calls.tasks.spawn_on(go_on, &runtime);
    }
}

/// A stream that is read to its end when it is dropped before it.
struct Drained {
    inner: Option<ChunkStream>,
    calls: Calls,
    limit: Duration,
}

impl Stream for Drained {
    type Item = Result<ChoiceChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let item = std::task::ready!(Pin::new(inner).poll_next(cx));
        if matches!(item, None | Some(Err(_))) {
            self.inner = None;
        }
        Poll::Ready(item)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        // Without a runtime the process is about to end, and what is dropped is settled as it is.
        let (Some(mut inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) else {
            return;
        };
        if self.calls.cut.is_cancelled() {
            return inner.cut();
        }
        let Ok(permit) = self.calls.room.clone().try_acquire_owned() else {
            return inner.cut();
        };
        inner.drain();
        let (cut, limit) = (self.calls.cut.clone(), self.limit);
        let read_on = async move {
            let mut bytes = 0;
            while let Some(Ok(item)) = inner.next().await {
                bytes += item.chunk.weight();
                if bytes > MAX_BYTES {
                    break;
                }
            }
        };
        let bounded = async move {
            let _permit = permit;
            tokio::select! {
                _ = tokio::time::timeout(limit, read_on) => {}
                () = cut.cancelled() => {}
            }
        };
        self.calls.tasks.spawn_on(bounded, &runtime);
    }
}
