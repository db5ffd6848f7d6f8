//! Captures raw replies before the SDK deserializes them, and maps the SDK's errors to [`SendError`].

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{config::Intercept, error::SdkError};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::context::BeforeDeserializationInterceptorContextMut,
        orchestrator::HttpResponse, result::ConnectorError, runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};

use super::SendError;

/// An interceptor that takes the reply before the SDK deserializes it, and leaves an empty body in its place.
#[derive(Clone, Debug, Default)]
pub struct TakeReply(Arc<Mutex<Option<HttpResponse>>>);

impl TakeReply {
    /// Returns the captured reply, if one arrived.
    pub fn into_reply(self) -> Option<HttpResponse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for TakeReply {
    fn name(&self) -> &'static str {
        "TakeReply"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reply = context.response_mut();
        let body = std::mem::replace(reply.body_mut(), SdkBody::empty());
        let mut taken = HttpResponse::new(reply.status(), body);
        *taken.headers_mut() = reply.headers().clone();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(())
    }
}

/// Classifies an error of the SDK by whether the request may have been sent.
pub fn send_error<E: std::error::Error + 'static>(error: SdkError<E, HttpResponse>) -> SendError {
    let text = describe(&error);
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if cause.is::<CredentialsError>() {
            return SendError::Credentials(text);
        }
        source = cause.source();
    }
    match error {
        // Without a connection nothing was sent. After any other failure the request may have been sent.
        SdkError::DispatchFailure(failure)
            if failure.as_connector_error().is_some_and(no_connection) =>
        {
            SendError::Unreachable(text)
        }
        SdkError::ConstructionFailure(_) => SendError::Other(text),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            SendError::Lost(text)
        }
        _ => SendError::Other(text),
    }
}

/// Returns whether connecting failed: in DNS, TCP or TLS, or by the connect timeout.
fn no_connection(error: &ConnectorError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        source = cause.source();
    }
    false
}

/// Returns the texts of an error and all its sources. The top-level text of the SDK is only "dispatch failure".
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
