//! Calls other models if one fails. Each has a stack of its own, with its own limits, price and reservation, which it begins
//! only after the one before has settled.

use std::sync::Arc;

use tower::ServiceExt;

use super::{Alternative, Destination, Dispatch, Dispatchable};
use crate::{
    call::{Call, Caller, Trace, Unplanned},
    error::{Error, Kind},
    metrics,
    middleware::Reply,
    model::{Fallbacks, Model},
    money::GuardrailFees,
    operation::{Reply as _, Served},
};

/// The other models of a destination that its caller may use.
#[derive(Clone, Default)]
pub(super) struct Alternatives {
    errors: Vec<Alternative>,
    context_length: Vec<Alternative>,
    content_filter: Vec<Alternative>,
}

impl Alternatives {
    /// Reports whether there is no other model.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            errors,
            context_length,
            content_filter,
        } = self;
        errors.is_empty() && context_length.is_empty() && content_filter.is_empty()
    }
}

/// Reports whether `model` is among them.
fn has(alternatives: &[Alternative], model: &Model) -> bool {
    let mut names = alternatives.iter().map(|one| &one.model.name);
    names.any(|name| *name == model.name)
}

/// Why another model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Failure,
    ContextLength,
    ContentFilter,
}

impl Dispatch {
    /// Returns the models that a client names in place of the configured fallbacks. Those that it may not use are skipped
    /// with a warning.
    pub async fn chosen(
        &self,
        names: &[String],
        caller: &Caller,
        trace: &Trace,
    ) -> Vec<Alternative> {
        let mut chosen: Vec<Alternative> = Vec::with_capacity(names.len());
        for name in names {
            // Resolving an ARN takes requests to AWS, which only the model of a call is worth.
            let found = match name.starts_with("arn:") {
                true => None,
                false => self.resolve_for(name, caller).await.ok(),
            };
            match found {
                Some(found) if has(&chosen, &found.first.model) => {}
                Some(found) => chosen.push(found.first),
                None => trace
                    .warnings()
                    .add("models: one was skipped (it does not exist, is an ARN, or this key may not use it)"),
            }
        }
        chosen
    }

    /// Returns the configured fallbacks that `caller` may use.
    pub(super) fn alternatives(&self, fallbacks: &Fallbacks, caller: &Caller) -> Alternatives {
        let of = |names: &[String]| {
            let models = names
                .iter()
                .filter_map(|name| self.models.resolve(name).ok());
            let usable = models.filter(|model| caller.may_use(&model.name, false));
            usable
                .filter_map(|model| self.stacks.alternative(model).ok())
                .collect()
        };
        Alternatives {
            errors: of(&fallbacks.errors),
            context_length: of(&fallbacks.context_length),
            content_filter: of(&fallbacks.content_filter),
        }
    }
}

impl Destination {
    /// Replaces the fallbacks for failures by `chosen`, unless it is empty.
    #[must_use]
    pub fn with_fallbacks(mut self, chosen: Vec<Alternative>) -> Self {
        if !chosen.is_empty() {
            self.others.errors = chosen;
        }
        self
    }

    /// Calls no other model.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.others = Alternatives::default();
        self
    }

    /// Sends `call` to one model after the other until one answers.
    ///
    /// # Errors
    /// That of the first model, because it is the one that the client asked for.
    pub(super) async fn in_turn<T: Dispatchable>(
        &self,
        call: Call<T, Unplanned>,
    ) -> Result<Reply<T>, Error> {
        let again = Again::of(&call);
        let mut trace = call.trace.clone();
        let is_other = |other: &&Alternative| other.model.name != self.first.model.name;
        trace.set_fallbacks_left(self.others.errors.iter().filter(is_other).count());
        let before = trace.attempts();
        let first = T::stack(&self.first.stacks).clone().oneshot(call).await;
        let Some(cause) = cause(&first, &trace, before) else {
            return first;
        };
        let candidates = match cause {
            Cause::Failure => &self.others.errors,
            Cause::ContextLength => &self.others.context_length,
            Cause::ContentFilter => &self.others.content_filter,
        };
        let served = trace.served();
        let candidates: Vec<_> = candidates.iter().filter(is_other).collect();
        for (index, other) in candidates.iter().enumerate() {
            if trace.is_client_gone() || !trace.has_time() {
                break;
            }
            let from = self.first.model.label();
            metrics::fallback(from, other.model.label(), cause.as_str());
            trace = trace.fall_back();
            trace.set_fallbacks_left(candidates.len() - index - 1);
            trace.warnings().add(format!(
                "model: '{}' was called instead ({})",
                other.model.name,
                cause.why()
            ));
            let call = again.call(other, trace.clone(), index + 1);
            match T::stack(&other.stacks).clone().oneshot(call).await {
                // What the filter withheld from one model, another may answer.
                Ok(served) if cause == Cause::ContentFilter && served.reply.is_filtered() => {}
                Ok(served) => return Ok(served),
                Err(error) => trace.warnings().add(format!(
                    "model: '{}' failed, too (after '{}')",
                    other.model.name,
                    error.label()
                )),
            }
        }
        if first.is_ok() {
            trace.restore_served(served);
        }
        first
    }
}

/// What is needed to call another model in the same way.
struct Again<T> {
    request_id: Arc<str>,
    caller: Arc<Caller>,
    body: Arc<T>,
    end_user: String,
}

impl<T> Again<T> {
    fn of(call: &Call<T, Unplanned>) -> Self {
        Self {
            request_id: call.request_id.clone(),
            caller: call.caller.clone(),
            body: call.body.clone(),
            end_user: call.end_user.clone(),
        }
    }

    /// Returns the call of `other`, the fallback of this number. Its id is another, because the ledger has an entry for each.
    fn call(&self, other: &Alternative, trace: Trace, number: usize) -> Call<T, Unplanned> {
        Call {
            request_id: format!("{}-fallback{number}", self.request_id).into(),
            caller: self.caller.clone(),
            model: other.model.clone(),
            body: self.body.clone(),
            plan: Unplanned,
            end_user: self.end_user.clone(),
            trace,
        }
    }
}

impl Cause {
    /// The label of metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Failure => "the requested model failed",
            Self::ContextLength => "the conversation is too long for the requested model",
            Self::ContentFilter => "a filter of the requested model withheld its answer",
        }
    }
}

/// Returns why another model should answer. `None` if it should not: the reply is good, or the request is at fault, or a limit
/// of the gateway rejected it.
fn cause<R: crate::operation::Reply>(
    result: &Result<Served<R>, Error>,
    trace: &Trace,
    attempts_before: u32,
) -> Option<Cause> {
    let error = match result {
        // A guardrail that withholds an answer must not be evaded.
        Ok(served) => {
            let is_guarded = served.plan.worst.guardrail != GuardrailFees::default()
                || served.plan.worst.has_applied_guardrail();
            return (served.reply.is_filtered() && !is_guarded).then_some(Cause::ContentFilter);
        }
        Err(error) => error,
    };
    // Without its guardrail, a model must not be asked elsewhere, and a search that fails would fail again.
    if !error.is_of_model() {
        return None;
    }
    let code = error.code().unwrap_or_default();
    if code == "context_length_exceeded" {
        return Some(Cause::ContextLength);
    }
    // They are the same for the other model.
    let lacks_credentials = code.starts_with("credentials");
    let is_failure = match error.kind() {
        Kind::UpstreamThrottle
        | Kind::UpstreamQuota
        | Kind::Upstream
        | Kind::UpstreamUnavailable
        | Kind::UpstreamTimeout => !lacks_credentials,
        Kind::Overloaded => code == "upstream_overloaded",
        // Without a request, it is the gateway's own: no route serves this operation on the model.
        Kind::NotFound => trace.attempts() > attempts_before,
        _ => false,
    };
    is_failure.then_some(Cause::Failure)
}
