//! Moderates with InvokeGuardrailChecks or ApplyGuardrail: one request for each piece of an input, several at a time.

mod checks;
mod named;

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::{
    Attempt, Codec, Exchange, Request, ServiceOperation, Subject, Try, Upstream, abandoned,
    collected,
    guardrail::{APPLY, FeeGuard, TIMEOUT, failure},
};
use crate::{
    call::{Call, Route},
    error::Error,
    model::Target,
    money::NanoUsd,
    operation::moderate::{Moderate, ModerationReply, Verdict},
};

/// Maximum number of requests in flight per call.
const MAX_IN_FLIGHT: usize = 8;

/// Cap on the body of a reply, in bytes: a full trace of the longest input.
const MAX_REPLY_BYTES: usize = 4 << 20;

/// Decodes the reply to one request.
pub trait ModerationDecoder: Send + Sync {
    /// The index of the input that the request evaluates.
    fn input(&self) -> usize;

    /// The most that the request can cost.
    fn most(&self) -> NanoUsd;

    /// Returns what was found, and the cost of the request.
    ///
    /// # Errors
    /// If the reply is malformed.
    fn read(&self, body: &[u8]) -> Result<(Verdict, NanoUsd), Error>;
}

impl Exchange for Moderate {
    type Decoder = Box<dyn ModerationDecoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::GuardrailChecks => Some(&checks::Checks),
            Route::ApplyGuardrail => Some(&named::NamedGuardrail),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<ModerationReply, Error> {
        let target = &target(call);
        let found = requests.into_iter().map(|(request, decoder)| async move {
            if call.trace.is_client_gone() {
                return Err(abandoned());
            }
            let subject = Subject {
                target,
                ..Subject::of(call).pinned()
            };
            let (operation, input) = (request.operation, decoder.input());
            let attempt = ModerationAttempt {
                call,
                request,
                decoder,
            };
            let judging = call.trace.judging();
            let asked = upstream.attempts.run(subject, operation, attempt);
            let asked = timeout(TIMEOUT, asked).await;
            let verdict = asked.unwrap_or_else(|_| Err(failure::timed_out(TIMEOUT)))?;
            judging.answered();
            Ok((input, verdict))
        });
        let found: Vec<_> = found.collect();
        // A failure drops the requests under way. They are booked at their most.
        let found: Vec<(usize, Verdict)> = stream::iter(found)
            .buffer_unordered(MAX_IN_FLIGHT)
            .try_collect()
            .await?;
        let mut verdicts = vec![Verdict::default(); call.body.inputs.len()];
        for (input, verdict) in found {
            verdicts[input].join(&verdict);
        }
        Ok(ModerationReply {
            verdicts,
            cost: call.trace.spending().total().guardrails,
        })
    }
}

/// The guardrail that evaluates the call, or the pseudo model of the checks.
fn target(call: &Call<Moderate>) -> Arc<Target> {
    let own = call.model.target();
    match &call.model.options.guardrail {
        Some(guardrail) => Arc::new(Target {
            id: format!("{}/version/{}", guardrail.identifier, guardrail.version),
            ..Target::clone(own)
        }),
        None => own.clone(),
    }
}

struct ModerationAttempt<'a> {
    call: &'a Call<Moderate>,
    request: Request,
    decoder: Box<dyn ModerationDecoder>,
}

impl Attempt for ModerationAttempt<'_> {
    type Output = Verdict;

    async fn attempt(&mut self, send: Try<'_>) -> Result<Verdict, Error> {
        let trace = &self.call.trace;
        // Not the guardrail, whose ID is private to the operator.
        trace.attempt(self.call.model.target());
        let mut fee = FeeGuard::new(trace, self.decoder.most(), send.sent());
        let name = match self.request.operation {
            ServiceOperation::ApplyGuardrail => APPLY,
            _ => checks::INVOKE,
        };
        let reply = send.send(self.request.clone()).await;
        let reply = reply.map_err(|error| failure::from_send(name, error))?;
        let (parts, body) = reply.into_parts();
        if parts.status.is_client_error() {
            fee.report(NanoUsd::default());
        }
        let body = collected(body, MAX_REPLY_BYTES).await;
        if !parts.status.is_success() {
            let body = body.unwrap_or_default();
            return Err(failure::from_reply(
                name,
                parts.status,
                &parts.headers,
                &body,
            ));
        }
        let body = body.map_err(|error| failure::unread(name, error))?;
        let (verdict, cost) = self.decoder.read(&body)?;
        fee.report(cost);
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests;
