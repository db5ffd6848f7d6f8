//! `/v1/responses/{id}`: responses that the gateway has stored for the key. They cost nothing.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    call::Caller,
    edge::{
        Edge,
        dialect::{StoredContent, unavailable},
        json, json_response,
        receive::BodyPermit,
        until_end,
    },
    error::{Error, Kind},
    governance::{ResponseError, StoredResponse},
};

/// The most items of a page.
const MAX_PAGE: usize = 100;

/// The items of a page whose size the client does not choose.
const PAGE: usize = 20;

/// The reply of `GET /v1/responses/{id}/input_items`.
#[derive(Serialize)]
struct ItemList {
    object: &'static str,
    data: Vec<Value>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// Returns a response as its client received it.
///
/// # Errors
/// 400 if it is to be streamed, 404 if it is not stored, 503 if the store cannot be read or there is no memory for it.
pub async fn retrieve(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let id = text(id)?;
    if flag(query.as_deref(), "stream")? {
        let text = "'stream' is only for responses that run in the background, which this gateway does not have. Retrieve the response without it.";
        return Err(Error::invalid("stream", text).with_code("unsupported_parameter"));
    }
    let (stored, permit) = find(&edge, &caller, &id).await?;
    let content = StoredContent::parse(&stored.content)?;
    let response = json_response(content.response.get().to_owned());
    Ok(until_end(response, permit))
}

/// Deletes a response.
///
/// # Errors
/// As [`retrieve`].
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let id = text(id)?;
    let deleted = edge.responses.delete(&caller.key_id, &id).await;
    deleted.map_err(|error| rejected(error, &id))?;
    json(&json!({"id": id, "object": "response", "deleted": true}))
}

/// Lists the items that the request of a response has added to the conversation.
///
/// # Errors
/// As [`retrieve`]; 400 with an invalid parameter.
pub async fn input_items(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let id = text(id)?;
    let query = query.as_deref();
    let limit = match value(query, "limit") {
        None => PAGE,
        Some(text) => {
            let limit = text.parse().ok();
            let valid = limit.filter(|limit| (1..=MAX_PAGE).contains(limit));
            valid.ok_or_else(|| Error::invalid("limit", "'limit' must be between 1 and 100."))?
        }
    };
    let is_ascending = match value(query, "order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Error::invalid("order", "'order' must be 'asc' or 'desc'.")),
    };
    let (stored, permit) = find(&edge, &caller, &id).await?;
    let content = StoredContent::parse(&stored.content)?;
    let items = content.input.iter().enumerate();
    let mut items: Vec<(String, &RawValue)> = items
        .map(|(nth, item)| (item_id(&stored.id, nth, item), *item))
        .collect();
    if !is_ascending {
        items.reverse();
    }
    let start = match value(query, "after") {
        None => 0,
        Some(after) => {
            let at = items.iter().position(|(id, _)| *id == after);
            let text = "'after' must be the id of an item of this response.";
            1 + at.ok_or_else(|| Error::invalid("after", text))?
        }
    };
    let rest = items.get(start..).unwrap_or_default();
    let page = &rest[..rest.len().min(limit)];
    let response = json(&ItemList {
        object: "list",
        data: page.iter().map(|(id, item)| shown(id, item)).collect(),
        first_id: page.first().map(|(id, _)| id.clone()),
        last_id: page.last().map(|(id, _)| id.clone()),
        has_more: rest.len() > limit,
    })?;
    Ok(until_end(response, permit))
}

/// Rejects the cancellation of a response, because none runs in the background.
///
/// # Errors
/// 400, or 404 if the response is not stored.
pub async fn cancel(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let id = text(id)?;
    find(&edge, &caller, &id).await?;
    let text = "Only responses that run in the background can be cancelled, and this one has ended. Close the connection to cancel a response.";
    Err(Error::new(Kind::InvalidRequest, text).with_code("response_not_cancellable"))
}

/// Returns the id in the path.
fn text(id: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    let Path(id) =
        id.map_err(|_| Error::invalid("id", "The id in the path is not valid UTF-8."))?;
    Ok(id)
}

/// Returns a response, and the memory that it occupies until its reply is sent.
async fn find(
    edge: &Edge,
    caller: &Caller,
    id: &str,
) -> Result<(StoredResponse, BodyPermit), Error> {
    let found = edge.responses.get(&caller.key_id, id).await;
    let stored = found.map_err(|error| rejected(error, id))?;
    let mut permit = None;
    edge.limits.room.take(stored.content.len(), &mut permit)?;
    Ok((stored, permit))
}

fn rejected(error: ResponseError, id: &str) -> Error {
    match error {
        ResponseError::Unreadable(error) => unavailable(error),
        ResponseError::NotFound | ResponseError::TooLarge => {
            let id: String = id.chars().take(80).collect();
            let text = format!(
                "Response '{id}' was not found: it has expired, was deleted, or was not stored."
            );
            Error::new(Kind::NotFound, text).with_code("response_not_found")
        }
    }
}

/// Returns the value of a query parameter. The values of this API need no escapes.
fn value<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
}

/// Returns the value of a flag in the query, as the SDKs of several languages write it. False if it is absent.
///
/// # Errors
/// 400 for another value.
fn flag(query: Option<&str>, name: &'static str) -> Result<bool, Error> {
    let value = value(query, name).unwrap_or_default();
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "" | "false" | "0" => Ok(false),
        _ => {
            let text = format!("'{name}' must be 'true' or 'false'.");
            Err(Error::invalid(name, text))
        }
    }
}

/// Returns the id of an item. Those that the client gave none have one made of the response's and their position.
fn item_id(response: &str, nth: usize, item: &RawValue) -> String {
    let item: Map<String, Value> = serde_json::from_str(item.get()).unwrap_or_default();
    if let Some(id) = item.get("id").and_then(Value::as_str) {
        return id.to_owned();
    }
    let prefix = match item.get("type").and_then(Value::as_str) {
        None | Some("message") => "msg",
        Some("reasoning") => "rs",
        Some("function_call") => "fc",
        Some("function_call_output") => "fco",
        Some("custom_tool_call") => "ctc",
        Some("custom_tool_call_output") => "ctco",
        Some(_) => "item",
    };
    let id = response.strip_prefix("resp_").unwrap_or(response);
    format!("{prefix}_{id}i{nth:02}")
}

/// Returns an item in the form of OpenAI's lists, whose members are all present.
fn shown(id: &str, item: &RawValue) -> Value {
    let mut item: Map<String, Value> = serde_json::from_str(item.get()).unwrap_or_default();
    item.insert("id".to_owned(), id.into());
    let kind = item.entry("type").or_insert_with(|| "message".into());
    if kind == "message" {
        let is_answer = item.get("role").is_some_and(|role| role == "assistant");
        let kind = if is_answer {
            "output_text"
        } else {
            "input_text"
        };
        if let Some(content @ Value::String(_)) = item.get_mut("content") {
            *content = json!([{"type": kind, "text": content.take()}]);
        }
        item.entry("status").or_insert_with(|| "completed".into());
    }
    Value::Object(item)
}
