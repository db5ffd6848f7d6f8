//! The list of models in Anthropic's form, for clients that send `anthropic-version`.

use axum::{extract::Query, http::Uri};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    anthropic::models::{ModelInfo, ModelList},
    error::Error,
    openai::models::ModelObject,
};

/// The most models of a page.
const MAX_PAGE: usize = 1000;

/// The page that a client asks for.
#[derive(Debug, Default, Deserialize)]
struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// Returns a page of the models that answer messages. The query of `uri` chooses it. Without a limit, the page has all of
/// them, because some clients read only the first.
///
/// # Errors
/// 400 if the query has an invalid limit, or names a model that is not in the list.
pub fn list<'a>(models: &'a [ModelObject<'a>], uri: &Uri) -> Result<ModelList<'a>, Error> {
    let Query(page) = Query::<Page>::try_from_uri(uri).map_err(|_| limit_error())?;
    let all: Vec<_> = models.iter().filter(|model| chats(model)).collect();
    let limit = page.limit.unwrap_or(all.len());
    if page.limit.is_some() && !(1..=MAX_PAGE).contains(&limit) {
        return Err(limit_error());
    }
    let place = |member: &str, id: &Option<String>| {
        let Some(id) = id else { return Ok(None) };
        match all.iter().position(|model| model.id == id) {
            Some(place) => Ok(Some(place)),
            None => {
                let text = format!("'{member}' must be the id of a model in the list.");
                Err(Error::invalid(member, text))
            }
        }
    };
    let after = place("after_id", &page.after_id)?.map_or(0, |place| place + 1);
    let before = place("before_id", &page.before_id)?;
    // Pages before a model end at it, and others begin where the last one ended.
    let (from, to) = match before {
        Some(to) => (to.saturating_sub(limit).max(after), to),
        None => (after, (after + limit).min(all.len())),
    };
    let shown = all.get(from..to).unwrap_or_default();
    let data: Vec<_> = shown.iter().map(|model| info(model)).collect();
    Ok(ModelList {
        has_more: match before {
            Some(_) => from > after,
            None => to < all.len(),
        },
        first_id: shown.first().map(|model| model.id),
        last_id: shown.last().map(|model| model.id),
        data,
    })
}

fn limit_error() -> Error {
    let text = format!("'limit' must be a whole number from 1 to {MAX_PAGE}.");
    Error::invalid("limit", text)
}

/// Returns one model.
pub fn info<'a>(model: &'a ModelObject<'a>) -> ModelInfo<'a> {
    let created = i64::try_from(model.created).unwrap_or_default();
    ModelInfo {
        r#type: "model",
        id: model.id,
        display_name: model.name.unwrap_or(model.id),
        created_at: Timestamp::from_second(created)
            .unwrap_or_default()
            .to_string(),
        max_input_tokens: model.context_window,
        max_tokens: model.max_output_tokens,
        lifecycle: model.lifecycle.status,
    }
}

fn chats(model: &ModelObject<'_>) -> bool {
    model.default_max_tokens.is_some() && model.output_modalities.contains(&"text")
}
