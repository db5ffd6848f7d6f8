//! `/admin/budgets`: the status of every budget, and temporary overrides of their limits.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State, http::HeaderMap, response::IntoResponse};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, actor, duration};
use crate::{
    admin::error::ApiError,
    edge::Peer,
    governance::{Audit, BudgetStatus, LimitOverride},
    money::NanoUsd,
};

pub fn status(standing: &BudgetStatus) -> Value {
    let BudgetStatus {
        budget,
        limit,
        settled,
        reserved,
        resets_at,
    } = standing;
    json!({
        "id": &*budget.id, "scope": &*budget.scope, "per": budget.per.as_str(), "limit_usd": limit.to_string(),
        "configured_limit_usd": budget.limit.to_string(), "settled_usd": settled.to_string(), "reserved_usd": reserved.to_string(),
        "remaining_usd": standing.remaining().to_string(), "resets_at": resets_at,
    })
}

pub async fn list(State(api): State<Arc<Api>>) -> Answer {
    let budgets: Vec<Value> = api
        .ledger
        .budget_statuses(|_| true)
        .await?
        .iter()
        .map(status)
        .collect();
    Ok(Json(json!({"budgets": budgets})).into_response())
}

/// A longer override belongs in the configuration.
const MAX_RAISE: Duration = Duration::from_secs(366 * 86_400);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    /// The budget's id, such as `key:ci/day`.
    budget: String,
    /// By how many US dollars the limit is raised, as exact decimal text.
    usd: String,
    /// How long the override lasts.
    r#for: String,
    reason: String,
}

pub async fn override_limit(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    let Override {
        budget,
        usd,
        r#for: time,
        reason,
    } = serde_json::from_str(&text).map_err(|error| ApiError::invalid(error.to_string()))?;
    let by = NanoUsd::parse(&usd).ok_or_else(|| {
        ApiError::invalid("'usd' must be an amount of US dollars, such as \"25\".")
    })?;
    if reason.trim().is_empty() {
        return Err(ApiError::invalid(
            "'reason' is missing; the audit log needs it.",
        ));
    }
    let time = duration("for", &time)?;
    if by.0 == 0 || time.as_secs() == 0 || time > MAX_RAISE {
        return Err(ApiError::invalid(
            "'usd' must be more than zero, and 'for' between one second and one year.",
        ));
    }
    let now = Timestamp::now().as_second();
    let until = now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let find = || api.ledger.budget_status(&budget).as_ref().map(status);
    let before = find();
    let audit = Audit {
        at: now,
        who: actor(&headers, peer),
        action: "budget.override",
        subject: budget.clone(),
        before: before.map(|before| before.to_string()),
        after: Some(json!({"raised_by_usd": by.to_string(), "until": until}).to_string()),
        reason: reason.clone(),
    };
    if !api
        .ledger
        .override_limit(&budget, LimitOverride { by, until }, reason, audit)
        .await?
    {
        return Err(ApiError::not_found(
            "No budget has this id. List them with `lintel budget show` or GET /admin/budgets.",
        ));
    }
    Ok(Json(json!({"budget": find(), "until": until})).into_response())
}
