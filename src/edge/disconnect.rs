//! Calls that outlive their clients: what was begun is paid for, so its usage is worth reading.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    call::{Call, Unplanned},
    dispatch::{Destination, Dispatched},
    error::Error,
    middleware::Reply,
    operation::{CallEnd, Reply as _},
};

/// What happens to a call whose client disconnects.
#[derive(Clone)]
pub struct DisconnectPolicy {
    /// The shutdown waits for these.
    pub tasks: TaskTracker,
    /// Set when the shutdown has waited long enough.
    pub cut: CancellationToken,
    /// The call goes on; otherwise it is dropped.
    pub drain: bool,
    /// Room for calls whose clients have disconnected; beyond it they are cut.
    pub room: Arc<Semaphore>,
}

impl DisconnectPolicy {
    /// Makes the call. `on_end` runs when it ends, also if that is after its client disconnected.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn run<T: Dispatched>(
        &self,
        destination: Destination,
        call: Call<T, Unplanned>,
        on_end: impl FnOnce(&CallEnd) + Send + 'static,
    ) -> Result<Reply<T>, Error> {
        if !self.drain {
            return Ok(destination.call(call).await?.on_end(on_end));
        }
        let (policy, limit) = (self.clone(), call.model.timeouts.whole);
        let answer = async move {
            let served = destination.call(call).await?.on_end(on_end);
            Ok(served.map(|reply| reply.kept_by(Box::new(move |rest| policy.keep(rest, limit)))))
        };
        Detachable {
            answer: Some(Box::pin(answer)),
            policy: self.clone(),
        }
        .await
    }

    /// Goes on with `work` in the background, if there is room. Dropped work is settled as it is.
    fn keep(&self, work: BoxFuture<'static, ()>, limit: Duration) {
        // Without a runtime the process is about to end.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if std::thread::panicking() || self.cut.is_cancelled() {
            return;
        }
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            return;
        };
        let cut = self.cut.clone();
        let bounded = async move {
            let _permit = permit;
            tokio::select! {
                _ = tokio::time::timeout(limit, work) => {}
                () = cut.cancelled() => {}
            }
        };
        self.tasks.spawn_on(bounded, &runtime);
    }
}

/// A call that goes on by itself once its client no longer waits for it. Until then it is no task of
/// its own, because to wake one for every request costs more than the request.
struct Detachable<R: 'static> {
    answer: Option<BoxFuture<'static, Result<R, Error>>>,
    policy: DisconnectPolicy,
}

impl<R: 'static> Future for Detachable<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let result = std::task::ready!(answer.as_mut().poll(cx));
        self.answer = None;
        Poll::Ready(result)
    }
}

impl<R: 'static> Drop for Detachable<R> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        // Deadlines of its own bound the call. A stream is read to its end by its own `Drop`.
        self.policy
            .keep(Box::pin(async move { drop(answer.await) }), Duration::MAX);
    }
}
