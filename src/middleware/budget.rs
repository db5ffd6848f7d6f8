use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tower::Service;

use super::Around;
use crate::{
    call::{
        Alert, Alerts, Budget as Terms, Call, Ending, Ends, Mode, NanoUsd, Operation, Price,
        Spending, Spent, Upstream, WorstCase,
    },
    error::{Error, Kind},
    ledger::{Entry, Hold, Kind as Certainty, Ledger, Outcome, Refusal, Standing},
    metrics,
};

mod sliced;

pub use sliced::Slice;

/// Sets the worst case of a call aside before it leaves, in every budget that it falls under, and settles what it has
/// really cost. Also writes the ledger for calls without a budget.
#[derive(Clone)]
pub struct Budget(Arc<Settings>);

/// What all models have in common.
pub struct Settings {
    pub ledger: Ledger,
    /// The whole gateway's.
    pub gateway: Vec<Arc<Terms>>,
    /// Calls under a budget may go to models without a price.
    pub allow_unpriced: bool,
    /// Requests that cost more are told of.
    pub alert_request: Option<NanoUsd>,
    pub alerts: Alerts,
}

/// The shortest answer that `fit` makes of a longer one, in tokens.
const MIN_FIT: u64 = 16;

/// Bytes of `"max_completion_tokens": 1234567, `.
const LIMIT_MEMBER: u64 = 34;

/// When some of what is set aside may have been settled.
const BUSY: Duration = Duration::from_millis(500);

impl Budget {
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }
}

impl<T: Slice> Around<T> for Budget {
    async fn around<S>(&self, mut call: Call<T>, mut next: S) -> Result<T::Reply, Error>
    where
        S: Service<Call<T>, Response = T::Reply, Error = Error, Future: Send> + Send,
    {
        let mut budgets = call.budgets();
        budgets.extend(self.0.gateway.iter().cloned());
        self.fit(&mut call, &budgets);
        let settling = self.admit(&call, &budgets).await?;
        let hold = Arc::downgrade(&settling.hold);
        // A request that may be on the bill twice needs money for both.
        let one = call
            .model
            .price
            .as_deref()
            .and_then(|price| call.worst.cost_of_one(price, call.worst.output_tokens));
        let one = one.unwrap_or_default();
        call.spending
            .ask_before_another(move || hold.upgrade().is_some_and(|hold| hold.extend(one, one)));
        let slices = settling.slices.clone();
        match next.call(call).await {
            Ok(reply) => {
                let reply =
                    reply.on_end(move |ending: &Ending| settling.end("ok", ending.how.label()));
                Ok(match slices {
                    Some(slices) => T::sliced(reply, slices),
                    None => reply,
                })
            }
            Err(error) => {
                settling.end(error.label(), "failed");
                Err(error)
            }
        }
    }
}

impl Budget {
    /// Lowers the output to what is left where a budget wants that rather than a refusal.
    fn fit<T: Operation>(&self, call: &mut Call<T>, budgets: &[Arc<Terms>]) {
        let Some(price) = call.model.price.clone() else {
            return;
        };
        for budget in budgets.iter().filter(|budget| budget.fit) {
            let Some(standing) = self.0.ledger.standing(budget) else {
                continue;
            };
            let fitting = call.worst.output_for(&price, standing.remaining());
            let Some(tokens) =
                fitting.filter(|fits| (MIN_FIT..call.worst.output_tokens).contains(fits))
            else {
                continue;
            };
            let Some(limited) = u32::try_from(tokens)
                .ok()
                .and_then(|tokens| call.body.limited(&call.model, tokens))
            else {
                continue;
            };
            call.body = Arc::new(limited);
            call.worst.output_tokens = tokens;
            call.notes.add(format!(
                "max_tokens: lowered to {tokens}, which is what is left of the budget '{}'",
                budget.id
            ));
        }
    }

    async fn admit<T: Operation>(
        &self,
        call: &Call<T>,
        budgets: &[Arc<Terms>],
    ) -> Result<Settling, Error> {
        let price = call.model.price.clone();
        let most = price.as_deref().and_then(|price| call.worst.cost(price));
        let known = most.filter(|_| !call.worst.unpriced_fees);
        if let Some(max) = call.body.max_cost() {
            within(max, known, advice(call))?;
        }
        if !budgets.is_empty() && known.is_none() && !self.0.allow_unpriced {
            for budget in budgets {
                metrics::budget_refusal(&budget.id, "unpriced");
            }
            return Err(refused(call, unpriced()));
        }
        let slice = call
            .body
            .streams_visibly(&call.model)
            .then(|| sliced::first(&call.worst, price.as_deref()))
            .flatten();
        let asked: Vec<_> = budgets
            .iter()
            .map(|budget| {
                let whole = most.unwrap_or(call.worst.fees);
                let amount = if budget.mode == Mode::Sliced {
                    slice.unwrap_or(whole)
                } else {
                    whole
                };
                (budget.clone(), amount.min(whole))
            })
            .collect();
        let entry = Entry::of(call, &call.end_user, Timestamp::now().as_millisecond());
        let hold = match self
            .0
            .ledger
            .hold(entry, most.unwrap_or(call.worst.fees), &asked)
            .await
        {
            Ok(hold) => Arc::new(hold),
            Err(Ok(refusal)) => return Err(refused(call, self.explain(call, &refusal, &asked))),
            Err(Err(_)) => {
                budgets
                    .iter()
                    .for_each(|budget| metrics::budget_refusal(&budget.id, "backend"));
                return Err(refused(call, unavailable()));
            }
        };
        let has_slices =
            slice.is_some() && budgets.iter().any(|budget| budget.mode == Mode::Sliced);
        let slices = has_slices
            .then(|| sliced::Slices::new(Arc::downgrade(&hold), call))
            .flatten();
        Ok(Settling {
            settings: self.0.clone(),
            hold,
            slices,
            spending: call.spending.clone(),
            upstream: call.upstream.clone(),
            worst: call.worst,
            price,
            request_id: call.request_id.clone(),
            key_id: call.caller.key_id.clone(),
            team: call.caller.team_name().to_owned(),
            model: call.model.label().to_owned(),
            ended: false,
        })
    }

    /// Two refusals that must not be mixed: one that waiting helps, and one that it does not.
    fn explain<T: Operation>(
        &self,
        call: &Call<T>,
        refusal: &Refusal,
        asked: &[(Arc<Terms>, NanoUsd)],
    ) -> Error {
        let (Refusal::Spent(standing) | Refusal::Reserved(standing)) = refusal;
        let Standing {
            budget,
            limit,
            settled,
            reserved,
            resets_at,
        } = standing;
        let amount = asked
            .iter()
            .find(|(other, _)| other.id == budget.id)
            .map(|(_, amount)| *amount);
        let (amount, per) = (amount.unwrap_or_default(), budget.per.as_str());
        let state = format!(
            "the budget '{}' is ${limit} per {per}: ${settled} are spent and ${reserved} are set aside for running requests; this request may cost ${amount}",
            budget.scope
        );
        if matches!(refusal, Refusal::Reserved(_)) {
            metrics::budget_refusal(&budget.id, "reserved");
            return Error::new(Kind::BudgetBusy, format!("Try again in a moment: {state}."))
                .with_code("rate_limit_exceeded")
                .with_retry_after(BUSY);
        }
        metrics::budget_refusal(&budget.id, "settled");
        let left = NanoUsd(limit.0.saturating_sub(settled.0));
        // A member that says so is input too.
        let more = WorstCase {
            input_tokens: call.worst.input_tokens + LIMIT_MEMBER,
            ..call.worst
        };
        let fits = call
            .model
            .price
            .as_deref()
            .and_then(|price| more.output_for(price, left));
        let fits = match fits.filter(|tokens| *tokens > 0) {
            Some(tokens) => format!("${left} are left: max_tokens of {tokens} would fit"),
            None if call.question.is_some() => {
                format!(
                    "${left} are left, which is less than its input and its passages may cost: {}",
                    advice(call)
                )
            }
            None => format!("${left} are left, which is less than its input may cost"),
        };
        let reset = Timestamp::from_second(*resets_at).unwrap_or(Timestamp::MAX);
        let wait = u64::try_from(resets_at - Timestamp::now().as_second()).unwrap_or(1);
        Error::new(
            Kind::BudgetSpent,
            format!("You exceeded your current quota: {state}. {fits}. The budget starts anew at {reset}."),
        )
        .with_code("insufficient_quota")
        .with_retry_after(Duration::from_secs(wait))
        .without_retry()
    }
}

fn refused<T>(call: &Call<T>, error: Error) -> Error {
    metrics::refusal(call.caller.team_name(), &call.caller.key_id, "budget");
    error
}

/// What makes a call cheaper.
fn advice<T>(call: &Call<T>) -> &'static str {
    match call.question {
        Some(_) => "Lower max_tokens, or max_context_chars of 'kb'",
        None => "Lower max_tokens",
    }
}

fn within(max: NanoUsd, most: Option<NanoUsd>, advice: &str) -> Result<(), Error> {
    let problem = match most {
        Some(most) if most <= max => return Ok(()),
        Some(most) => format!("This request may cost ${most}, more than 'max_cost_usd' of ${max}. {advice}."),
        None => "'max_cost_usd' needs known prices, and no price of what this request asks for is known.".to_owned(),
    };
    Err(Error::invalid("max_cost_usd", problem).with_code("max_cost_exceeded"))
}

fn unpriced() -> Error {
    let text = "This request falls under a budget, and no price of what it asks for is known. Tell the gateway's operator.";
    Error::new(Kind::PermissionDenied, text)
        .with_code("model_unpriced")
        .with_param("model")
        .with_detail("set models.NAME.price, or defaults.unpriced_models = \"allow\"")
}

fn unavailable() -> Error {
    Error::new(
        Kind::LedgerUnavailable,
        "What requests cost cannot be written down at the moment. Try again.",
    )
    .with_code("budget_backend_unavailable")
    .with_retry_after(Duration::from_secs(5))
}

/// A call on its way: whatever becomes of it, its hold is settled once.
struct Settling {
    settings: Arc<Settings>,
    hold: Arc<Hold>,
    slices: Option<sliced::Slices>,
    spending: Spending,
    upstream: Upstream,
    worst: WorstCase,
    price: Option<Arc<Price>>,
    request_id: Arc<str>,
    key_id: String,
    team: String,
    model: String,
    ended: bool,
}

impl Settling {
    fn end(mut self, status: &'static str, how: &'static str) {
        self.settle(status, how);
    }

    fn settle(&mut self, status: &'static str, how: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (cost, kind) = self.cost();
        let usage = self.spending.spent().usage.unwrap_or_default();
        let attempts = self.upstream.attempts();
        self.hold.settle(Outcome {
            usage,
            cost,
            kind,
            status,
            how,
            attempts,
        });
        let Some(cost) = cost else { return };
        metrics::spent(&self.team, &self.key_id, &self.model, kind.as_str(), cost);
        if self
            .settings
            .alert_request
            .is_some_and(|limit| cost > limit)
        {
            metrics::expensive_request(&self.model);
            tracing::warn!(
                request_id = &*self.request_id, key_id = self.key_id, model = self.model, cost_usd = %cost,
                "a request has cost more than budget.alert_request_usd"
            );
            let _ = self.settings.alerts.try_send(Alert::ExpensiveRequest {
                request_id: self.request_id.to_string(),
                key_id: self.key_id.clone(),
                team: self.team.clone(),
                model: self.model.clone(),
                cost_usd: cost.to_string(),
            });
        }
    }

    /// Of a model without a price.
    fn fees_only(&self, spent: &Spent) -> (Option<NanoUsd>, Certainty) {
        match spent.fees {
            NanoUsd(0) => (None, Certainty::Actual),
            fees => (Some(fees), Certainty::Presumed),
        }
    }

    /// What all requests of the call come to, and how sure that is.
    fn cost(&self) -> (Option<NanoUsd>, Certainty) {
        let spent = self.spending.spent();
        let worst = |tokens| {
            self.price
                .as_deref()
                .and_then(|price| self.worst.cost_of_one(price, tokens))
        };
        let mut kind = Certainty::Actual;
        let mut cost = NanoUsd::default();
        if let Some(usage) = spent.usage {
            match (
                usage.cost,
                self.price
                    .as_deref()
                    .and_then(|price| self.worst.cost(price)),
            ) {
                (Some(known), _) => cost = known.total(),
                // Something that has no price was used beside what has one.
                (None, Some(most)) => return (Some(most), Certainty::Presumed),
                (None, None) => return self.fees_only(&spent),
            }
            if spent.estimated > 0 {
                // Nobody has counted the input: as much as was set aside for it.
                kind = Certainty::Estimated;
                let input = worst(0).unwrap_or_default();
                cost = cost.max(NanoUsd(input.0.saturating_mul(spent.estimated.into())));
            }
        }
        if spent.lost > 0 {
            kind = Certainty::Presumed;
            let Some(one) = worst(self.worst.output_tokens) else {
                return self.fees_only(&spent);
            };
            cost = cost + NanoUsd(one.0.saturating_mul(spent.lost.into()));
        }
        if spent.unpriced_fees {
            kind = Certainty::Presumed;
        }
        (Some(cost + spent.fees), kind)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.settle("abandoned", "client_gone");
    }
}
