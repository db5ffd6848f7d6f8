//! Applies guardrails, with the ApplyGuardrail operation.

pub(super) mod failure;
pub(super) mod wire;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::timeout;

use super::{Attempt, Attempts, Request, ServiceOperation, Subject, Transport, Try, collected};
use crate::{
    bedrock::guardrail::ApplyGuardrailReply,
    call::{SentMark, Trace},
    catalogue,
    error::Error,
    metrics,
    model::{Guardrail, Model, Target},
    money::{MostUnits, NanoUsd},
    operation::guarded,
};

/// The time limit of one judgment, including retries.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The operation's name in the log.
pub(super) const APPLY: &str = "ApplyGuardrail";

/// Cap on the body of a reply, in bytes: a full trace of the longest input.
const MAX_REPLY_BYTES: usize = 4 << 20;

/// A guardrail's opinion of some content.
pub trait Judge: Send + Sync + 'static {
    /// Asks the guardrail.
    ///
    /// # Errors
    /// If the guardrail gives no verdict. The content must then be withheld.
    fn judge<'a>(&'a self, case: Case<'a>) -> BoxFuture<'a, Result<Verdict, Error>>;
}

/// Content to judge, and the call that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub guardrail: &'a Guardrail,
    pub model: &'a Model,
    /// Receives the cost.
    pub trace: &'a Trace,
    pub source: Source,
    pub content: &'a [Content<'a>],
}

/// Who wrote the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Input,
    Output,
}

impl Source {
    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// A block to judge, or to compare the others with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    Text(&'a str),
    /// The source that the text is checked against.
    Grounding(&'a str),
    /// The question that the text should be relevant to.
    Query(&'a str),
    /// An image in `png` or `jpeg`, as Base64.
    Image {
        format: &'a str,
        data: &'a str,
    },
}

/// What a guardrail decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub action: Action,
    pub assessments: Vec<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    Pass,
    /// The texts with masks, one for each [`Content::Text`].
    Mask(Vec<String>),
    /// The message that replaces the content.
    Block(String),
}

/// Calls ApplyGuardrail, with retries.
pub struct Guardrails {
    attempts: Attempts,
}

impl Guardrails {
    /// Creates a judge that sends requests through `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            attempts: Attempts::new(transport),
        }
    }

    async fn ask(&self, case: Case<'_>) -> Result<Verdict, Error> {
        let Guardrail {
            identifier,
            version,
            ..
        } = case.guardrail;
        let target = Arc::new(Target {
            id: format!("{identifier}/version/{version}"),
            ..Target::clone(case.model.target())
        });
        let label = format!("guardrail:{}", case.model.label());
        let subject = Subject::new(&target, &label, case.model.retry, case.trace);
        let attempt = JudgeAttempt {
            case,
            request: wire::encode(case)?,
        };
        let operation = ServiceOperation::ApplyGuardrail;
        self.attempts.run(subject, operation, attempt).await
    }
}

impl Judge for Guardrails {
    fn judge<'a>(&'a self, case: Case<'a>) -> BoxFuture<'a, Result<Verdict, Error>> {
        Box::pin(async move {
            let asked = timeout(TIMEOUT, self.ask(case)).await;
            let verdict = asked.unwrap_or_else(|_| Err(failure::timed_out(TIMEOUT)));
            let action = match &verdict {
                Ok(verdict) => match verdict.action {
                    Action::Pass => "pass",
                    Action::Mask(_) => "mask",
                    Action::Block(_) => "block",
                },
                Err(_) => "error",
            };
            metrics::guardrail(case.model.label(), case.source.as_str(), action);
            verdict
        })
    }
}

struct JudgeAttempt<'a> {
    case: Case<'a>,
    request: Request,
}

impl Attempt for JudgeAttempt<'_> {
    type Output = Verdict;

    async fn attempt(&mut self, send: Try<'_>) -> Result<Verdict, Error> {
        let mut fee = FeeGuard::new(self.case.trace, most(self.case.content), send.sent());
        let reply = match send.send(self.request.clone()).await {
            Ok(reply) => reply,
            Err(error) => return Err(failure::from_send(APPLY, error)),
        };
        let (parts, body) = reply.into_parts();
        if parts.status.is_client_error() {
            fee.report(NanoUsd::default());
        }
        let body = collected(body, MAX_REPLY_BYTES).await;
        if !parts.status.is_success() {
            return Err(failure::from_reply(
                APPLY,
                parts.status,
                &parts.headers,
                &body.unwrap_or_default(),
            ));
        }
        let body = body.map_err(|error| failure::unread(APPLY, error))?;
        let reply: ApplyGuardrailReply = serde_json::from_slice(&body).map_err(|error| {
            let (kind, column) = (error.classify(), error.column());
            failure::malformed(APPLY, &format!("{kind:?} at column {column}"))
        })?;
        fee.report(catalogue::guardrail_price().cost(&reply.usage));
        wire::verdict(reply, self.case.content)
    }
}

/// The most that one request can cost.
pub(super) fn most(content: &[Content<'_>]) -> NanoUsd {
    let mut most = MostUnits::default();
    for content in content {
        match content {
            Content::Text(text) => most.text += guarded::units(text),
            Content::Grounding(text) | Content::Query(text) => {
                most.grounding += guarded::units(text)
            }
            Content::Image { .. } => most.images += 1,
        }
    }
    if most.grounding > 0 {
        most.grounding += most.text;
    }
    catalogue::guardrail_price().most(most)
}

/// Records the cost of a request when it ends, even if it is cancelled: what was sent can be billed, unless the service
/// rejects it.
pub(super) struct FeeGuard<'a> {
    trace: &'a Trace,
    /// The most that the request can cost. It is charged if no cost is reported.
    most: NanoUsd,
    reported: Option<NanoUsd>,
    sent: SentMark,
}

impl<'a> FeeGuard<'a> {
    pub fn new(trace: &'a Trace, most: NanoUsd, sent: SentMark) -> Self {
        Self {
            trace,
            most,
            reported: None,
            sent,
        }
    }

    /// Records the cost that the service reports. More than the request can cost is a fault of the service, which would
    /// exhaust any budget, so it counts as not reported.
    pub fn report(&mut self, cost: NanoUsd) {
        if cost <= self.most {
            self.reported = Some(cost);
            return;
        }
        tracing::warn!(cost_usd = %cost, most_usd = %self.most, "a guardrail reported more units than its input has");
        self.trace.warnings().add(
            "usage.cost: the most that the guardrail can cost (it reported more units than its input has)",
        );
    }
}

impl Drop for FeeGuard<'_> {
    fn drop(&mut self) {
        if !self.sent.is_set() {
            return;
        }
        let spending = self.trace.spending();
        match self.reported {
            Some(cost) => spending.add_guardrail(cost),
            None => spending.presume_guardrail(self.most),
        }
    }
}
