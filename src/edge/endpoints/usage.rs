//! `GET /v1/usage`: the limits, budgets and spend of the key.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    call::Caller,
    edge::{Edge, json},
    error::{Error, Kind},
    governance::{BudgetStatus, ReportQuery, ReportRow, Window},
    model::Limits,
    money::Per,
    openai::usage_page::{BudgetObject, LimitObject, SpendObject, UsagePage, dollars},
};

/// Returns the limits, budgets and spend of the caller.
///
/// # Errors
/// 503 if the ledger cannot be read.
pub async fn retrieve(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Error> {
    let team = caller.team.as_deref();
    let mut budgets = Vec::new();
    let scopes = [Some(format!("key:{}", caller.key_id))];
    let team_scope = team.map(|team| format!("team:{}", team.name));
    for scope in scopes.into_iter().chain([team_scope]).flatten() {
        let statuses = edge.ledger.budget_statuses_of(&scope).await;
        budgets.extend(statuses.map_err(unavailable)?.iter().map(object));
    }
    let mut limits = vec![limit(format!("key:{}", caller.key_id), &caller.limits)];
    limits.extend(
        caller
            .model_limits
            .iter()
            .map(|(model, own)| limit(format!("key:{}/model:{model}", caller.key_id), own)),
    );
    limits.extend(team.map(|team| limit(format!("team:{}", team.name), &team.limits)));
    limits.retain(LimitObject::has_limit);
    let mut spend = Vec::new();
    for per in [Per::Day, Per::Month] {
        spend.push(spend_in(&edge, &caller, per).await?);
    }
    json(&UsagePage {
        object: "usage",
        key_id: &caller.key_id,
        team: team.map(|team| team.name.as_str()),
        limits,
        budgets,
        spend,
    })
}

fn object(status: &BudgetStatus) -> BudgetObject {
    let budget = &status.budget;
    BudgetObject {
        scope: budget.scope.to_string(),
        per: budget.per.as_str(),
        limit_usd: dollars(status.limit),
        settled_usd: dollars(status.settled),
        reserved_usd: dollars(status.reserved),
        remaining_usd: dollars(status.remaining()),
        resets_at: status.resets_at,
    }
}

fn limit(scope: String, limits: &Limits) -> LimitObject {
    LimitObject {
        scope,
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        max_request_tokens: limits.max_request_tokens,
        in_flight: limits.in_flight,
    }
}

fn unavailable(error: String) -> Error {
    Error::new(
        Kind::LedgerUnavailable,
        "The ledger is currently unavailable. Try again.",
    )
    .with_detail(error)
}

/// Returns the spend of the key in the current day or month, in UTC.
async fn spend_in(edge: &Edge, caller: &Caller, per: Per) -> Result<SpendObject, Error> {
    let Window { start, end } = Window::around(per, &TimeZone::UTC, Timestamp::now());
    let report = ReportQuery {
        by: Vec::new(),
        since: start,
        until: end,
        key_id: Some(caller.key_id.clone()),
    };
    let groups = edge.ledger.report(report).await.map_err(unavailable)?;
    let group = groups.first();
    let count = |of: fn(&ReportRow) -> i64| group.map_or(0, of);
    Ok(SpendObject {
        per: per.as_str(),
        since: start,
        requests: count(|group| group.calls),
        input_tokens: count(|group| group.input + group.cache_read + group.cache_write),
        output_tokens: count(|group| group.output),
        cost_usd: dollars(crate::money::NanoUsd(
            u64::try_from(count(|group| group.cost)).unwrap_or(0),
        )),
    })
}
