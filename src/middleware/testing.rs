//! Helpers of the tests of middlewares: a fake rest of the stack, calls to send to it, and replies.

mod calls;
mod replies;

use std::{
    future::pending,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

pub use calls::{
    caller, chat, embed, embedder, message, model, planned, text, tool_use, unplanned,
};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
pub use replies::{complete, stream_of, streamed, usage, vector, whole};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use super::{MiddlewareService, Reply, layer};
use crate::{
    call::{Call, Plan, SentMark, Ticket, Unplanned},
    error::{Error, Kind},
    operation::{Operation, Served},
};

/// The state of a call, from which a fake reply takes its plan.
pub trait State: Send + Sync + 'static {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan
    where
        Self: Sized;
}

impl State for Plan {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan {
        call.plan.clone()
    }
}

impl State for Unplanned {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan {
        call.body.plan(&call.model, &call.caller).unwrap()
    }
}

type Answer<T, P> =
    dyn Fn(&Call<T, P>, Ticket) -> Result<<T as Operation>::Reply, Error> + Send + Sync;

type Received<T, P> = Mutex<Vec<Arc<Call<T, P>>>>;

/// A fake rest of the stack. Records the calls it receives. Each call has a ticket, like a request
/// to Bedrock, which counts as lost if the call is dropped before its answer.
pub struct Next<T: Operation, P = Plan> {
    answer: Arc<Answer<T, P>>,
    /// If `None`, the answer never comes.
    delay: Option<Duration>,
    received: Arc<Received<T, P>>,
    /// Only the instance that was polled ready may be called, as tower requires.
    is_ready: bool,
}

impl<T: Operation, P> Next<T, P> {
    /// Answers at once.
    pub fn new(
        answer: impl Fn(&Call<T, P>, Ticket) -> Result<T::Reply, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            delay: Some(Duration::ZERO),
            received: Arc::default(),
            is_ready: false,
        }
    }

    /// Fails at once, without a request on the bill.
    pub fn failing() -> Self {
        Self::new(|_, ticket| {
            ticket.free();
            Err(Error::new(Kind::UpstreamThrottle, "Busy.").with_code("upstream_throttle"))
        })
    }

    /// The same after `delay`.
    pub fn after(self, delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            ..self
        }
    }

    /// The same without an answer.
    pub fn silent(self) -> Self {
        Self {
            delay: None,
            ..self
        }
    }

    pub fn calls(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// The last call that was received.
    pub fn last(&self) -> Arc<Call<T, P>> {
        self.received.lock().unwrap().last().unwrap().clone()
    }
}

impl<T: Operation, P> Clone for Next<T, P> {
    fn clone(&self) -> Self {
        Self {
            answer: self.answer.clone(),
            delay: self.delay,
            received: self.received.clone(),
            is_ready: false,
        }
    }
}

impl<T: Operation, P: State> Service<Call<T, P>> for Next<T, P> {
    type Response = Reply<T>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply<T>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T, P>) -> Self::Future {
        assert!(self.is_ready, "called without being polled ready");
        self.is_ready = false;
        let call = Arc::new(call);
        self.received.lock().unwrap().push(call.clone());
        let (answer, delay) = (self.answer.clone(), self.delay);
        let sent = SentMark::default();
        sent.set();
        let ticket = call.trace.ticket(&sent);
        Box::pin(async move {
            match delay {
                Some(Duration::ZERO) => {}
                Some(delay) => sleep(delay).await,
                None => pending().await,
            }
            Ok(Served {
                reply: answer(&call, ticket)?,
                model: call.model.clone(),
                plan: P::plan(&call),
                trace: call.trace.clone(),
            })
        })
    }
}

/// Sends `call` through `middleware` to `next`.
pub async fn send<M, T, P>(
    middleware: &M,
    next: &Next<T, P>,
    call: Call<T, P>,
) -> Result<Reply<T>, Error>
where
    T: Operation,
    M: super::Middleware<T, P>,
    P: State,
{
    let stack: MiddlewareService<M, _> = layer(middleware.clone()).layer(next.clone());
    stack.oneshot(call).await
}

/// A recorder for one test; make it the thread's with `metrics::set_default_local_recorder`.
pub fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// The sum of all samples called `name` that have `labels`.
pub fn metric(recorder: &PrometheusRecorder, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = recorder.handle().render();
    let matches = |line: &&str| {
        let own = line.split(['{', ' ']).next() == Some(name);
        own && labels
            .iter()
            .all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    };
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines().filter(matches).filter_map(value).sum()
}
