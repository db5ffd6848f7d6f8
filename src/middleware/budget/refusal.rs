//! The errors of calls that a budget rejects.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    call::{Call, Caller},
    error::{Error, Kind},
    governance::{BudgetStatus, Refusal},
    metrics,
    money::{NanoUsd, WorstCase},
    operation::Operation,
};

/// The length of `"max_completion_tokens": 1234567, `, in bytes.
const LIMIT_MEMBER: u64 = 34;

/// The `retry-after` of a call that only reservations of other calls reject: some of them may have ended by then.
const BUSY: Duration = Duration::from_millis(500);

/// Counts the rejected call in the metrics, and returns `error`.
pub fn counted<T>(call: &Call<T>, error: Error) -> Error {
    metrics::refusal(call.caller.team_name(), &call.caller.key_id, "budget");
    error
}

/// Returns the error for a rejected call. It distinguishes a budget that is spent from one that is only reserved,
/// because clients retry only the latter.
pub fn explain<T: Operation>(call: &Call<T>, refusal: &Refusal) -> Error {
    let Refusal {
        status,
        amount,
        is_reserved,
    } = refusal;
    let BudgetStatus {
        budget,
        limit,
        settled,
        reserved,
        resets_at,
    } = status;
    let per = budget.per.as_str();
    let state = format!(
        "the budget '{}' is ${limit} per {per}, of which ${settled} are spent and ${reserved} are reserved for requests in flight; this request may cost ${amount}",
        budget.scope
    );
    if *is_reserved {
        metrics::budget_refusal(&budget.id, "reserved");
        return Error::new(Kind::BudgetBusy, format!("Try again in a moment: {state}."))
            .with_code("rate_limit_exceeded")
            .with_retry_after(BUSY);
    }
    metrics::budget_refusal(&budget.id, "settled");
    let left = NanoUsd(limit.0.saturating_sub(settled.0));
    // The member that sets the limit counts as input.
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
            "${left} are left, which is less than the input may cost. {}",
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

/// Returns the error for a call whose input masks or passages make longer than a budget admits.
pub fn growth(caller: &Caller, more: NanoUsd) -> Error {
    metrics::refusal(caller.team_name(), &caller.key_id, "budget");
    let text = format!(
        "You exceeded your current quota: a guardrail's masks or the passages of a search make the input longer, and no budget is left for the ${more} that this may cost. Shorten the input."
    );
    Error::new(Kind::BudgetSpent, text)
        .with_code("insufficient_quota")
        .without_retry()
}

/// Checks the client's limit, `max_cost_usd`.
///
/// # Errors
/// 400 if the call may cost more than `max`, or its cost is unknown.
pub fn within(max: NanoUsd, most: Option<NanoUsd>, advice: &str) -> Result<(), Error> {
    let problem = match most {
        Some(most) if most <= max => return Ok(()),
        Some(most) => {
            format!("This request may cost ${most}, more than 'max_cost_usd' of ${max}. {advice}.")
        }
        None => "'max_cost_usd' is not supported for this request, because some of its prices are unknown.".to_owned(),
    };
    Err(Error::invalid("max_cost_usd", problem).with_code("max_cost_exceeded"))
}

/// The error for a call under a budget while AWS cannot be asked for its model.
pub fn unresolved() -> Error {
    let text = "This request is subject to a budget, and the gateway cannot look up its model at the moment. Try again.";
    Error::new(Kind::UpstreamUnavailable, text)
        .with_code("model_unresolved")
        .with_retry_after(Duration::from_secs(1))
}

/// The error for a call of unknown price under a budget.
pub fn unpriced() -> Error {
    let text = "This request is subject to a budget, but some of its prices are unknown. Tell the gateway's operator.";
    Error::new(Kind::PermissionDenied, text)
        .with_code("model_unpriced")
        .with_param("model")
        .with_detail("set models.NAME.price, or defaults.unpriced_models = \"allow\"")
}

/// The error for a request with a member whose effect on the cost is unknown, under a budget.
pub fn unbounded(member: String) -> Error {
    let text = "This request is subject to a budget, and the gateway does not know how this member changes its cost. Remove it, \
                or ask the gateway's operator to allow it for your key.";
    Error::invalid(member, text)
        .with_code("unsupported_parameter")
        .with_detail("set keys.NAME.raw_fields to allow it")
}

/// The error for a ledger that cannot be written.
pub fn unavailable() -> Error {
    let text = "The ledger is temporarily unavailable. Try again.";
    Error::new(Kind::LedgerUnavailable, text)
        .with_code("budget_backend_unavailable")
        .with_retry_after(Duration::from_secs(5))
}
