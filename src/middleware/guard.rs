use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, Retrieval, Trace},
    error::{Error, Kind},
    model::{Guardrail, Model},
    money::Cost,
    operation::{
        Served,
        chat::{
            Chat, ChatReply, WholeReply,
            guard::{Assessments, Scope},
        },
        input_only::InputOnly,
    },
    upstream::{self, Action, Case, Content, Judge, Source},
};

mod input;
mod output;

use input::Outcome;
use output::{Answers, Comparison};

/// Applies the operator's guardrail to inputs and answers, if its `apply` says so. Content that the guardrail has not
/// judged goes nowhere: if it cannot be asked, the call fails.
#[derive(Clone)]
pub struct Guard(pub Arc<dyn Judge>);

/// Applies the guardrail to what the client sent before Knowledge Bases are searched, because the search and the model
/// that condenses the conversation receive it too. [`Guard`] then judges only what was added.
#[derive(Clone)]
pub struct GuardQuestion(pub Guard);

/// One guardrail of one call.
struct Evaluation {
    judge: Arc<dyn Judge>,
    guardrail: Guardrail,
    model: Arc<Model>,
    trace: Trace,
    /// What all guardrails of the call said, as far as the client may see it.
    assessments: Assessments,
    /// The client may see what this guardrail says.
    is_shown: bool,
}

impl Evaluation {
    fn new<T>(
        judge: &Arc<dyn Judge>,
        guardrail: &Guardrail,
        call: &Call<T>,
        assessments: &Assessments,
    ) -> Self {
        let traced = guardrail
            .trace
            .as_deref()
            .is_some_and(|trace| trace != "disabled");
        Self {
            judge: judge.clone(),
            is_shown: guardrail.show_trace && traced,
            guardrail: guardrail.clone(),
            model: call.model.clone(),
            trace: call.trace.clone(),
            assessments: assessments.clone(),
        }
    }

    /// Asks the guardrail.
    ///
    /// # Errors
    /// If there is no verdict, or the client disconnected.
    async fn ask(&self, source: Source, content: &[Content<'_>]) -> Result<Action, Error> {
        self.check_client()?;
        let began = Instant::now();
        let case = Case {
            guardrail: &self.guardrail,
            model: &self.model,
            trace: &self.trace,
            source,
            content,
        };
        let judging = self.trace.judging();
        let verdict = self.judge.judge(case).await;
        judging.answered();
        self.trace.waited_since(began);
        let verdict = verdict?;
        if self.is_shown {
            self.record(source, verdict.assessments);
        }
        if let Action::Mask(_) = verdict.action {
            let what = match source {
                Source::Input => "the input",
                Source::Output => "the answer",
            };
            self.trace
                .warnings()
                .add(format!("bedrock.guardrail: parts of {what} were masked"));
        }
        Ok(verdict.action)
    }

    /// # Errors
    /// If the client disconnected: nothing more is sent for the call.
    fn check_client(&self) -> Result<(), Error> {
        match self.trace.is_client_gone() {
            true => Err(upstream::abandoned()),
            false => Ok(()),
        }
    }

    /// Reserves the cost of what masks add to the input, in bytes.
    ///
    /// # Errors
    /// If the call must not cost more.
    async fn check_masked(&self, added: u64) -> Result<(), Error> {
        self.trace.spending().reserve_growth(added).await
    }

    fn record(&self, source: Source, new: Vec<Value>) {
        let member = match source {
            Source::Input => "inputAssessment",
            Source::Output => "outputAssessments",
        };
        let Assessments(all) = &self.assessments;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let by_id = all.entry(member).or_insert_with(|| json!({}));
        let own = &mut by_id[self.guardrail.identifier.as_str()];
        match own {
            Value::Array(own) => own.extend(new),
            own => *own = Value::Array(new),
        }
    }

    /// The trace in the form that Converse returns it, if the client may see it.
    fn shown(&self) -> Option<Value> {
        let Assessments(all) = &self.assessments;
        let all = all.lock().unwrap_or_else(PoisonError::into_inner);
        (self.is_shown || !all.is_empty()).then(|| Value::Object(all.clone()))
    }
}

impl Middleware<Chat> for GuardQuestion {
    async fn handle<S>(&self, mut call: Call<Chat>, mut next: S) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat>, Response = Reply<Chat>, Error = Error, Future: Send> + Send,
    {
        let guardrail = call.caller.guardrails_for(&call.model).input;
        let (Some(guardrail), Some(request)) = (guardrail, call.body.retrieval.clone()) else {
            return next.call(call).await;
        };
        let Self(Guard(judge)) = self;
        let assessments = Assessments::default();
        let evaluation = Evaluation::new(judge, guardrail, &call, &assessments);
        if let Some(message) = input::evaluate(&evaluation, &mut call, Scope::Client).await? {
            let retrieval = Retrieval::withheld(&request);
            call.trace.set_retrieval(Arc::new(retrieval));
            return Ok(blocked(&call, message, &evaluation));
        }
        Arc::make_mut(&mut call.body).judged = Some(assessments);
        next.call(call).await
    }
}

impl Middleware<Chat> for Guard {
    async fn handle<S>(&self, mut call: Call<Chat>, mut next: S) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat>, Response = Reply<Chat>, Error = Error, Future: Send> + Send,
    {
        let guardrails = call.caller.guardrails_for(&call.model);
        let (scope, assessments) = match &call.body.judged {
            Some(so_far) => (Scope::Added, so_far.clone()),
            None => (Scope::All, Assessments::default()),
        };
        let evaluation =
            |guardrail| Arc::new(Evaluation::new(&self.0, guardrail, &call, &assessments));
        let (input, output) = (
            guardrails.input.map(evaluation),
            guardrails.output.map(evaluation),
        );
        if let Some(evaluation) = &input {
            if let Some(message) = input::evaluate(evaluation, &mut call, scope).await? {
                call.trace.withhold_retrieval();
                return Ok(blocked(&call, message, evaluation));
            }
            evaluation.check_client()?;
        }
        let Some(evaluation) = output else {
            let served = next.call(call).await?;
            return Ok(match input {
                Some(evaluation) => served.map(|reply| with_trace(reply, &evaluation)),
                None => served,
            });
        };
        let answers = Answers {
            comparison: Comparison::of(&call.body, call.trace.warnings()),
            max_chars: output::max_chars(&call),
            choices: call.body.choices() as usize,
            evaluation,
        };
        let Served {
            reply,
            model,
            plan,
            trace,
        } = next.call(call).await?;
        let reply = match reply {
            ChatReply::Whole(reply) => ChatReply::Whole(whole(answers, reply).await?),
            ChatReply::Stream(stream) => {
                ChatReply::Stream(stream.wrap(|inner| output::stream(answers, inner)))
            }
        };
        Ok(Served {
            reply,
            model,
            plan,
            trace,
        })
    }
}

/// The reply to a call whose input the guardrail blocked.
fn blocked(call: &Call<Chat>, message: String, evaluation: &Evaluation) -> Reply<Chat> {
    let reply = ChatReply::blocked(&call.body, message, &call.trace);
    Served {
        reply: with_trace(reply, evaluation),
        model: call.model.clone(),
        plan: call.plan.clone(),
        trace: call.trace.clone(),
    }
}

/// Judges a whole reply, and adds the cost to its usage.
async fn whole(answers: Answers, mut reply: WholeReply) -> Result<WholeReply, Error> {
    let evaluation = answers.evaluation.clone();
    let spent = || evaluation.trace.spending().total().guardrails.0;
    let before = spent();
    reply.choices = answers.whole(reply.choices).await?;
    let more = Cost {
        guardrails: crate::money::NanoUsd(spent() - before),
        ..Cost::default()
    };
    reply.usage.cost = reply.usage.cost.map(|cost| cost + more);
    reply.guardrail = merged(reply.guardrail.take(), evaluation.shown());
    Ok(reply)
}

/// Adds the trace to a whole reply. A stream of a blocked input has it after its end.
fn with_trace(reply: ChatReply, evaluation: &Evaluation) -> ChatReply {
    match reply {
        ChatReply::Whole(mut reply) => {
            reply.guardrail = merged(reply.guardrail.take(), evaluation.shown());
            ChatReply::Whole(reply)
        }
        ChatReply::Stream(stream) => {
            let shown = evaluation.shown();
            ChatReply::Stream(stream.wrap(|inner| output::with_trace(inner, shown)))
        }
    }
}

/// Adds the trace of the gateway's guardrails to the trace of the call to the model.
fn merged(of_call: Option<Value>, own: Option<Value>) -> Option<Value> {
    match (of_call, own) {
        (Some(Value::Object(mut all)), Some(Value::Object(own))) => {
            for (member, value) in own {
                match (all.get_mut(&member), value) {
                    (Some(Value::Object(by_id)), Value::Object(own)) => by_id.extend(own),
                    (_, value) => drop(all.insert(member, value)),
                }
            }
            Some(Value::Object(all))
        }
        (of_call, own) => own.or(of_call),
    }
}

impl<T: InputOnly> Middleware<T> for Guard {
    async fn handle<S>(&self, mut call: Call<T>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let guardrails = call.caller.guardrails_for(&call.model);
        let Some(guardrail) = guardrails.input else {
            if !guardrails.is_empty() {
                call.trace.warnings().add(T::NOT_APPLIED);
            }
            return next.call(call).await;
        };
        if let Some(warning) = guardrails.output.and(T::OUTPUT_NOT_APPLIED) {
            call.trace.warnings().add(warning);
        }
        let evaluation = Evaluation::new(&self.0, guardrail, &call, &Assessments::default());
        match input::evaluate_inputs(&evaluation, &call.body.texts(), &call.body.images()).await? {
            Outcome::Pass => {}
            Outcome::Masked(texts) => {
                let added = input::added(call.body.texts().into_iter(), &texts);
                evaluation.check_masked(added).await?;
                Arc::make_mut(&mut call.body).replace_texts(texts);
            }
            Outcome::Blocked(message) => {
                let text = format!("The guardrail blocked this input: {message}");
                let error = Error::new(Kind::InvalidRequest, text).with_param(T::SIZE_MEMBER);
                return Err(error
                    .with_code("content_filter")
                    .with_log_message("The guardrail blocked this input."));
            }
        }
        evaluation.check_client()?;
        next.call(call).await
    }
}

#[cfg(test)]
mod tests;
