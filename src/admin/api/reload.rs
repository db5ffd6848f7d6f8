use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    response::IntoResponse,
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Answer, Api};
use crate::{admin::error::ApiError, config::Problem};

/// Puts the configuration file in force again.
pub trait Reload: Send + Sync {
    /// Reads the file and replaces the configuration, or only says what would change if `is_dry` is set.
    ///
    /// # Errors
    /// Every problem in the file. Then the old configuration stays in force.
    fn reload(&self, is_dry: bool) -> BoxFuture<'_, Result<Reloaded, Vec<Problem>>>;
}

/// What a reload changes, as lines of the form `PATH: OLD -> NEW`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The file that was read.
    pub file: String,
    pub changed: Vec<String>,
    /// What the file changes and the process does not.
    pub needs_restart: Vec<String>,
}

#[derive(Deserialize)]
pub struct ReloadQuery {
    #[serde(default)]
    dry_run: bool,
}

pub async fn reload(State(api): State<Arc<Api>>, Query(query): Query<ReloadQuery>) -> Answer {
    let Some(reloader) = &api.reloader else {
        return Err(ApiError::conflict(
            "No gateway with a configuration file runs here, so there is nothing to reload.",
        ));
    };
    match reloader.reload(query.dry_run).await {
        Ok(reloaded) => Ok(Json(json!(reloaded)).into_response()),
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(ApiError::invalid(format!(
                "The old configuration stays in force: {}",
                problems.join("; ")
            )))
        }
    }
}
