//! The leaf service of every stack, and the only module that owns AWS clients. A codec translates
//! the call into requests, `attempt` sends them, and the codec's decoder reads the replies.

mod attempt;
mod body;
pub mod chat;
mod codec;
pub mod converse;
mod count;
mod discovery;
mod draw;
mod embed;
pub mod failure;
mod fan_out;
mod frame_stream;
mod guardrail;
pub mod halves;
pub mod invoke;
mod learned;
mod messages;
mod moderate;
pub mod native;
mod passthrough;
mod profile_lookup;
mod rank;
mod redact;
mod refused_betas;
mod relocation;
mod rerank;
mod transport;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;
use tower::Service;

use attempt::moves;
pub use attempt::{Attempt, Attempts, BilledError, Quotas, Subject, TargetHealth, Try};
pub use body::collected;
pub use codec::{Codec, EmbedDecoder, Exchange, RankDecoder, RankPage, Request};
pub use discovery::{DiscoveredModel, Discovery, ListFailure, Origin};
pub use fan_out::{PartDecoder, abandoned};
pub use guardrail::{Action, Case, Content, Guardrails, Judge, Source, Verdict};
pub use learned::LearnedRoutes;
pub use native::refusals::Refusals;
pub use profile_lookup::{ProfileLookup, Unresolved};
pub use redact::redact;
pub use transport::{
    Account, AssumeRole, AwsSettings, Clients, Endpoints, Frame, FrameError, FrameReader, Response,
    SendError, ServiceOperation, Transport, TrustedRoots, connecting_within, encode_frame,
};

use refused_betas::RefusedBetas;

use crate::{
    call::Call,
    error::{Error, Kind},
    model::Model,
    operation::Served,
};

/// Sends calls to Bedrock on the route of their plan. A stream is `Ok` only once its first chunk
/// has arrived, so every failure before that is an ordinary error.
#[derive(Clone)]
pub struct Upstream {
    attempts: Arc<Attempts>,
    /// Optional members that targets have refused.
    refusals: Arc<Refusals>,
    learned: LearnedRoutes,
    refused_betas: RefusedBetas,
    tasks: TaskTracker,
}

impl Upstream {
    /// Creates an upstream that sends over `transport`. `tasks` tracks what it reads after its replies are complete.
    pub fn new(transport: Arc<dyn Transport>, tasks: TaskTracker) -> Self {
        Self {
            attempts: Arc::new(Attempts::new(transport)),
            refusals: Arc::default(),
            learned: LearnedRoutes::default(),
            refused_betas: RefusedBetas::default(),
            tasks,
        }
    }

    /// Reports the health of every target that has received requests.
    pub fn health(&self) -> Vec<TargetHealth> {
        self.attempts.health()
    }

    /// Exports the health of the targets of `models`, and forgets those of other configured models.
    pub fn track<'a>(&self, models: impl Iterator<Item = &'a Arc<Model>> + Clone) {
        self.attempts.track(models);
    }

    /// Returns what this upstream knows of the quotas of targets.
    pub fn quotas(&self) -> Quotas {
        self.attempts.quotas().clone()
    }

    /// Returns what this upstream has learned about routes.
    pub fn learned(&self) -> LearnedRoutes {
        self.learned.clone()
    }

    /// Sends the call. If the service answers that the route does not serve the model, the next route is tried, once. If it
    /// refuses a beta flag, the call is sent without it, once.
    async fn answer<T: Exchange>(self, call: Call<T>) -> Result<Served<T::Reply>, Error> {
        let call = Arc::new(self.refused_betas.told(call));
        let error = match self.send(call.clone()).await {
            Ok(served) => return Ok(served),
            Err(error) => error,
        };
        if let Some((reduced, flags)) = T::without_betas(&call, &error) {
            let served = self.send(Arc::new(reduced)).await?;
            self.refused_betas.learn(&call, flags);
            return Ok(served);
        }
        if !error.is_wrong_route() {
            return Err(error);
        }
        let Some(rerouted) = self.learned.rerouted(&call) else {
            return Err(error);
        };
        let spending = call.trace.spending();
        if !spending.may_reroute(rerouted.plan.route).await {
            return Err(error);
        }
        let served = self.send(Arc::new(rerouted)).await?;
        self.learned.learn(&call.model, call.plan.route);
        Ok(served)
    }

    /// Sends the call, and again if AWS throttles it while it may still wait for its turn.
    async fn send<T: Exchange>(&self, call: Arc<Call<T>>) -> Result<Served<T::Reply>, Error> {
        let since = tokio::time::Instant::now();
        loop {
            let error = match self.send_from(call.clone(), since).await {
                Ok(served) => return Ok(served),
                Err(error) => error,
            };
            if !self.attempts.quotas().returns(&call, &error, since).await {
                return Err(error);
            }
        }
    }

    /// Sends the call once it is its turn, for which it has waited since `since` at most.
    async fn send_from<T: Exchange>(
        &self,
        call: Arc<Call<T>>,
        since: tokio::time::Instant,
    ) -> Result<Served<T::Reply>, Error> {
        let codec = T::codec(call.plan.route).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "The gateway planned a route that this operation does not support.",
            )
            .with_detail(format!("{} on route {}", T::NAME, call.plan.route.as_str()))
        })?;
        let start = self.attempts.start(&call, since, &self.tasks).await?;
        let here = match start.place {
            Some(place) => Arc::new(relocation::at(&call, place)),
            None => call.clone(),
        };
        let trace = call.trace.clone();
        let encode = move || Ok((codec.encode(&here)?, here));
        let (requests, here) = trace.compute(encode).await?;
        call.trace.warnings().refuse_dropped(&call.model)?;
        let started = Instant::now();
        // From here on, each request counts itself.
        drop(start.room);
        let reply = T::exchange(self, &here, requests).await;
        call.trace.waited_since(started);
        Ok(Served {
            reply: reply?,
            model: call.model.clone(),
            plan: call.plan.clone(),
            trace: call.trace.clone(),
        })
    }
}

impl<T: Exchange> Service<Call<T>> for Upstream {
    type Response = Served<T::Reply>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T>) -> Self::Future {
        Box::pin(self.clone().answer(call))
    }
}
