use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::call::Target;

/// The operations that lintel uses: of the service model `bedrock-runtime`, and Retrieve of `bedrock-agent-runtime`,
/// whose target is a Knowledge Base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Converse,
    ConverseStream,
    Retrieve,
}

/// The seam between what we say to Bedrock and how it travels. Raw both ways: bytes out; status, headers and a byte
/// stream back, whatever the status.
pub trait Transport: Send + Sync + 'static {
    fn send<'a>(
        &'a self,
        operation: Operation,
        target: &'a Target,
        body: Bytes,
    ) -> BoxFuture<'a, Result<http::Response<SdkBody>, SendError>>;

    /// The service refused the credentials of an operation: get new ones before its next call.
    fn refresh(&self, operation: Operation, target: &Target);
}

/// There was no reply at all. Texts are for the log.
#[derive(Debug)]
pub enum SendError {
    /// No credentials could be had.
    Credentials(String),
    /// No connection came about: nothing was sent.
    Unreachable(String),
    /// The connection broke after something may have been sent.
    Lost(String),
    /// Everything else, for example a region without a client.
    Other(String),
}
