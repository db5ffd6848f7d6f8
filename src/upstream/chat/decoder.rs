//! What a route's codec gives for the replies to one request.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    error::Error,
    money::Usage,
    operation::chat::Chunk,
    upstream::{BilledError, Request},
};

/// Decodes the reply to one request of a chat.
pub trait Decoder: Send + Sync {
    /// Decodes a whole reply. Some routes report the usage in its headers.
    ///
    /// # Errors
    /// If the body cannot be parsed, or its stop reason means that there is no answer. The error has the usage of the reply.
    fn whole(&self, headers: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, BilledError>;

    /// Returns a decoder for a streamed reply with these headers.
    fn stream(&self, headers: &HeaderMap) -> Box<dyn StreamDecoder>;

    /// Returns the request for a corrected answer, if `answer` does not match the response format
    /// and the operator allows repairs.
    ///
    /// # Errors
    /// If the request cannot be serialized.
    fn repair(&self, request: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error>;

    /// Records the result of a repair: the second answer, or the code of the failure.
    fn repaired(&self, second: Result<&WholeAnswer, &'static str>);

    /// Returns the decoder for a request without its `service_tier`, which the endpoint refuses. `None` where requests keep
    /// their tier.
    fn at_standard_tier(&self) -> Option<Arc<dyn Decoder>> {
        None
    }
}

/// Decodes a streamed reply incrementally.
pub trait StreamDecoder: Send {
    /// Adds bytes from the wire.
    fn push(&mut self, data: Bytes);

    /// Decodes the next event and appends its chunks to `out`. Returns false if more bytes are
    /// needed.
    ///
    /// # Errors
    /// If the bytes are corrupted, or the service reports a failure.
    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error>;

    /// Returns whether an incomplete event is buffered.
    fn has_leftover(&self) -> bool;

    /// Ends decoding, after the last byte of the body.
    ///
    /// # Errors
    /// If the message is incomplete.
    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error>;

    /// Returns whether the message has ended. Its usage may still follow.
    fn is_stopped(&self) -> bool;

    /// Returns whether the message has ended and its usage is reported.
    fn is_complete(&self) -> bool;

    /// Returns the usage of the reply so far. It is an estimate unless the service has reported it, which it also does for
    /// replies without an answer.
    fn estimate(&self) -> Usage;
}

/// A whole reply, as the same chunks that a stream of it would have.
#[derive(Debug)]
pub struct WholeAnswer {
    /// Ends with `Finish`, an optional `Guardrail`, and `Usage`.
    pub chunks: VecDeque<Chunk>,
    /// The model that a prompt router chose, as an ARN.
    pub invoked_model: Option<String>,
}

impl WholeAnswer {
    /// Returns the usage that Bedrock reports, or the gateway's estimate.
    pub fn usage(&self) -> Option<Usage> {
        self.chunks.iter().rev().find_map(|chunk| match chunk {
            Chunk::Usage(usage) => Some(*usage),
            _ => None,
        })
    }
}
