//! Marks requests as sent, captures raw replies before the SDK deserializes them, and maps the SDK's errors to
//! [`SendError`].

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{config::Intercept, error::SdkError};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::context::{
            BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
        },
        orchestrator::HttpResponse,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    SendError,
    clock::{self, SIGNED_AT},
    http_client::ConnectTimeout,
};
use crate::call::SentMark;

/// An interceptor around the bytes of one exchange. It marks the request as sent when its body is read, and takes the reply
/// before the SDK deserializes it, leaving an empty body in its place.
#[derive(Clone, Debug)]
pub struct RawExchange {
    sent: SentMark,
    outcome: Arc<Mutex<Outcome>>,
}

#[derive(Debug, Default)]
struct Outcome {
    /// The time in the signature; `None` if the request is not signed.
    signed_at: Option<String>,
    reply: Option<HttpResponse>,
}

impl RawExchange {
    /// Creates the interceptor of a request that sets `sent`.
    pub fn new(sent: SentMark) -> Self {
        Self {
            sent,
            outcome: Arc::default(),
        }
    }

    /// Returns the mark that the exchange sets.
    pub fn sent(&self) -> &SentMark {
        &self.sent
    }

    /// Returns whether the service rejected the request, and its clock differs from the time in the signature.
    pub fn is_skewed(&self) -> bool {
        let outcome = self.outcome();
        let (Some(signed_at), Some(reply)) = (&outcome.signed_at, &outcome.reply) else {
            return false;
        };
        clock::skew(signed_at, reply).is_some()
    }

    /// Returns the captured reply, if one arrived.
    pub fn into_reply(self) -> Option<HttpResponse> {
        self.outcome().reply.take()
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for RawExchange {
    fn name(&self) -> &'static str {
        "RawExchange"
    }

    // After signing, which needs the bytes of the body.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        self.outcome().signed_at = request.headers().get(SIGNED_AT).map(str::to_owned);
        let body = request.body_mut();
        *body = marked(std::mem::replace(body, SdkBody::taken()), &self.sent);
        Ok(())
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
        self.outcome().reply = Some(taken);
        Ok(())
    }
}

/// Returns a body that sets `sent` when it is read.
pub fn marked(body: SdkBody, sent: &SentMark) -> SdkBody {
    SdkBody::from_body_1_x(MarkedBody {
        body,
        sent: sent.clone(),
    })
}

/// A body that sets its mark when it is read, which happens once there is a connection to write it to.
struct MarkedBody {
    body: SdkBody,
    sent: SentMark,
}

impl Body for MarkedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.sent.set();
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

/// Classifies an error of the SDK by what failed, and by whether the request was sent.
pub fn send_error<E: Error + 'static>(
    error: SdkError<E, HttpResponse>,
    sent: &SentMark,
) -> SendError {
    let text = describe(&error);
    if causes(&error).any(|cause| cause.is::<CredentialsError>()) {
        return SendError::Credentials(text);
    }
    let slow = causes(&error).find_map(|cause| cause.downcast_ref::<ConnectTimeout>());
    if let (Some(ConnectTimeout(limit)), false) = (slow, sent.is_set()) {
        return SendError::ConnectTimeout(*limit);
    }
    let is_insecure = causes(&error).any(|cause| cause.is::<rustls::Error>());
    match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            match sent.is_set() {
                true => SendError::Lost(text),
                false if is_insecure => SendError::Untrusted(text),
                false => SendError::Unreachable(text),
            }
        }
        _ => SendError::Other(text),
    }
}

/// Returns an error and everything that caused it. The source of an `io::Error` is not the error inside it but that
/// error's source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Returns the texts of an error and all its sources. The top-level text of the SDK is only "dispatch failure".
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
