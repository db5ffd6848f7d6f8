//! What is common to all operations that the SDK carries: the reply is taken out of its hands, and its errors become ours.

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

/// Takes the reply out of the SDK's hands before it would be deserialized, and leaves an empty body behind.
#[derive(Clone, Debug, Default)]
pub struct TakeReply(Arc<Mutex<Option<HttpResponse>>>);

impl TakeReply {
    /// What was taken, if there was a reply.
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

/// Why there was no reply.
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
        // Before there is a connection nothing was sent; of all other failures nobody can say.
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

/// The name did not resolve, the connection was refused, its handshake failed, or it took too long.
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

/// The whole chain of causes: the SDK's own text is only "dispatch failure".
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
