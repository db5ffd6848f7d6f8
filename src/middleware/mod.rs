//! The steps around a call. A step is one file with one `async fn` around the rest of the call; the adapter below makes
//! each of them a tower layer. Their order stands in [`crate::pipeline`]. No step imports another.

mod budget;
mod deadline;
mod describe;
mod fetch_media;
mod in_flight;
mod measure;
mod rate_limit;
mod retrieve;

use std::{
    future::Future,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::{Layer, Service};

pub use budget::{Budget, Settings as BudgetSettings};
pub use deadline::Deadline;
pub use describe::Describe;
pub use fetch_media::FetchMedia;
pub use in_flight::InFlight;
pub use measure::Measure;
pub use rate_limit::RateLimit;
pub use retrieve::{Completer, Retrieve};

use crate::{
    call::{Call, Operation},
    error::Error,
};

/// One step, for the operations that it makes sense for: on another stack it does not compile.
pub trait Around<T: Operation>: Clone + Send + Sync + 'static {
    /// `next` is ready and is the rest of the call; to refuse, do not call it.
    fn around<S>(
        &self,
        call: Call<T>,
        next: S,
    ) -> impl Future<Output = Result<T::Reply, Error>> + Send
    where
        S: Service<Call<T>, Response = T::Reply, Error = Error, Future: Send> + Send;
}

/// A step as a layer.
pub fn step<A>(around: A) -> StepLayer<A> {
    StepLayer(around)
}

/// See [`step`].
#[derive(Clone, Debug)]
pub struct StepLayer<A>(A);

impl<A: Clone, S> Layer<S> for StepLayer<A> {
    type Service = Step<A, S>;

    fn layer(&self, inner: S) -> Step<A, S> {
        Step {
            around: self.0.clone(),
            inner,
        }
    }
}

/// A step around the service `S`.
#[derive(Clone, Debug)]
pub struct Step<A, S> {
    around: A,
    inner: S,
}

impl<A, S, T> Service<Call<T>> for Step<A, S>
where
    A: Around<T>,
    T: Operation,
    S: Service<Call<T>, Response = T::Reply, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = T::Reply;
    type Error = Error;
    type Future = BoxFuture<'static, Result<T::Reply, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Self::Future {
        // The instance that was polled ready is the one to be called; a clone need not be ready.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let around = self.around.clone();
        Box::pin(async move { around.around(call, ready).await })
    }
}
