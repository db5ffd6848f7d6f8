//! The leaf of every stack, and the only folder that has clients of the SDK.
//!
//! We own the bytes that go to Bedrock and read those that come back; [`Transport`] only carries them.

mod carry;
mod choices;
mod clients;
mod describe;
mod exchange;
pub mod failure;
mod frames;
mod retries;
mod stream;
mod thoughts;
mod transport;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use tower::Service;

pub use clients::{AssumeRole, AwsSettings, Clients};
pub use describe::Descriptions;
pub use exchange::collected;
pub use frames::{Frame, FrameError, FrameReader};
pub use retries::{Attempts, Retries, Subject};
pub use transport::{Operation, SendError, Transport};

use crate::{
    call::{Call, ChatReply},
    error::{Error, Kind},
    openai::chat::ChatRequest,
    translate::{self, ReplyPlan},
};
use thoughts::Thoughts;

/// Answers a call by asking Bedrock, once for each of its `n` choices. A stream is `Ok` only once its first token is
/// there, so that everything that goes wrong before is an ordinary error.
#[derive(Clone)]
pub struct Bedrock {
    transport: Arc<dyn Transport>,
    thoughts: Arc<Thoughts>,
    retries: Arc<Retries>,
}

/// A request in the service's words.
struct Prepared {
    body: Bytes,
    plan: Arc<ReplyPlan>,
    stream: bool,
}

impl Bedrock {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            thoughts: Arc::default(),
            retries: Arc::default(),
        }
    }

    /// Bytes of remembered reasoning that will be sent with this call.
    pub fn recalled_bytes(&self, call: &Call<ChatRequest>) -> u64 {
        let recalled = self
            .thoughts
            .recall(&call.caller.key_id, &call.model, &call.body);
        let bytes = recalled
            .values()
            .flat_map(|blocks| blocks.iter())
            .map(|block| {
                let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                block.thinking.len() + optional(&block.signature) + optional(&block.data)
            });
        bytes.sum::<usize>() as u64
    }

    async fn chat(self, call: Call<ChatRequest>) -> Result<ChatReply, Error> {
        let prepared = self.prepare(&call)?;
        let asked = Instant::now();
        let result = self.answer(&call, &prepared).await;
        call.upstream.add_since(asked);
        result
    }

    fn prepare(&self, call: &Call<ChatRequest>) -> Result<Prepared, Error> {
        let recalled = self
            .thoughts
            .recall(&call.caller.key_id, &call.model, &call.body);
        let cx = translate::Context {
            model: &call.model,
            caller: &call.caller,
            notes: &call.notes,
            recalled: &recalled,
            fetched: &call.fetched,
        };
        let mut translated = translate::chat_request(&call.body, &cx)?;
        let no_input = translate::identify(
            &mut translated.request,
            &call.request_id,
            &call.caller.key_id,
        );
        let body = serde_json::to_vec(&translated.request)
            .map(Bytes::from)
            .map_err(|error| {
                Error::new(
                    Kind::Internal,
                    "The gateway could not write the request to Bedrock.",
                )
                .with_detail(error.to_string())
            })?;
        translated.plan.request_bytes = body.len().saturating_sub(no_input);
        let repairs = translated.plan.schema.is_some() && call.model.options.repair_json;
        let whole = !call.body.is_stream() || translated.whole || repairs;
        Ok(Prepared {
            body,
            plan: Arc::new(translated.plan),
            stream: !whole,
        })
    }

    async fn answer(
        &self,
        call: &Call<ChatRequest>,
        prepared: &Prepared,
    ) -> Result<ChatReply, Error> {
        let count = call.body.n.unwrap_or(1);
        let remember = || self.thoughts.recorder(&call.caller.key_id, &call.model);
        match prepared.stream {
            true => {
                let open = (0..count).map(|_| exchange::stream(self, call, prepared));
                let streams = try_join_all(open).await?;
                Ok(ChatReply::Stream(choices::stream(streams, remember)))
            }
            false => {
                let ask = (0..count).map(|_| exchange::whole(self, call, prepared));
                let mut replies = try_join_all(ask).await?;
                for reply in &mut replies {
                    let mut recorder = remember();
                    reply
                        .chunks
                        .iter()
                        .for_each(|chunk| recorder.observe(chunk));
                }
                Ok(match call.body.is_stream() {
                    true => ChatReply::Stream(choices::replayed(replies)),
                    false => ChatReply::Whole(choices::whole(replies)),
                })
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
