//! The leaf of every stack, and the only folder that calls the Bedrock runtime.
//!
//! We own the bytes that go to Bedrock and read those that come back; [`Transport`] only carries them.

mod clients;
mod failure;
mod frames;
mod stream;
mod transport;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use tower::Service;

pub use clients::{AssumeRole, AwsSettings, Clients};
pub use frames::{Frame, FrameError, FrameReader};
pub use transport::{Operation, SendError, Transport};

use crate::{
    call::{Call, ChatReply, ChunkStream},
    converse::reply::ConverseReply,
    error::{Error, Kind},
    metrics,
    openai::chat::ChatRequest,
    translate,
};

/// More than any whole reply that the service can give.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// Answers a call by asking Bedrock. A stream is `Ok` only once its first token is there, so that everything that goes
/// wrong before is an ordinary error.
#[derive(Clone)]
pub struct Bedrock {
    transport: Arc<dyn Transport>,
}

impl Bedrock {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    async fn chat(self, call: Call<ChatRequest>) -> Result<ChatReply, Error> {
        let body = encode(&call)?;
        let request_bytes = body.len();
        let operation = if call.body.is_stream() { Operation::ConverseStream } else { Operation::Converse };
        let asked = Instant::now();
        let mut counted = Counted { call: &call, code: "abandoned" };
        let result = self.exchange(operation, &call, body, request_bytes).await;
        call.upstream.add_since(asked);
        counted.code = result.as_ref().err().map_or("ok", |error| error.code().unwrap_or(error.kind().reason()));
        drop(counted);
        result
    }

    async fn exchange(
        &self,
        operation: Operation,
        call: &Call<ChatRequest>,
        body: Bytes,
        request_bytes: usize,
    ) -> Result<ChatReply, Error> {
        let reply = self.transport.send(operation, &call.model.target, body).await.map_err(failure::from_send)?;
        let (parts, body) = reply.into_parts();
        if !parts.status.is_success() {
            let body = whole(body).await.unwrap_or_default();
            return Err(failure::from_reply(parts.status, &parts.headers, &body));
        }
        match operation {
            Operation::Converse => {
                let body = whole(body).await?;
                let reply: ConverseReply = serde_json::from_slice(&body).map_err(|error| {
                    Error::new(Kind::Upstream, "Bedrock sent a reply that could not be read.")
                        .with_code("upstream_malformed")
                        .with_detail(format!(
                            "{:?} at column {} of {} bytes",
                            error.classify(),
                            error.column(),
                            body.len()
                        ))
                })?;
                translate::whole_reply(reply, request_bytes, &call.notes).map(ChatReply::Whole)
            }
            Operation::ConverseStream => {
                let translator = translate::StreamTranslator::new(request_bytes, call.notes.clone());
                let stream = stream::EventStream::open(body, translator, call.model.timeouts.idle).await?;
                Ok(ChatReply::Stream(ChunkStream::new(stream)))
            }
        }
    }
}

impl Service<Call<ChatRequest>> for Bedrock {
    type Response = ChatReply;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ChatReply, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<ChatRequest>) -> Self::Future {
        Box::pin(self.clone().chat(call))
    }
}

/// Counts a call to Bedrock however it ends; `abandoned` is one that the deadline or the client gave up.
struct Counted<'a> {
    call: &'a Call<ChatRequest>,
    code: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        metrics::upstream_request(&self.call.model.target.region, self.call.model.label(), self.code);
    }
}

/// The bytes of the Converse request.
fn encode(call: &Call<ChatRequest>) -> Result<Bytes, Error> {
    let request = translate::chat_request(&call.body, &call.model, &call.notes)?;
    serde_json::to_vec(&request).map(Bytes::from).map_err(|error| {
        Error::new(Kind::Internal, "The gateway could not write the request to Bedrock.").with_detail(error.to_string())
    })
}

async fn whole(body: SdkBody) -> Result<Bytes, Error> {
    match Limited::new(body, MAX_REPLY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(failure::truncated(error.to_string())),
    }
}
