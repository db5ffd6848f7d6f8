//! `/admin/keys`: creates, lists, changes, rotates and revokes virtual keys.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, actor, budgets, duration, json_body};
use crate::{
    admin::{error::ApiError, revocation::Revocation},
    edge::Peer,
};

pub async fn list(State(api): State<Arc<Api>>) -> Answer {
    Ok(Json(json!({"keys": api.keys.list().await?})).into_response())
}

pub async fn show(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Answer {
    let standings = api.ledger.budget_statuses_of(&format!("key:{id}")).await?;
    let budgets: Vec<Value> = standings.iter().map(budgets::status).collect();
    Ok(Json(json!({"key": api.keys.show(&id).await?, "budgets": budgets})).into_response())
}

pub async fn create(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    let made = api
        .keys
        .create(json_body(&text)?, actor(&headers, peer))
        .await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

pub async fn change(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    text: String,
) -> Answer {
    Ok(Json(
        api.keys
            .change(&id, json_body(&text)?, actor(&headers, peer))
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

/// How long the old secret stays valid by default.
const OVERLAP: Duration = Duration::from_secs(86_400);

pub async fn rotate(
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
    Ok(Json(api.keys.rotate(&id, overlap, actor(&headers, peer)).await?).into_response())
}

pub async fn issue_aws_pair(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Answer {
    let issued = api.keys.issue_aws_pair(&id, actor(&headers, peer)).await?;
    Ok(Json(issued).into_response())
}

pub async fn revoke(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Answer {
    let Revocation { key, is_stored } = api.keys.revoke(&id, actor(&headers, peer)).await?;
    if is_stored {
        return Ok(Json(json!({"key": key, "stored": true})).into_response());
    }
    let message = "The key is rejected from now on, but the ledger cannot be written, so a restart would bring the key back. \
                   The gateway keeps trying to store the revocation.";
    let body = json!({"key": key, "stored": false, "message": message});
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}
