//! Which operation a request is for.

use axum::{
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
};

use super::{
    ServiceError, apply_guardrail,
    chat::{self, Host},
    escapes::percent_decode,
    guardrail_checks, knowledge, messages, rerank, responses,
};

/// The operations that take a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Converse { stream: bool },
    Invoke { stream: bool },
    CountTokens,
    Retrieve,
    Rerank,
    ApplyGuardrail,
    Chat(Host),
    Responses(Host),
    Messages(messages::Host),
    GuardrailChecks,
}

impl Operation {
    /// Reports a signature that does not match, in the form of the host.
    ///
    /// # Errors
    /// `error`, on hosts other than bedrock-mantle.
    pub fn refuse_signature(&self, error: ServiceError) -> Result<Response, ServiceError> {
        match self {
            Self::Chat(Host::Mantle(_)) | Self::Responses(Host::Mantle(_)) => {
                Ok(chat::NativeRefusal::from(error).into_response())
            }
            Self::Messages(messages::Host::Mantle) => {
                Ok(messages::Refusal::from(error).into_response())
            }
            _ => Err(error),
        }
    }
}

/// The operation of a request in the form of OpenAI or Anthropic, whose body names the model.
pub fn native(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Operation> {
    let chat = chat::route(method, uri, headers).map(Operation::Chat);
    chat.or_else(|| responses::route(method, uri, headers).map(Operation::Responses))
        .or_else(|| messages::route(method, uri, headers).map(Operation::Messages))
}

/// The operation of a request, and the id of its model, Knowledge Base or guardrail. Rerank names its model
/// in the body.
///
/// # Errors
/// `UnknownOperationException`, or `ValidationException` for an id that cannot be one of a model.
pub fn route(method: &Method, uri: &Uri) -> Result<(String, Operation), ServiceError> {
    if let Some(id) = knowledge::route(method, uri) {
        return Ok((id, Operation::Retrieve));
    }
    if let Some(path) = apply_guardrail::route(method, uri) {
        return Ok((path, Operation::ApplyGuardrail));
    }
    if rerank::is_rerank(method, uri) {
        return Ok(("rerank".to_owned(), Operation::Rerank));
    }
    if guardrail_checks::route(method, uri) {
        return Ok((String::new(), Operation::GuardrailChecks));
    }
    let unknown = || ServiceError {
        name: "UnknownOperationException",
        status: 404,
        message: String::new(),
    };
    let path = uri
        .path()
        .strip_prefix("/model/")
        .filter(|_| method == Method::POST)
        .ok_or_else(unknown)?;
    let (model, operation) = path.rsplit_once('/').ok_or_else(unknown)?;
    let model_id = percent_decode(model)
        .filter(|id| !id.is_empty() && id.len() <= 2048)
        .ok_or_else(unknown)?;
    if !model_id.starts_with("arn:") && !model_id.contains('.') {
        return Err(ServiceError::validation(
            "The provided model identifier is invalid.",
        ));
    }
    let operation = match operation {
        "converse" => Operation::Converse { stream: false },
        "converse-stream" => Operation::Converse { stream: true },
        "invoke" => Operation::Invoke { stream: false },
        "invoke-with-response-stream" => Operation::Invoke { stream: true },
        "count-tokens" => Operation::CountTokens,
        _ => return Err(unknown()),
    };
    Ok((model_id, operation))
}
