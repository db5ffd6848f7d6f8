//! How requests travel to AWS: the seam, and the SDK as its first implementation.

mod frames;
mod sdk;
mod sdk_interceptor;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Limited};

pub use frames::{Frame, FrameError, FrameReader};
pub use sdk::{AssumeRole, AwsSettings, Clients};

use super::{Request, failure};
use crate::{error::Error, model::Target};

/// The operations of AWS that lintel calls: of the service model `bedrock-runtime`, and Retrieve of
/// `bedrock-agent-runtime`, whose target is a Knowledge Base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceOperation {
    Converse,
    ConverseStream,
    InvokeModel,
    Retrieve,
}

/// Status, headers and a byte stream.
pub type Response = http::Response<SdkBody>;

/// The seam between what is sent to AWS and how it travels. Raw both ways: the reply is handed over
/// whatever its status.
pub trait Transport: Send + Sync + 'static {
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Response, SendError>>;

    /// The service rejected the credentials: gets new ones before the next request.
    fn refresh(&self, operation: ServiceOperation, target: &Target);
}

/// There was no reply at all. Texts are for the log.
#[derive(Debug)]
pub enum SendError {
    /// No credentials are available.
    Credentials(String),
    /// No connection was established: nothing was sent.
    Unreachable(String),
    /// The connection broke after something may have been sent.
    Lost(String),
    /// Everything else, for example a region without a client.
    Other(String),
}

/// Returns all of a reply's body, if it has at most `max` bytes.
///
/// # Errors
/// If the body is longer, or its connection breaks.
pub async fn collected(body: SdkBody, max: usize) -> Result<Bytes, Error> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(failure::truncated(error.to_string())),
    }
}
