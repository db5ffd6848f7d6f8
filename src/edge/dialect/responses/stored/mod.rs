//! Responses that the gateway keeps: what is stored of a reply, and how a later request gets it back.

mod draft;
mod recall;

pub use draft::Draft;
pub use recall::recall;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    edge::dialect::Recalled,
    error::{Error, Kind},
    governance::ResponseError,
    openai::{object::Object, responses::served::Request},
};

/// What is stored of a response.
#[derive(Deserialize, Serialize)]
pub struct StoredContent<'a> {
    /// The items that its request added to the conversation.
    #[serde(borrow)]
    pub input: Vec<&'a RawValue>,
    /// The response object, as the client received it.
    #[serde(borrow)]
    pub response: &'a RawValue,
}

/// The members of a response object that decide what is stored.
#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
}

/// The members of an item that identify it.
#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
}

impl<'a> StoredContent<'a> {
    /// Parses what was stored.
    ///
    /// # Errors
    /// 500 if another program has written it.
    pub fn parse(content: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(content).map_err(|error| unreadable(&error))
    }

    fn output(&self) -> Result<Vec<&'a RawValue>, Error> {
        let outcome: Result<Outcome<'a>, _> = serde_json::from_str(self.response.get());
        outcome
            .map(|outcome| outcome.output)
            .map_err(|error| unreadable(&error))
    }
}

impl<'a> Identity<'a> {
    fn of(item: &'a RawValue) -> Option<Self> {
        let Object(identity) = serde_json::from_str(item.get()).ok()?;
        Some(identity)
    }
}

/// Checks that what the request continues was found.
///
/// # Errors
/// 404 if it was not.
pub fn check_parent(request: &Request, recalled: &Recalled) -> Result<(), Error> {
    match &request.previous_response_id {
        Some(_) if recalled.parent.is_none() => Err(parent_not_found()),
        _ => Ok(()),
    }
}

/// Does not say why, because a client must not learn of the responses of other keys.
fn parent_not_found() -> Error {
    let text = "The previous response was not found. It has expired, was deleted, or was not stored. Send the whole conversation as 'input'.";
    Error::new(Kind::NotFound, text)
        .with_param("previous_response_id")
        .with_code("previous_response_not_found")
}

/// Creates the error for stored responses that cannot be read at the moment, for the reason `error`.
pub fn unavailable(error: String) -> Error {
    let text = "The stored responses cannot be read at the moment. Try again shortly.";
    Error::new(Kind::LedgerUnavailable, text)
        .with_code("store_unavailable")
        .with_detail(error)
}

fn unreadable(error: &serde_json::Error) -> Error {
    let text = "The stored response is damaged. Send the whole conversation as 'input'.";
    Error::new(Kind::Internal, text).with_detail(error.to_string())
}

/// Converts an error of the store about the conversation of a request.
fn rejected(error: ResponseError, max_body: usize) -> Error {
    match error {
        ResponseError::NotFound => parent_not_found(),
        ResponseError::TooLarge => {
            let text = format!(
                "The stored conversation is too large: with it, the request exceeds {max_body} bytes. Start a new conversation."
            );
            Error::invalid("previous_response_id", text).with_code("context_length_exceeded")
        }
        ResponseError::Unreadable(error) => unavailable(error),
    }
}
