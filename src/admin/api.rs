//! `/admin/*`: keys, budgets, usage, corrections and the audit log. The CLI always goes through this API, over the
//! network or in process.

mod budgets;
mod keys;
mod usage;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{error::ApiError, key_store::KeyStore};
use crate::{edge::Peer, governance::Ledger, money::NanoUsd};

/// The state of the admin API.
#[derive(Clone)]
pub struct Api {
    pub ledger: Ledger,
    pub keys: KeyStore,
}

type Answer = Result<Response, ApiError>;

pub fn router(api: Api) -> Router {
    Router::new()
        .route("/admin/keys", get(keys::list).post(keys::create))
        .route("/admin/keys/{id}", get(keys::show).patch(keys::change))
        .route("/admin/keys/{id}", delete(keys::revoke))
        .route("/admin/keys/{id}/rotate", post(keys::rotate))
        .route("/admin/usage", get(usage::report))
        .route("/admin/budgets", get(budgets::list))
        .route("/admin/budgets/override", post(budgets::override_limit))
        .route("/admin/ledger/reconcile", post(reconcile))
        .route("/admin/audit", get(audit))
        .route(
            "/admin/{*path}",
            any(|| async { ApiError::not_found("The admin API has no such path.") }),
        )
        .with_state(Arc::new(api))
}

/// The actor for the audit log: the name that the client sends, and its address.
fn actor(headers: &HeaderMap, peer: Option<Extension<Peer>>) -> String {
    let name = headers
        .get("x-lintel-actor")
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

async fn reconcile(State(api): State<Arc<Api>>, text: String) -> Answer {
    let done = api.ledger.reconcile(&text).await?;
    Ok(Json(json!({
        "matched_lines": done.matched, "unreadable_lines": done.unreadable, "corrected_records": done.corrected, "left_records": done.skipped,
        "delta_usd": dollars(done.delta),
    }))
    .into_response())
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
