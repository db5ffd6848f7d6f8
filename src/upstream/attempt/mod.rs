//! The loop around every request to AWS: sends it, counts it, and repeats it after transient failures as long as nothing
//! has reached the client, in another region if there is one. Each request of a call is repeated separately, because the
//! replies to its siblings are already billed.

mod admission;
mod advice;
mod breaker;
mod choice;
mod elsewhere;
mod errors;
mod guard;
mod headroom;
mod health;
mod itinerary;
mod quotas;
mod registry;
mod retry_budget;
mod send;
mod subject;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

pub use self::{
    advice::moves,
    quotas::Quotas,
    registry::TargetHealth,
    send::{BilledError, Try},
    subject::Subject,
};
use self::{
    advice::{evidence, is_busy, pause},
    breaker::Evidence,
    choice::Choice,
    errors::{held_back, silent, unrecorded},
    guard::AttemptGuard,
    health::{Permit, Room},
    itinerary::{Itinerary, Leg, Stop},
};
use super::{
    abandoned,
    transport::{ServiceOperation, Transport},
};
use crate::{
    call::{Call, SentMark},
    error::{Error, Kind, RetryAdvice},
    metrics,
    model::{Model, Strategy, Target},
    operation::Operation,
};

/// A request that can be sent more than once.
pub trait Attempt: Send {
    /// The result of a successful attempt.
    type Output: Send;

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// The failure, with advice on whether to retry.
    fn attempt(
        &mut self,
        send: Try<'_>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;

    /// Prepares the request for another place of its model.
    ///
    /// # Errors
    /// If it cannot be sent there.
    fn relocate(&mut self, _place: usize) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Returns the target that receives the request at a place of its model.
    fn target(&self, place: &Model) -> Arc<Target> {
        place.target().clone()
    }

    /// Reports whether the call still has a use for the result. If not, a failure is not retried.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// Runs the attempts of all calls, and knows the health of their targets.
pub struct Attempts {
    transport: Arc<dyn Transport>,
    quotas: Quotas,
}

/// Where a call begins.
pub struct Start {
    /// The index among the places of its model. `None` if there is one only.
    pub place: Option<usize>,
    /// To be dropped when the first request is sent, which is then counted itself.
    pub room: Option<Room>,
}

impl Attempts {
    /// Creates a runner that sends over `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            quotas: Quotas::default(),
        }
    }

    /// Reports the health of every target that has received requests.
    pub fn health(&self) -> Vec<TargetHealth> {
        self.quotas.registry.report()
    }

    /// Exports the state of the targets of `models`, and forgets those of other configured models.
    pub fn track<'a>(&self, models: impl Iterator<Item = &'a Arc<Model>> + Clone) {
        self.quotas.registry.track(models);
    }

    /// What is known of the quotas of targets.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Returns where `call` begins. Under the strategy `headroom`, a call that fits nowhere waits, if it may, counted from
    /// `since`. `tasks` tracks the task that serves those that wait.
    ///
    /// # Errors
    /// 429 if the call fits nowhere, or that the client has disconnected.
    pub async fn start<T: Operation>(
        &self,
        call: &Call<T>,
        since: Instant,
        tasks: &TaskTracker,
    ) -> Result<Start, Error> {
        let Quotas {
            registry,
            admission,
        } = &self.quotas;
        let model = &call.model;
        let has_places = !model.targets.places.is_empty();
        let affinity = || call.body.affinity(model, &call.caller);
        if model.targets.strategy == Strategy::Headroom {
            let room = admission
                .enter(registry, call, affinity(), since, tasks)
                .await?;
            return Ok(Start {
                place: has_places.then_some(room.place),
                room: Some(room),
            });
        }
        let choice = || Choice::new(registry, &model.targets, model.label());
        Ok(Start {
            place: has_places.then(|| choice().start(affinity(), 0)),
            room: None,
        })
    }

    /// Runs `attempt` until it succeeds, or a retry cannot help or is not allowed.
    ///
    /// # Errors
    /// The last failure, that the client has disconnected, or that no target is healthy.
    pub async fn run<A: Attempt>(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        attempt: A,
    ) -> Result<A::Output, Error> {
        let result = self.all(subject, operation, attempt).await;
        match subject.is_model {
            true => result.map_err(Error::of_model),
            false => result,
        }
    }

    async fn all<A: Attempt>(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        mut attempt: A,
    ) -> Result<A::Output, Error> {
        // Whatever the call has waited for, nothing new is sent for a client that has gone.
        if subject.trace.is_client_gone() {
            return Err(abandoned());
        }
        let mut itinerary = Itinerary::new(&self.quotas.registry, subject, |place| {
            attempt.target(place)
        });
        itinerary.budget().deposit();
        let mut next = itinerary.begin().map_err(held_back)?;
        let mut made = 0;
        let mut transient: Option<Error> = None;
        loop {
            if next.has_moved {
                attempt.relocate(itinerary.place()).await?;
            }
            let stop = itinerary.stop();
            let spending = subject.trace.spending();
            if subject.is_model && !spending.may_send_to(&stop.target).await {
                return Err(transient.unwrap_or_else(unrecorded));
            }
            if subject.trace.is_client_gone() {
                return Err(abandoned());
            }
            let result = self.once(
                &subject,
                &itinerary,
                stop,
                next.permit,
                made + 1,
                &mut attempt,
            );
            let error = match result.await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            made += 1;
            let is_wanted = || attempt.is_wanted() && !subject.trace.is_client_gone();
            let follows = match is_wanted() {
                true => {
                    self.next(subject, operation, &mut itinerary, made, &error)
                        .await
                }
                false => None,
            };
            match follows.filter(|_| is_wanted()) {
                Some(follows) => next = follows,
                // A region that lacks the model says less than one that is busy.
                None if error.retry_advice() == RetryAdvice::Never && moves(&error) => {
                    return Err(transient.unwrap_or(error));
                }
                None => return Err(error),
            }
            if error.retry_advice() != RetryAdvice::Never {
                transient = Some(error);
            }
        }
    }

    /// Sends one request, the call's `number`th, and records what its result says about the target.
    async fn once<A: Attempt>(
        &self,
        subject: &Subject<'_>,
        itinerary: &Itinerary<'_>,
        stop: &Stop,
        permit: Permit,
        number: u32,
        attempt: &mut A,
    ) -> Result<A::Output, Error> {
        let subject = Subject {
            target: &stop.target,
            ..*subject
        };
        let sent = SentMark::default();
        let send = Try {
            transport: &*self.transport,
            subject,
            sent: &sent,
            lease: permit.lease(),
        };
        let lease = permit.lease();
        let counted = subject.quota;
        let counted = counted.map(|(tokens, per_output)| lease.count(tokens, per_output));
        // An honest answer may take the whole time, so only a doubtful target gets less of it.
        let probe = subject.probe.filter(|_| permit.is_probe());
        let began = Instant::now();
        let mut guard = AttemptGuard {
            subject,
            number,
            code: "abandoned",
            began,
            permit: Some(permit),
        };
        let work = attempt.attempt(send);
        let has_another = itinerary.has_another() || subject.trace.fallbacks_left() > 0;
        let mut is_cut = false;
        let result = match subject.first_token.or(probe).filter(|_| has_another) {
            Some(limit) => timeout(limit, work).await.unwrap_or_else(|_| {
                is_cut = true;
                Err(silent(limit, subject.is_stream))
            }),
            None => work.await,
        };
        guard.code = result.as_ref().err().map_or("ok", Error::label);
        let is_cut = is_cut && subject.is_shortened;
        let proof = result
            .as_ref()
            .err()
            .map_or(Some(Evidence::Works), evidence);
        // What a client shortens must not affect others.
        let proof = proof.filter(|_| !is_cut);
        let wait = result.as_ref().err().and_then(Error::retry_after);
        if let Some(permit) = guard.permit.take() {
            permit.end(proof, wait.unwrap_or_default());
        }
        if let (Ok(_), Some(used)) = (&result, counted) {
            stop.health.headroom.admitted(used, began);
        }
        match &result {
            Ok(_) if subject.is_stream => stop.health.answered_within(began.elapsed()),
            Ok(_) => {}
            Err(error) => {
                lease.not_admitted(error.kind() == Kind::UpstreamThrottle);
                if is_busy(error) {
                    stop.health.rest(wait.unwrap_or_default());
                }
                if let Some(wait) = error.demanded_wait() {
                    stop.health.demand(wait);
                }
            }
        }
        result
    }

    /// Decides whether and where a request is sent again after `error`, and waits for the backoff. `made` requests were
    /// made before.
    async fn next(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        itinerary: &mut Itinerary<'_>,
        made: u32,
        error: &Error,
    ) -> Option<Leg> {
        let Subject {
            label,
            policy,
            trace,
            ..
        } = subject;
        let advice = error.retry_advice();
        let is_throttled = error.kind() == Kind::UpstreamThrottle;
        let tokens = subject.quota.filter(|_| is_throttled);
        let tokens = tokens.map_or(0, |(tokens, _)| tokens);
        let elsewhere = moves(error).then(|| itinerary.another(tokens)).flatten();
        let wait = match elsewhere {
            Some(_) => Duration::ZERO,
            None if is_throttled && subject.has_line => return None,
            None => {
                let backoff = pause(advice, made, policy)?;
                let wait = backoff.max(itinerary.demanded_rest());
                // Another model answers sooner than a service that wants to be left alone, and no call outlives its time.
                let longest = match subject.is_model && trace.fallbacks_left() == 0 {
                    true => trace.time_left(Duration::MAX),
                    false => policy.cap.max(backoff),
                };
                Some(wait).filter(|wait| *wait <= longest)?
            }
        };
        // Bedrock may have billed the failed attempt, so a retry can cost twice the reservation.
        if error.is_perhaps_billed() && !trace.spending().may_repeat().await {
            return None;
        }
        let from = itinerary.stop().target.clone();
        // The first move adds no more load than an open breaker does, which sends calls elsewhere at once.
        let is_free = elsewhere.is_some() && made == 1;
        if !is_free && !itinerary.budget().withdraw() {
            metrics::retry_budget_exhausted(&from.region, label);
            return None;
        }
        if advice == RetryAdvice::Refreshed {
            self.transport.refresh(operation, &from, subject.caller);
        }
        let code = error.code().unwrap_or_default();
        let next = match elsewhere {
            Some((place, permit)) => {
                itinerary.move_to(place);
                let to = &itinerary.stop().target;
                metrics::failover(&from.place(), &to.place(), label, error.label());
                // Clients do not see the names of accounts.
                trace.warnings().add(format!(
                    "attempts: the request moved from {} to {} (after '{code}')",
                    from.region, to.region
                ));
                Leg {
                    permit,
                    has_moved: true,
                }
            }
            None => {
                sleep(wait).await;
                let again = itinerary.again()?;
                trace.warnings().add(format!(
                    "attempts: the request to Bedrock was retried (after '{code}')"
                ));
                again
            }
        };
        metrics::upstream_retry(&itinerary.stop().target.region, label);
        Some(next)
    }
}

#[cfg(test)]
mod tests;
