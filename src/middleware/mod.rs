//! The middlewares around a call. A middleware is one file with one `async fn` around the rest of
//! the call; the adapter below makes each of them a tower layer. Their order is written in
//! [`crate::dispatch::pipeline`]. No middleware imports another.

mod budget;
mod deadline;
mod in_flight;
mod measure;
mod media;
mod rate_limit;
mod reasoning;
mod resolve;
mod retrieve;

use std::{
    future::Future,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::{Layer, Service};

pub use budget::{Budget, Settings as BudgetSettings};
pub use deadline::Deadline;
pub use in_flight::InFlight;
pub use measure::Measure;
pub use media::Media;
pub use rate_limit::RateLimit;
pub use reasoning::Reasoning;
pub use resolve::Resolve;
pub use retrieve::{Completer, Retrieve};

use crate::{
    call::{Call, Plan},
    error::Error,
    operation::{Operation, Served},
};

/// What a stack answers.
pub type Reply<T> = Served<<T as Operation>::Reply>;

/// One middleware, for the operations and the state of the call that it makes sense for: in another
/// stack, or at another height, it does not compile.
pub trait Middleware<T: Operation, P = Plan>: Clone + Send + Sync + 'static {
    /// Handles `call` around `next`, which is ready and is the rest of the call. To reject the
    /// call, do not call it.
    fn handle<S>(
        &self,
        call: Call<T, P>,
        next: S,
    ) -> impl Future<Output = Result<Reply<T>, Error>> + Send
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send;
}

/// Makes a middleware a layer.
pub fn layer<M>(middleware: M) -> MiddlewareLayer<M> {
    MiddlewareLayer(middleware)
}

/// See [`layer`].
#[derive(Clone, Debug)]
pub struct MiddlewareLayer<M>(M);

impl<M: Clone, S> Layer<S> for MiddlewareLayer<M> {
    type Service = MiddlewareService<M, S>;

    fn layer(&self, inner: S) -> MiddlewareService<M, S> {
        MiddlewareService {
            middleware: self.0.clone(),
            inner,
        }
    }
}

/// A middleware around the service `S`.
#[derive(Clone, Debug)]
pub struct MiddlewareService<M, S> {
    middleware: M,
    inner: S,
}

impl<M, S, T, P> Service<Call<T, P>> for MiddlewareService<M, S>
where
    M: Middleware<T, P>,
    T: Operation,
    P: Send + 'static,
    S: Service<Call<T, P>, Response = Reply<T>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply<T>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply<T>, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T, P>) -> Self::Future {
        // The instance that was polled ready is the one to be called; a clone need not be ready.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let middleware = self.middleware.clone();
        Box::pin(async move { middleware.handle(call, ready).await })
    }
}

#[cfg(test)]
mod testing;
