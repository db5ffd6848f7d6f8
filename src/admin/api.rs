//! `/admin/*`: keys, budgets, usage, corrections, and who changed what. The command line speaks to it, over the network
//! or, where no gateway runs, within its own process.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{error::ApiError, key_store::KeyStore};
use crate::{
    call::NanoUsd,
    edge::Peer,
    ledger::{Audit, By, Group, Ledger, Raise, Report, Standing},
};

/// What the admin API works on.
#[derive(Clone)]
pub struct Api {
    pub ledger: Ledger,
    pub keys: KeyStore,
}

type Answer = Result<Response, ApiError>;

pub fn router(api: Api) -> Router {
    Router::new()
        .route("/admin/keys", get(list_keys).post(create_key))
        .route("/admin/keys/{id}", get(show_key).patch(change_key))
        .route("/admin/keys/{id}", delete(revoke_key))
        .route("/admin/keys/{id}/rotate", post(rotate_key))
        .route("/admin/usage", get(usage))
        .route("/admin/budgets", get(budgets))
        .route("/admin/budgets/override", post(raise))
        .route("/admin/ledger/reconcile", post(reconcile))
        .route("/admin/audit", get(audit))
        .route(
            "/admin/{*path}",
            any(|| async { ApiError::not_found("There is no such path in the admin API.") }),
        )
        .with_state(Arc::new(api))
}

/// Who is asking, for the audit log: what they call themselves, and from where.
fn who(headers: &HeaderMap, peer: Option<Extension<Peer>>) -> String {
    let actor = headers
        .get("x-lintel-actor")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("admin");
    let address: Option<IpAddr> = peer.map(|Extension(Peer(address))| address.ip());
    let address = address.map_or_else(|| "local".to_owned(), |address| address.to_string());
    format!(
        "{}@{address}",
        actor
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect::<String>()
    )
}

fn body(text: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("The body is not JSON: {error}.")))
}

async fn list_keys(State(api): State<Arc<Api>>) -> Answer {
    Ok(Json(json!({"keys": api.keys.list().await?})).into_response())
}

async fn show_key(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    let standings = api
        .ledger
        .standings(|budget| *budget.scope == format!("key:{id}"));
    let budgets: Vec<Value> = standings.iter().map(standing).collect();
    Ok(Json(json!({"key": api.keys.show(&id).await?, "budgets": budgets})).into_response())
}

async fn create_key(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    let made = api.keys.create(body(&text)?, who(&headers, peer)).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn change_key(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    Ok(Json(
        api.keys
            .change(&id, body(&text)?, who(&headers, peer))
            .await?,
    )
    .into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    overlap: Option<String>,
}

/// How long the old secret holds where nobody says.
const OVERLAP: Duration = Duration::from_secs(86_400);

async fn rotate_key(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    let rotation: Rotation = match text.trim() {
        "" => Rotation { overlap: None },
        text => serde_json::from_str(text).map_err(|error| ApiError::invalid(error.to_string()))?,
    };
    let overlap = rotation
        .overlap
        .map_or(Ok(OVERLAP), |text| duration("overlap", &text))?;
    Ok(Json(api.keys.rotate(&id, overlap, who(&headers, peer)).await?).into_response())
}

async fn revoke_key(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Answer {
    Ok(Json(api.keys.revoke(&id, who(&headers, peer)).await?).into_response())
}

fn duration(name: &str, text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|error| {
        ApiError::invalid(format!(
            "'{name}': '{text}' is not a duration such as 7d: {error}."
        ))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// Comma-separated.
    #[serde(default)]
    by: Option<String>,
    /// A duration back from now, or a time.
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    format: Option<String>,
}

async fn usage(State(api): State<Arc<Api>>, Query(query): Query<UsageQuery>) -> Answer {
    let by = query
        .by
        .as_deref()
        .unwrap_or("key,team,model")
        .split(',')
        .filter(|name| !name.is_empty());
    let by: Vec<By> = by
        .map(|name| {
            let known = By::ALL.into_iter().find(|(known, _)| *known == name.trim());
            known.map(|(_, by)| by).ok_or_else(|| {
                let names = By::ALL.map(|(name, _)| name).join(", ");
                ApiError::invalid(format!("'by': '{name}' is none of {names}."))
            })
        })
        .collect::<Result<_, _>>()?;
    let now = Timestamp::now().as_second();
    let since = moment("since", query.since.as_deref().unwrap_or("7d"), now)?;
    // A roll-up is a quarter of an hour: one that has begun counts.
    let since = since.div_euclid(900) * 900;
    let until = query
        .until
        .as_deref()
        .map_or(Ok(i64::MAX), |text| moment("until", text, now))?;
    let groups = api
        .ledger
        .report(Report {
            by: by.clone(),
            since,
            until,
            key_id: None,
        })
        .await?;
    match query.format.as_deref() {
        None | Some("json") => {
            let rows: Vec<Value> = groups.iter().map(|group| row(&by, group)).collect();
            Ok(Json(json!({"since": since, "rows": rows})).into_response())
        }
        Some("csv") => Ok((
            [(header::CONTENT_TYPE, "text/csv; charset=utf-8")],
            csv(&by, &groups),
        )
            .into_response()),
        Some(_) => Err(ApiError::invalid("'format' must be 'json' or 'csv'.")),
    }
}

/// `7d` ago, or a time such as `2026-01-31T00:00:00Z`; Unix seconds.
fn moment(name: &str, text: &str, now: i64) -> Result<i64, ApiError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let ago = duration(name, text)?;
    Ok(now.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)))
}

/// Nano-dollars that may be below zero, as exact decimal text.
fn dollars(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    format!("{sign}{}", NanoUsd(nano.unsigned_abs()))
}

fn row(by: &[By], group: &Group) -> Value {
    let mut row = serde_json::Map::new();
    for (by, name) in by.iter().zip(&group.names) {
        row.insert(by.as_str().to_owned(), name.as_str().into());
    }
    let counts = [
        ("requests", group.calls),
        ("input_tokens", group.input),
        ("cache_read_tokens", group.cache_read),
        ("cache_write_tokens", group.cache_write),
        ("output_tokens", group.output),
    ];
    row.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
    row.insert("cost_usd".to_owned(), dollars(group.cost).into());
    Value::Object(row)
}

fn csv(by: &[By], groups: &[Group]) -> String {
    // A spreadsheet would take such a cell for a formula.
    let plain = |text: &str| {
        if text.starts_with(['=', '+', '-', '@', '\t']) {
            format!("'{text}")
        } else {
            text.to_owned()
        }
    };
    let quoted = |text: &str| match plain(text) {
        text if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        text => text,
    };
    let heads = by.iter().map(|by| by.as_str()).chain([
        "requests",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "cost_usd",
    ]);
    let mut text = heads.collect::<Vec<_>>().join(",") + "\n";
    for group in groups {
        let Group {
            names,
            calls,
            input,
            cache_read,
            cache_write,
            output,
            cost,
        } = group;
        let counts = [calls, input, cache_read, cache_write, output].map(ToString::to_string);
        let cells: Vec<String> = names
            .iter()
            .map(|name| quoted(name))
            .chain(counts)
            .chain([dollars(*cost)])
            .collect();
        text.push_str(&(cells.join(",") + "\n"));
    }
    text
}

fn standing(standing: &Standing) -> Value {
    let Standing {
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

async fn budgets(State(api): State<Arc<Api>>) -> Answer {
    let budgets: Vec<Value> = api
        .ledger
        .standings(|_| true)
        .iter()
        .map(standing)
        .collect();
    Ok(Json(json!({"budgets": budgets})).into_response())
}

/// Longer is a change of the configuration.
const MAX_RAISE: Duration = Duration::from_secs(366 * 86_400);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    /// The budget's id, such as `key:ci/day`.
    budget: String,
    /// How much more, as text: US dollars, exactly.
    usd: String,
    /// For how long.
    r#for: String,
    reason: String,
}

async fn raise(
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
    let by = NanoUsd::parse(&usd)
        .ok_or_else(|| ApiError::invalid("'usd' must be an amount of US dollars."))?;
    if reason.trim().is_empty() {
        return Err(ApiError::invalid(
            "'reason' is missing: it goes into the audit log.",
        ));
    }
    let time = duration("for", &time)?;
    if by.0 == 0 || time.as_secs() == 0 || time > MAX_RAISE {
        return Err(ApiError::invalid(
            "'usd' must be more than nothing, and 'for' between a second and a year.",
        ));
    }
    let now = Timestamp::now().as_second();
    let until = now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let find = || {
        api.ledger
            .standings(|other| *other.id == budget)
            .first()
            .map(standing)
    };
    let before = find();
    let audit = Audit {
        at: now,
        who: who(&headers, peer),
        action: "budget.override",
        subject: budget.clone(),
        before: before.map(|before| before.to_string()),
        after: Some(json!({"raised_by_usd": by.to_string(), "until": until}).to_string()),
        reason: reason.clone(),
    };
    if !api
        .ledger
        .raise(&budget, Raise { by, until }, reason, audit)
        .await?
    {
        return Err(ApiError::not_found(
            "There is no such budget. `lintel budget show`, or GET /admin/budgets, shows them.",
        ));
    }
    Ok(Json(json!({"budget": find(), "until": until})).into_response())
}

async fn reconcile(State(api): State<Arc<Api>>, text: String) -> Answer {
    let done = api.ledger.reconcile(&text).await?;
    Ok(Json(json!({
        "matched_lines": done.matched, "unreadable_lines": done.unreadable, "corrected_records": done.corrected, "left_records": done.left,
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
