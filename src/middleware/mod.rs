//! The middlewares of a call. Each is one file with one `async fn` that wraps the rest of the call. The adapter below
//! turns it into a tower layer. [`crate::dispatch::pipeline`] defines their order. No middleware imports another.

mod budget;
mod deadline;
mod guard;
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

pub use budget::{Budget, Outputs, Settings as BudgetSettings};
pub use deadline::Deadline;
pub use guard::{Guard, GuardQuestion};
pub use in_flight::{CountsInFlight, InFlight};
pub use measure::{Measure, ModelOutcomes, Outcomes, RecentCalls};
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

/// The response of a stack.
pub type Reply<T> = Served<<T as Operation>::Reply>;

/// A middleware. The type parameters restrict it to the operations and the state of the call (with or without a plan)
/// that it supports, so that a stack with a misplaced middleware does not compile.
pub trait Middleware<T: Operation, P = Plan>: Clone + Send + Sync + 'static {
    /// Handles `call`. `next` is the rest of the call, and is ready. To reject the call, return an error without calling
    /// `next`.
    fn handle<S>(
        &self,
        call: Call<T, P>,
        next: S,
    ) -> impl Future<Output = Result<Reply<T>, Error>> + Send
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send;
}

/// Turns a middleware into a tower layer.
pub fn layer<M>(middleware: M) -> MiddlewareLayer<M> {
    MiddlewareLayer(middleware)
}

/// The tower layer of a middleware; see [`layer`].
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

/// The service `S`, wrapped in a middleware.
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
        // Call the instance that was polled ready, because a clone need not be ready.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let middleware = self.middleware.clone();
        Box::pin(async move { middleware.handle(call, ready).await })
    }
}

#[cfg(test)]
mod testing;
