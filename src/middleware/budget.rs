use std::sync::{Arc, atomic::AtomicBool};

use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Alerts, Call},
    error::Error,
    governance::{HoldError, Ledger, LedgerEntry, Scopes},
    metrics,
    money::{Budget as Terms, Mode, NanoUsd},
    operation::{Operation, Reply as _},
    upstream::Quotas,
};

mod growth;
mod lower;
mod outputs;
mod refusal;
mod settling;
mod slices;

use growth::Growth;
pub use outputs::Outputs;
use settling::Settling;
use slices::Slices;

/// Reserves the worst case of a call, in every budget that applies to it, before it is sent. When the call ends, its
/// actual cost replaces the reservation. Also writes the ledger for calls without a budget.
#[derive(Clone)]
pub struct Budget(Arc<Settings>);

/// The settings that all models share.
pub struct Settings {
    pub ledger: Ledger,
    /// Allows calls of unknown price under a budget.
    pub allow_unpriced: bool,
    /// The cost above which a request raises an alert.
    pub alert_request: Option<NanoUsd>,
    pub alerts: Alerts,
    /// The lengths of answers, for limits of the output.
    pub outputs: Outputs,
    /// What is known of AWS's quotas, for limits of the output.
    pub quotas: Quotas,
}

/// The smallest limit that `fit` lowers an output to, in tokens.
const MIN_FIT: u64 = 16;

impl Budget {
    /// Creates the middleware.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }
}

impl<T: Operation> Middleware<T> for Budget {
    async fn handle<S>(&self, mut call: Call<T>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let entry = LedgerEntry::of(&call);
        let budgets = self.0.ledger.budgets(&Scopes::of(&entry));
        self.lower(&mut call, &budgets).await?;
        self.fit(&mut call, &budgets)?;
        let (settling, slices) = self.admit(&call, &budgets).await?;
        let hold = Arc::downgrade(&settling.hold);
        let growth = Arc::new(Growth::new(&call, hold.clone()));
        let lengths = self.0.outputs.of(&call);
        let repeat = growth.clone();
        let spending = call.trace.spending();
        spending.ask_before_growth(move |tokens| Box::pin(growth.clone().reserve(tokens)));
        spending.ask_before_repeat(move |tokens| Box::pin(repeat.clone().repeat(tokens)));
        spending.ask_before_reroute(move |route| {
            let hold = hold.upgrade();
            Box::pin(async move {
                match hold {
                    Some(hold) => hold.reroute(route).await,
                    None => false,
                }
            })
        });
        if !call.model.targets.places.is_empty() {
            settling.follow_moves(&call);
        }
        match next.call(call).await {
            Ok(served) => {
                let served = match slices {
                    Some(slices) => served.map(|reply| reply.limited_by(Box::new(slices))),
                    None => served,
                };
                Ok(served.on_end(move |end| {
                    lengths.record(end);
                    settling.end("ok", end.reason.label());
                }))
            }
            Err(error) => {
                settling.end(error.label(), "failed");
                Err(error)
            }
        }
    }
}

impl Budget {
    /// Lowers the output limit to what is left of the budgets with `fit`.
    fn fit<T: Operation>(&self, call: &mut Call<T>, budgets: &[Arc<Terms>]) -> Result<(), Error> {
        let Some(price) = call.model.price.clone() else {
            return Ok(());
        };
        for budget in budgets.iter().filter(|budget| budget.fit) {
            let Some(status) = self.0.ledger.budget_status(&budget.id) else {
                continue;
            };
            let worst = &call.plan.worst;
            let fitting = worst.output_for(&price, status.remaining());
            let fitting = fitting.filter(|fits| (MIN_FIT..worst.output_tokens).contains(fits));
            let tokens = fitting.and_then(|tokens| u32::try_from(tokens).ok());
            let limited = tokens.and_then(|tokens| call.body.limited(&call.model, tokens));
            let (Some(tokens), Some(limited)) = (tokens, limited) else {
                continue;
            };
            // The plan depends on the request.
            call.plan = limited.plan(&call.model, &call.caller)?;
            call.body = Arc::new(limited);
            call.trace.warnings().add(format!(
                "max_tokens: lowered to {tokens}, which is what is left of the budget '{}'",
                budget.id
            ));
        }
        Ok(())
    }

    /// Reserves the cost of the call.
    ///
    /// # Errors
    /// The rejection, if the client's limit, a budget or the ledger does not admit the call.
    async fn admit<T: Operation>(
        &self,
        call: &Call<T>,
        budgets: &[Arc<Terms>],
    ) -> Result<(Settling, Option<Slices>), Error> {
        let worst = &call.plan.worst;
        let most = most(call);
        let known = most.filter(|_| !worst.unpriced_fees);
        if let Some(max) = max_cost(call) {
            refusal::within(max, known, call.body.cost_advice())?;
        }
        if !budgets.is_empty()
            && let Some(member) = call.body.unbounded_member(&call.model, &call.caller)
        {
            return Err(refusal::counted(call, refusal::unbounded(member)));
        }
        if !budgets.is_empty() && known.is_none() && !self.0.allow_unpriced {
            for budget in budgets {
                metrics::budget_refusal(&budget.id, "unpriced");
            }
            let refusal = match call.model.is_unresolved && call.model.price.is_none() {
                true => refusal::unresolved(),
                false => refusal::unpriced(),
            };
            return Err(refusal::counted(call, refusal));
        }
        let slice = slices::of(call);
        let whole = most.unwrap_or(worst.all_fees());
        let amount = |budget: &Terms| reserved_in(budget, whole, slice);
        let entry = LedgerEntry::of(call);
        let hold = match self.0.ledger.hold(entry, whole, amount).await {
            Ok(hold) => {
                tracing::debug!(
                    request_id = &*call.request_id,
                    model = call.model.label(),
                    most_usd = most.map(tracing::field::display),
                    budgets = budgets.len(),
                    "the most that a call can cost was reserved"
                );
                Arc::new(hold)
            }
            Err(HoldError::Refused(refused)) => {
                return Err(refusal::counted(call, refusal::explain(call, &refused)));
            }
            Err(HoldError::StoreUnavailable) => {
                budgets
                    .iter()
                    .for_each(|budget| metrics::budget_refusal(&budget.id, "backend"));
                return Err(refusal::counted(call, refusal::unavailable()));
            }
        };
        let sliced = slice.is_some() && budgets.iter().any(|budget| budget.mode == Mode::Sliced);
        let denied = Arc::new(AtomicBool::new(false));
        let slices = sliced
            .then(|| Slices::new(Arc::downgrade(&hold), call, denied.clone()))
            .flatten();
        let settling = Settling::new(self.0.clone(), call, hold, denied);
        Ok((settling, slices))
    }
}

/// The most that the call can cost, without reranking of unknown price. `None` if a price of the model is unknown.
fn most<T>(call: &Call<T>) -> Option<NanoUsd> {
    let price = call.model.price.as_deref()?;
    call.plan.worst.cost(price)
}

/// What is left of the client's limit on the cost, `max_cost_usd`, after other models were charged.
fn max_cost<T: Operation>(call: &Call<T>) -> Option<NanoUsd> {
    let charged = call.trace.spending().charged_before();
    let max = call.body.max_cost()?;
    Some(NanoUsd(max.0.saturating_sub(charged.0)))
}

/// The amount that `budget` reserves for a call that costs at most `whole`, and with the first slice of its output `slice`.
fn reserved_in(budget: &Terms, whole: NanoUsd, slice: Option<NanoUsd>) -> NanoUsd {
    match budget.mode {
        Mode::Sliced => slice.unwrap_or(whole).min(whole),
        Mode::Strict => whole,
    }
}

#[cfg(test)]
mod tests;
