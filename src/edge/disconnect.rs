//! Finishes calls whose clients have disconnected. AWS bills a call that has started, so the gateway reads it to its end
//! to learn the usage.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::receive::BodyPermit;
use crate::{
    call::{Call, Trace, Unplanned},
    dispatch::{Destination, Dispatchable},
    error::Error,
    middleware::Reply,
    operation::{CallEnd, Reply as _},
};

/// What happens to a call whose client disconnects.
#[derive(Clone)]
pub struct DisconnectPolicy {
    /// The calls that outlive their clients. The shutdown waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when the drain timeout of the shutdown has passed.
    pub cut: CancellationToken,
    /// If true, the call continues after its client disconnects; otherwise it is dropped.
    pub drain: bool,
    /// One permit per call whose client has disconnected. Without a permit, the call is dropped.
    pub room: Arc<Semaphore>,
}

impl DisconnectPolicy {
    /// Sends `call` to `destination`. `on_end` runs when the call ends, even if its client has disconnected before. A call that
    /// outlives its client keeps `body`, because it keeps what was parsed from it.
    ///
    /// # Errors
    /// Any error of the call.
    pub async fn run<T: Dispatchable>(
        &self,
        destination: Destination,
        call: Call<T, Unplanned>,
        body: Arc<BodyPermit>,
        on_end: impl FnOnce(&CallEnd) + Send + 'static,
    ) -> Result<Reply<T>, Error> {
        if !self.drain {
            return Ok(destination.call(call).await?.on_end(on_end));
        }
        let (policy, limit) = (self.clone(), call.model.timeouts.whole);
        let trace = call.trace.clone();
        let seat = Seat {
            permit: Arc::default(),
            _body: body,
        };
        let kept = seat.clone();
        let answer = async move {
            let served = destination.call(call).await?.on_end(on_end);
            let keep = Box::new(move |rest| policy.keep(rest, limit, &kept));
            Ok(served.map(|reply| reply.kept_by(keep)))
        };
        DetachableCall {
            answer: Some(Box::pin(answer)),
            policy: self.clone(),
            trace,
            seat,
        }
        .await
    }

    /// Continues `work` in the background for at most `limit`, if the call has a permit or one is free. Otherwise drops it,
    /// which settles the call with the usage known so far.
    fn keep(&self, work: BoxFuture<'static, ()>, limit: Duration, seat: &Seat) {
        // There is no runtime only while the process exits.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if std::thread::panicking() || self.cut.is_cancelled() {
            return;
        }
        if !seat.take(&self.room) {
            return;
        }
        let (cut, seat) = (self.cut.clone(), seat.clone());
        let bounded = async move {
            let _seat = seat;
            tokio::select! {
                _ = tokio::time::timeout(limit, work) => {}
                () = cut.cancelled() => {}
            }
        };
        self.tasks.spawn_on(bounded, &runtime);
    }
}

/// The permit of a call that outlives its client. Its wait for an answer and the rest of its stream need only one.
#[derive(Clone)]
struct Seat {
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    /// The memory of the request.
    _body: Arc<BodyPermit>,
}

impl Seat {
    /// Takes a permit from `room`, unless there is one. Returns whether there is one now.
    fn take(&self, room: &Arc<Semaphore>) -> bool {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if permit.is_none() {
            *permit = room.clone().try_acquire_owned().ok();
        }
        permit.is_some()
    }
}

/// A call that becomes a background task if it is dropped before its answer. Until then it runs in the task of
/// its connection, because waking another task for every request is too expensive.
struct DetachableCall<R: 'static> {
    answer: Option<BoxFuture<'static, Result<R, Error>>>,
    policy: DisconnectPolicy,
    trace: Trace,
    seat: Seat,
}

impl<R: 'static> Future for DetachableCall<R> {
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

impl<R: 'static> Drop for DetachableCall<R> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        self.trace.set_client_gone();
        // Needs no limit, because the call has its own deadlines. Dropping the answer of a stream reads it to its end.
        let rest = Box::pin(async move { drop(answer.await) });
        self.policy.keep(rest, Duration::MAX, &self.seat);
    }
}
