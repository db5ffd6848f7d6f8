//! Calls that outlive their clients: what was begun is paid for, so its usage is worth reading.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    call::{Call, ChatReply, ChoiceChunk, ChunkStream, Ending, Ends},
    dispatch::Dispatch,
    error::{Error, Kind},
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
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(async move {
            let cut = calls.cut.clone();
            let answer = async {
                let reply = dispatch.chat(call).await?.on_end(on_end);
                Ok(match reply {
                    ChatReply::Stream(inner) => {
                        ChatReply::Stream(ChunkStream::new(Drained { inner: Some(inner), calls, limit }))
                    }
                    whole @ ChatReply::Whole(_) => whole,
                })
            };
            tokio::select! {
                // Nobody may wait any more: then a stream is read to its end by its own `Drop`.
                reply = answer => drop(tell.send(reply)),
                () = cut.cancelled() => {}
            }
        });
        told.await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Internal, "The gateway failed while it handled this request.")
                .with_detail("the task of the call ended"))
        })
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
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
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
        let (Some(mut inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) else { return };
        if self.calls.cut.is_cancelled() {
            return inner.cut();
        }
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
            tokio::select! {
                _ = tokio::time::timeout(limit, read_on) => {}
                () = cut.cancelled() => {}
            }
        };
        self.calls.tasks.spawn_on(bounded, &runtime);
    }
}
