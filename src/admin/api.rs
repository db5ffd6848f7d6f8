//! `/admin/*`: keys, budgets, usage, corrections and the audit log. The CLI always goes through this API, over the
//! network or in process.

mod budgets;
mod health;
mod keys;
mod models;
mod reload;
mod usage;

use std::{net::IpAddr, ops::Range, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use self::reload::{Reload, Reloaded};
use super::{error::ApiError, key_store::KeyStore};
use crate::{
    edge::{Edge, Peer},
    governance::{Audit, Ledger},
    money::NanoUsd,
    upstream::Upstream,
};

/// The state of the admin API.
#[derive(Clone)]
pub struct Api {
    pub ledger: Ledger,
    pub keys: KeyStore,
    /// `None` if the configuration does not come from a file, or no gateway runs in this process.
    pub reloader: Option<Arc<dyn Reload>>,
    /// `None` if no gateway runs in this process.
    pub upstream: Option<Upstream>,
    pub edge: Option<Arc<Edge>>,
}

type Answer = Result<Response, ApiError>;

pub fn router(api: Api) -> Router {
    Router::new()
        .route("/admin/keys", get(keys::list).post(keys::create))
        .route("/admin/keys/{id}", get(keys::show).patch(keys::change))
        .route("/admin/keys/{id}", delete(keys::revoke))
        .route("/admin/keys/{id}/rotate", post(keys::rotate))
        .route("/admin/keys/{id}/aws", post(keys::issue_aws_pair))
        .route("/admin/usage", get(usage::report))
        .route("/admin/budgets", get(budgets::list))
        .route("/admin/budgets/override", post(budgets::override_limit))
        .route("/admin/ledger/reconcile", post(reconcile))
        .route("/admin/audit", get(audit))
        .route("/admin/health", get(health::show))
        .route("/admin/models", get(models::list))
        .route("/admin/models/{name}/test", post(models::test))
        .route("/admin/reload", post(reload::reload))
        .route(
            "/admin/{*path}",
            any(|| async { ApiError::not_found("The admin API has no such path.") }),
        )
        .with_state(Arc::new(api))
}

/// The header with the actor for the audit log. The gateway replaces it if the admin token has a name.
pub const ACTOR: &str = "x-lintel-actor";

/// The actor for the audit log, and its address.
fn actor(headers: &HeaderMap, peer: Option<Extension<Peer>>) -> String {
    let name = headers
        .get(ACTOR)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("admin");
    let address: Option<IpAddr> = peer.map(|Extension(Peer(address))| address.ip());
    let address = address.map_or_else(|| "local".to_owned(), |address| address.to_string());
    format!(
        "{}@{address}",
        name.chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect::<String>()
    )
}

fn json_body(text: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("The body is not JSON: {error}.")))
}

fn duration(name: &str, text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|error| {
        ApiError::invalid(format!(
            "'{name}': '{text}' is not a duration such as \"7d\": {error}."
        ))
    })
}

/// Nano-dollars, which may be negative, as exact decimal text in US dollars.
fn dollars(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    format!("{sign}{}", NanoUsd(nano.unsigned_abs()))
}

#[derive(Deserialize)]
struct ReconcileQuery {
    /// The time of which the log has every invocation: `FROM..TO`, as dates or times.
    #[serde(default)]
    complete: Option<String>,
}

async fn reconcile(
    State(api): State<Arc<Api>>,
    Query(query): Query<ReconcileQuery>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    let complete = query.complete.as_deref().map(period).transpose()?;
    let audit = Audit {
        at: Timestamp::now().as_second(),
        who: actor(&headers, peer),
        action: "ledger.reconcile",
        subject: format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes()))),
        before: None,
        after: None,
        reason: query
            .complete
            .map(|period| format!("complete {period}"))
            .unwrap_or_default(),
    };
    let done = api.ledger.reconcile(&text, complete, audit).await?;
    Ok(Json(done.to_json()).into_response())
}

/// Parses `FROM..TO`. A date is its beginning in UTC. The end must have passed, because the log of a time that still runs is
/// not complete.
fn period(text: &str) -> Result<Range<i64>, ApiError> {
    let invalid = || {
        ApiError::invalid(
            "'complete' must be FROM..TO, such as 2026-03-01..2026-04-01, with an end that has passed.",
        )
    };
    let time = |text: &str| -> Option<i64> {
        let date = || {
            let date = text.parse::<jiff::civil::Date>().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()
        };
        let time = text.parse::<Timestamp>().ok();
        let time = time.or_else(|| Some(date()?.timestamp()));
        time.map(Timestamp::as_millisecond)
    };
    let (from, to) = text.split_once("..").ok_or_else(invalid)?;
    let range = time(from).ok_or_else(invalid)?..time(to).ok_or_else(invalid)?;
    match range.start < range.end && range.end <= Timestamp::now().as_millisecond() {
        true => Ok(range),
        false => Err(invalid()),
    }
}

#[derive(Deserialize)]
struct AuditQuery {
    #[serde(default)]
    limit: Option<u32>,
}

async fn audit(State(api): State<Arc<Api>>, Query(query): Query<AuditQuery>) -> Answer {
    let audit = api
        .ledger
        .audit(query.limit.unwrap_or(100).min(10_000))
        .await?;
    Ok(Json(json!({"audit": audit})).into_response())
}
