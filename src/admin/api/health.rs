use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse};
use serde_json::json;

use super::{Answer, Api};
use crate::admin::error::ApiError;

/// Returns the health of every target that has received requests.
pub async fn show(State(api): State<Arc<Api>>) -> Answer {
    match &api.upstream {
        Some(upstream) => Ok(Json(json!({"targets": upstream.health()})).into_response()),
        None => Err(ApiError::conflict(
            "No gateway runs here, so nothing is known of the health of its targets.",
        )),
    }
}
