//! `GET /v1/usage`: the limits, budgets and spend of the key.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, tz::TimeZone};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{
    call::Caller,
    edge::{Edge, access_log::Entry, json_response, reply_headers, serialize},
    error::{Error, Kind},
    governance::{BudgetStatus, ReportQuery, ReportRow, Window},
    model::Limits,
    money::Per,
    openai::usage_page::{BudgetObject, LimitObject, SpendObject, UsagePage, dollars},
};

/// How long a page is reused, so that a client that polls does not load the ledger.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The number of keys whose pages are kept.
const CAPACITY: usize = 1_000;

/// The latest pages, by key.
pub struct UsagePages(Cache<String, (Instant, Bytes)>);

impl Default for UsagePages {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl UsagePages {
    /// Returns the page of the key, or makes it if it is too old. Errors are not kept.
    async fn get(
        &self,
        key_id: &str,
        make: impl Future<Output = Result<Bytes, Error>>,
    ) -> Result<Bytes, Error> {
        let recent = self.0.get(key_id);
        if let Some((_, page)) = recent.filter(|(at, _)| at.elapsed() < MAX_AGE) {
            return Ok(page);
        }
        // The page is as old as its first number.
        let now = Instant::now();
        let page = make.await?;
        self.0.insert(key_id.to_owned(), (now, page.clone()));
        Ok(page)
    }
}

/// Returns the limits, budgets and spend of the caller. Counts as a request of its key.
///
/// # Errors
/// 429 if the key may send no more requests. 503 if the ledger cannot be read.
pub async fn retrieve(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Response {
    let trace = entry.trace();
    let page = match edge.rate_limit.take_request_of(&caller, trace) {
        Ok(()) => {
            let make = page(&edge, &caller);
            edge.usage_pages.get(&caller.key_id, make).await
        }
        Err(error) => Err(error),
    };
    let mut response = page.map_or_else(IntoResponse::into_response, json_response);
    reply_headers::add_rate_limits(&mut response, &trace.rate_limits());
    response
}

async fn page(edge: &Edge, caller: &Caller) -> Result<Bytes, Error> {
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
        spend.push(spend_in(edge, caller, per).await?);
    }
    serialize(&UsagePage {
        object: "usage",
        key_id: &caller.key_id,
        team: team.map(|team| team.name.as_str()),
        limits,
        budgets,
        spend,
    })
    .map(Bytes::from)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, every request read the ledger.
    #[tokio::test(start_paused = true)]
    async fn page_is_made_once_a_second_for_each_key() {
        let pages = UsagePages::default();
        let get = async |key: &str, page: &'static str| {
            let page = async { Ok(Bytes::from(page)) };
            pages.get(key, page).await.unwrap()
        };
        assert_eq!(get("a", "1").await, "1");
        assert_eq!(get("a", "2").await, "1");
        assert_eq!(get("b", "3").await, "3");
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(get("a", "4").await, "4");
    }
}
