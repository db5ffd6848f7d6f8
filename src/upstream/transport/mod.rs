//! Sends requests to AWS: the [`Transport`] trait, and its implementation with the AWS SDK.

mod assumed_role;
mod attribution;
mod clock;
mod control_plane;
mod credentials;
mod frames;
mod http_client;
mod sdk;
mod sdk_exchange;
mod sdk_interceptor;
mod session;
mod settings;
mod signed_post;
mod signing;
mod tls;

use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use futures_util::future::BoxFuture;

pub use control_plane::DescribeError;
pub use frames::{Frame, FrameError, FrameReader, encode_frame};
pub use http_client::connecting_within;
pub use sdk::Clients;
pub use settings::{Account, AssumeRole, AwsSettings, Endpoints};
pub use tls::TrustedRoots;

use super::Request;
use crate::{
    call::{Caller, SentMark},
    model::{MantlePrefix, Target},
};

/// The AWS operations that lintel calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceOperation {
    /// `bedrock-runtime` Converse.
    Converse,
    /// `bedrock-runtime` ConverseStream.
    ConverseStream,
    /// `bedrock-runtime` InvokeModel.
    InvokeModel,
    /// `bedrock-runtime` InvokeModelWithResponseStream.
    InvokeModelWithResponseStream,
    /// `bedrock-runtime` CountTokens.
    CountTokens,
    /// `bedrock-runtime` InvokeGuardrailChecks, which needs no target.
    InvokeGuardrailChecks,
    /// `bedrock-agent-runtime` Retrieve. Its target is a Knowledge Base.
    Retrieve,
    /// `bedrock-agent-runtime` Rerank. Its body names the model.
    Rerank,
    /// `bedrock-runtime` ApplyGuardrail. Its target is a guardrail, as `ID/version/VERSION`.
    ApplyGuardrail,
    /// OpenAI's chat completions on `bedrock-runtime`. The body names the model.
    ChatCompletions,
    /// OpenAI's chat completions on `bedrock-mantle`, below this path. The body names the model.
    MantleChatCompletions(MantlePrefix),
    /// OpenAI's Responses on `bedrock-runtime`. The body names the model.
    Responses,
    /// OpenAI's Responses on `bedrock-mantle`, below this path. The body names the model.
    MantleResponses(MantlePrefix),
    /// Anthropic's Messages on `bedrock-runtime`. The body names the model.
    Messages,
    /// Anthropic's Messages on `bedrock-mantle`. The body names the model.
    MantleMessages,
}

/// An HTTP response with a streaming body.
pub type Response = http::Response<SdkBody>;

/// Sends serialized requests to AWS and returns raw replies.
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` to `target` and returns the reply, whatever its status. Sets `sent` when the first byte is about
    /// to be written. AWS's cost reports may name `caller`.
    ///
    /// # Errors
    /// If no reply arrives.
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
        caller: Option<&'a Caller>,
        sent: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>>;

    /// Discards the cached credentials that `operation` used for `caller`, because the service rejected them. The next
    /// request fetches new ones.
    fn refresh(&self, operation: ServiceOperation, target: &Target, caller: Option<&Caller>);
}

/// Why a request got no reply. The texts are for the log.
#[derive(Debug)]
pub enum SendError {
    /// No credentials are available.
    Credentials(String),
    /// No connection was established: nothing was sent.
    Unreachable(String),
    /// No connection was established within this time limit: nothing was sent.
    ConnectTimeout(Duration),
    /// The server's certificate is not trusted, or TLS failed otherwise: nothing was sent.
    Untrusted(String),
    /// The connection failed after the request may have been sent.
    Lost(String),
    /// Any other failure, for example a region without a client.
    Other(String),
}
