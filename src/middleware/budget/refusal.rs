//! Why a budget rejects a call, in words for the client.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    call::Call,
    error::{Error, Kind},
    governance::{BudgetStatus, Refusal},
    metrics,
    money::{Budget, NanoUsd, WorstCase},
    operation::Operation,
};

/// Bytes of `"max_completion_tokens": 1234567, `.
const LIMIT_MEMBER: u64 = 34;

/// When some of what is reserved may have been settled.
const BUSY: Duration = Duration::from_millis(500);

/// Counts a rejected call.
pub fn counted<T>(call: &Call<T>, error: Error) -> Error {
    metrics::refusal(call.caller.team_name(), &call.caller.key_id, "budget");
    error
}

/// Two refusals that must not be mixed: one that waiting helps, and one that it does not.
pub fn explain<T: Operation>(
    call: &Call<T>,
    refusal: &Refusal,
    asked: &[(Arc<Budget>, NanoUsd)],
) -> Error {
    let (Refusal::Spent(status) | Refusal::Reserved(status)) = refusal;
    let BudgetStatus {
        budget,
        limit,
        settled,
        reserved,
        resets_at,
    } = status;
    let amount = asked
        .iter()
        .find(|(other, _)| other.id == budget.id)
        .map(|(_, amount)| *amount);
    let (amount, per) = (amount.unwrap_or_default(), budget.per.as_str());
    let state = format!(
        "the budget '{}' is ${limit} per {per}: ${settled} are spent and ${reserved} are reserved for running requests; this request may cost ${amount}",
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
    // The member that sets the limit is input too.
    let worst = &call.plan.worst;
    let more = WorstCase {
        input_tokens: worst.input_tokens + LIMIT_MEMBER,
        ..*worst
    };
    let price = call.model.price.as_deref();
    let fits = price
        .and_then(|price| more.output_for(price, left))
        .filter(|tokens| *tokens > 0);
    let fits = match fits {
        Some(tokens) => format!("${left} are left: max_tokens of {tokens} would fit"),
        None => format!(
            "${left} are left, which is less than its input may cost. {}",
            call.body.cost_advice()
        ),
    };
    let reset = Timestamp::from_second(*resets_at).unwrap_or(Timestamp::MAX);
    let wait = u64::try_from(resets_at - Timestamp::now().as_second()).unwrap_or(1);
    let text =
        format!("You exceeded your current quota: {state}. {fits}. The budget resets at {reset}.");
    Error::new(Kind::BudgetSpent, text)
        .with_code("insufficient_quota")
        .with_retry_after(Duration::from_secs(wait))
        .without_retry()
}

/// Checks the client's own limit.
///
/// # Errors
/// 400 if the call may cost more than `max`, or its cost is not known.
pub fn within(max: NanoUsd, most: Option<NanoUsd>, advice: &str) -> Result<(), Error> {
    let problem = match most {
        Some(most) if most <= max => return Ok(()),
        Some(most) => {
            format!("This request may cost ${most}, more than 'max_cost_usd' of ${max}. {advice}.")
        }
        None => "'max_cost_usd' needs known prices, and no price of what this request asks for is known.".to_owned(),
    };
    Err(Error::invalid("max_cost_usd", problem).with_code("max_cost_exceeded"))
}

pub fn unpriced() -> Error {
    let text = "This request falls under a budget, and no price of what it asks for is known. Tell the gateway's operator.";
    Error::new(Kind::PermissionDenied, text)
        .with_code("model_unpriced")
        .with_param("model")
        .with_detail("set models.NAME.price, or defaults.unpriced_models = \"allow\"")
}

pub fn unavailable() -> Error {
    let text = "The ledger cannot be written at the moment. Try again.";
    Error::new(Kind::LedgerUnavailable, text)
        .with_code("budget_backend_unavailable")
        .with_retry_after(Duration::from_secs(5))
}
