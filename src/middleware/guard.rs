use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, Trace},
    error::{Error, Kind},
    model::{Guardrail, Model},
    money::Cost,
    operation::{
        Served,
        chat::{Chat, ChatReply, WholeReply},
        embed::{self, Embed},
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

/// The guardrail of one call.
struct Evaluation {
    judge: Arc<dyn Judge>,
    guardrail: Guardrail,
    model: Arc<Model>,
    trace: Trace,
    /// The assessments of the input and of the output, if the client may see them.
    shown: Option<Mutex<[Vec<Value>; 2]>>,
}

impl Evaluation {
    fn new<T>(judge: Arc<dyn Judge>, guardrail: Guardrail, call: &Call<T>) -> Self {
        let traced = guardrail
            .trace
            .as_deref()
            .is_some_and(|trace| trace != "disabled");
        Self {
            judge,
            shown: (guardrail.show_trace && traced).then(Mutex::default),
            guardrail,
            model: call.model.clone(),
            trace: call.trace.clone(),
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
        let verdict = self.judge.judge(case).await;
        self.trace.waited_since(began);
        let verdict = verdict?;
        if let Some(shown) = &self.shown {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown[usize::from(source == Source::Output)].extend(verdict.assessments);
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

    /// The trace in the form that Converse returns it, if the client may see it.
    fn shown(&self) -> Option<Value> {
        let shown = self.shown.as_ref()?;
        let [input, output] = &*shown.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.guardrail.identifier.as_str();
        let mut trace = json!({});
        if !input.is_empty() {
            trace["inputAssessment"] = json!({ id: input });
        }
        if !output.is_empty() {
            trace["outputAssessments"] = json!({ id: output });
        }
        Some(trace)
    }
}

impl Middleware<Chat> for Guard {
    async fn handle<S>(&self, mut call: Call<Chat>, mut next: S) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat>, Response = Reply<Chat>, Error = Error, Future: Send> + Send,
    {
        let policy = call.caller.guardrail_for(&call.model);
        let applied = policy.and_then(|policy| Some((policy.clone(), policy.apply?)));
        let Some((guardrail, apply)) = applied else {
            return next.call(call).await;
        };
        let evaluation = Arc::new(Evaluation::new(self.0.clone(), guardrail, &call));
        if apply.covers_input() {
            if let Some(message) = input::evaluate(&evaluation, &mut call).await? {
                let reply = ChatReply::blocked(&call.body, message, &call.trace);
                return Ok(Served {
                    reply: with_trace(reply, &evaluation),
                    model: call.model.clone(),
                    plan: call.plan.clone(),
                    trace: call.trace.clone(),
                });
            }
            evaluation.check_client()?;
        }
        if !apply.covers_output() {
            let served = next.call(call).await?;
            return Ok(served.map(|reply| with_trace(reply, &evaluation)));
        }
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
    reply.guardrail = evaluation.shown();
    Ok(reply)
}

/// Adds the trace to a whole reply. A stream of a blocked input has it after its end.
fn with_trace(reply: ChatReply, evaluation: &Arc<Evaluation>) -> ChatReply {
    match reply {
        ChatReply::Whole(mut reply) => {
            reply.guardrail = evaluation.shown();
            ChatReply::Whole(reply)
        }
        ChatReply::Stream(stream) => {
            let shown = evaluation.shown();
            ChatReply::Stream(stream.wrap(|inner| output::with_trace(inner, shown)))
        }
    }
}

impl Middleware<Embed> for Guard {
    async fn handle<S>(&self, mut call: Call<Embed>, mut next: S) -> Result<Reply<Embed>, Error>
    where
        S: Service<Call<Embed>, Response = Reply<Embed>, Error = Error, Future: Send> + Send,
    {
        let Some(guardrail) = embed::guardrail(&call.caller, &call.model).cloned() else {
            if call.caller.guardrail_for(&call.model).is_some() {
                call.trace.warnings().add(
                    "bedrock.guardrail: not applied (embeddings have only an input; the operator can set its `apply`)",
                );
            }
            return next.call(call).await;
        };
        let evaluation = Evaluation::new(self.0.clone(), guardrail, &call);
        match input::evaluate_inputs(&evaluation, &call.body.inputs).await? {
            Outcome::Pass => {}
            Outcome::Masked(texts) => {
                let old = call.body.inputs.iter().map(|input| match input {
                    embed::Input::Text(text) => text.as_str(),
                    embed::Input::Image(_) => "",
                });
                evaluation.check_masked(input::added(old, &texts)).await?;
                let body = Arc::make_mut(&mut call.body);
                for (input, text) in body.inputs.iter_mut().zip(texts) {
                    if let (embed::Input::Text(own), Some(text)) = (input, text) {
                        *own = text;
                    }
                }
            }
            Outcome::Blocked(message) => {
                let text = format!("The guardrail blocked this input: {message}");
                let error = Error::new(Kind::InvalidRequest, text).with_param("input");
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
